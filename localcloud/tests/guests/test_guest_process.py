"""Process guests: what user data can use, how a guest ends, and that nothing of it is left."""

import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

import instances
from running_cloud import Running, command

pytestmark = pytest.mark.cloud


@pytest.fixture
def sandboxed(cloud: Running) -> Running:
    """The cloud; skip where its guests have no namespaces."""
    if cloud.facts["sandbox"] != "namespaces":
        pytest.skip("this user may not create namespaces on this machine, so guests have no sandbox")
    return cloud


def test_shutdown_in_a_script_terminates_the_instance(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    script = "#!/bin/bash\necho begun\nshutdown -h now\nsleep 30\necho never\n"
    server = instances.run(ec2, script, InstanceInitiatedShutdownBehavior="terminate")
    instances.wait_for_state(ec2, server, "terminated")
    assert instances.shown(ec2, server)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert "begun" in instances.console(ec2, server)
    assert "never" not in instances.console(ec2, server)


def test_shutdown_works_by_its_full_path(sandboxed: Running) -> None:
    cloud = sandboxed
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, "#!/bin/sh\n/sbin/shutdown -P now\n", InstanceInitiatedShutdownBehavior="terminate")
    instances.wait_for_state(ec2, server, "terminated")


def test_instance_keeps_running_after_its_script_ends(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    script = "#!/bin/sh\n(setsid sh -c 'sleep 1; echo later; sleep 100' &)\necho finished\n"
    server = instances.run(ec2, script)
    instances.wait_for_output(ec2, server, "later")
    assert instances.state(ec2, server) == "running"
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")
    assert instances.shown(ec2, server)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_restart_keeps_the_disk_and_skips_scripts(sandboxed: Running) -> None:
    cloud = sandboxed
    ec2 = cloud.client("ec2")
    script = "#!/bin/sh\necho run-$(cat /opt/count 2>/dev/null)\necho once > /opt/count\npoweroff\n"
    server = instances.run(ec2, script, InstanceInitiatedShutdownBehavior="stop")
    instances.wait_for_state(ec2, server, "stopped")
    ec2.start_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "running")
    instances.wait_for_output(ec2, server, "boots (2)")
    assert "run-once" not in instances.console(ec2, server)
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")


def test_boothook_runs_before_the_script_at_every_boot(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    mime = (
        "Content-Type: multipart/mixed; boundary=X\nMIME-Version: 1.0\n\n"
        "--X\nContent-Type: text/x-shellscript\n\n#!/bin/sh\necho script\nreboot\n"
        "--X\nContent-Type: text/cloud-boothook\n\n#!/bin/sh\necho hook $INSTANCE_ID\n--X--\n"
    )
    server = instances.run(ec2, mime)
    instances.wait_for_output(ec2, server, "boots (2)")
    instances.wait_until(lambda: instances.console(ec2, server).count(f"hook {server}") == 2)
    output = instances.console(ec2, server)
    assert output.index("hook") < output.index("script")
    assert output.count("\nscript\n") == 1
    assert instances.state(ec2, server) == "running"
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")


def test_halted_instance_is_still_running(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, "#!/bin/sh\nhalt\n", InstanceInitiatedShutdownBehavior="terminate")
    instances.wait_for_output(ec2, server, "system halted")
    assert instances.state(ec2, server) == "running"
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")


def test_guest_sees_no_files_of_the_user_or_the_cloud(sandboxed: Running) -> None:
    cloud = sandboxed
    ec2 = cloud.client("ec2")
    here = Path(__file__).resolve()
    script = (
        f"#!/bin/sh\nfor p in {here} {cloud.directory} {Path.home()}/.bashrc {Path.home()}/.aws; do\n"
        '  [ -e "$p" ] && echo "SEEN $p"\ndone\n'
        "touch /usr/new 2>/dev/null && echo WROTE-USR\n"
        "mount -o remount,rw,bind /usr 2>/dev/null && echo REMOUNTED\n"
        "echo x > /proc/sys/kernel/core_pattern && echo WROTE-SYSCTL\n"
        "touch /etc/a /tmp/a /var/lib/a /opt/a /usr/local/bin/a /root/a /home/a && echo writable\n"
        "echo name $(hostname) pids $(ls -d /proc/[0-9]* | wc -l)\n"
        "env | cut -d= -f1 | sort | tr '\\n' ' '\necho end\n"
    )
    server = instances.run(ec2, script)
    instances.wait_for_output(ec2, server, " end\n")
    output = instances.console(ec2, server)
    assert "SEEN" not in output
    assert "WROTE" not in output
    assert "REMOUNTED" not in output
    assert "writable" in output
    assert f"name ip-{instances.shown(ec2, server)['PrivateIpAddress'].replace('.', '-')}" in output
    names = set(output.split("pids", 1)[1].split()[1:-1])
    assert names <= {"AWS_ENDPOINT_URL", "HOME", "INSTANCE_ID", "LANG", "PATH", "PWD", "SHLVL", "_"}
    ec2.terminate_instances(InstanceIds=[server])


def test_guest_reaches_only_the_cloud_and_its_metadata(sandboxed: Running) -> None:
    cloud = sandboxed
    ec2 = cloud.client("ec2")
    script = (
        "#!/usr/bin/env python3\nimport os, socket\n"
        "def reach(host, port):\n"
        "    try:\n        socket.create_connection((host, port), 2).close()\n        return 'yes'\n"
        "    except OSError as error:\n        return 'no'\n"
        "port = int(os.environ['AWS_ENDPOINT_URL'].rsplit(':', 1)[1])\n"
        "print('cloud', reach('127.0.0.1', port), 'metadata', reach('169.254.169.254', 80),\n"
        "      'other', reach('127.0.0.1', 22), 'world', reach('192.0.2.1', 80), flush=True)\n"
    )
    server = instances.run(ec2, script)
    instances.wait_for_output(ec2, server, "cloud yes metadata yes other no world no")
    ec2.terminate_instances(InstanceIds=[server])


def test_guest_uploads_and_downloads_a_large_object(cloud: Running) -> None:
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    s3.create_bucket(Bucket="large")
    signed = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=cloud.facts["endpoint"],
        aws_access_key_id=cloud.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud.environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(signature_version="s3v4"),
    )
    place = {"Bucket": "large", "Key": "whole"}
    put = signed.generate_presigned_url("put_object", Params=place)
    get = signed.generate_presigned_url("get_object", Params=place)
    script = (
        "#!/usr/bin/env python3\nimport hashlib, os, urllib.request\n"
        "data = os.urandom(1 << 20) * 64\n"
        f"ask = urllib.request.Request({put!r}, data=data, method='PUT', headers={{'Content-Type': 'a/b'}})\n"
        "urllib.request.urlopen(ask).read()\n"
        f"back = urllib.request.urlopen({get!r}).read()\n"
        "print('same', back == data, hashlib.sha256(data).hexdigest(), flush=True)\n"
    )
    server = instances.run(ec2, script)
    instances.wait_for_output(ec2, server, "same True ")
    output = instances.console(ec2, server).split("same True ")[1].split()[0]
    assert hashlib.sha256(s3.get_object(**place)["Body"].read()).hexdigest() == output
    ec2.terminate_instances(InstanceIds=[server])


def test_guest_cannot_use_controls_of_the_cloud(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    script = (
        "#!/usr/bin/env python3\nimport os, urllib.error, urllib.request\n"
        "ask = urllib.request.Request(os.environ['AWS_ENDPOINT_URL'] + '/_localcloud/ec2/capacity', method='DELETE')\n"
        "try:\n    said = urllib.request.urlopen(ask).status\nexcept urllib.error.HTTPError as error:\n    said = error.code\n"
        "print('control', said, flush=True)\n"
    )
    server = instances.run(ec2, script)
    instances.wait_for_output(ec2, server, "control 403")
    ec2.terminate_instances(InstanceIds=[server])


def test_user_data_for_cloud_init_terminates_with_a_reason(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, "#cloud-config\npackages: [jq]\n")
    instances.wait_for_state(ec2, server, "terminated")
    assert "text/cloud-config" in instances.shown(ec2, server)["StateReason"]["Message"]
    assert "text/cloud-config" in instances.console(ec2, server)


def test_process_that_ignores_sigterm_is_killed(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    script = "#!/bin/bash\ntrap '' TERM\necho armed\nwhile true; do sleep 1; done\n"
    server = instances.run(ec2, script)
    instances.wait_for_output(ec2, server, "armed")
    ec2.terminate_instances(InstanceIds=[server])
    assert instances.state(ec2, server) == "shutting-down"
    instances.wait_for_state(ec2, server, "terminated", limit=10)


def test_instances_above_the_limit_stay_pending(start: Callable[..., Running]) -> None:
    cloud = start("--max-guests", "1")
    ec2 = cloud.client("ec2")
    first = instances.run(ec2, "#!/bin/sh\necho up\n")
    instances.wait_for_state(ec2, first, "running")
    second = instances.run(ec2, "#!/bin/sh\necho up\n")
    third = instances.run(ec2, "#!/bin/sh\necho up\n")
    # Longer than any of them needs to boot.
    time.sleep(1.5)
    assert [instances.state(ec2, one) for one in (second, third)] == ["pending", "pending"]
    ec2.terminate_instances(InstanceIds=[second])
    instances.wait_for_state(ec2, second, "terminated")
    ec2.terminate_instances(InstanceIds=[first])
    instances.wait_for_state(ec2, third, "running")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_guest_process_outlives_the_cloud(start: Callable[..., Running], number: signal.Signals) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, f"#!/bin/sh\nexec sleep 601.{os.getpid()}\n")
    instances.wait_until(lambda: _alive(f"601.{os.getpid()}"))
    os.kill(cloud.facts["pid"], number)
    instances.wait_until(lambda: command(cloud.directory, "status").returncode != 0)
    instances.wait_until(lambda: not _alive(f"601.{os.getpid()}"), limit=10)
    again = start()
    shown = instances.shown(again.client("ec2"), server)
    assert shown["State"]["Name"] == "terminated"
    assert shown["StateReason"]["Code"] == "Server.InternalError"
    assert command(again.directory, "down").returncode == 0


def _alive(word: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in entry.read_bytes().decode(errors="replace").split("\0"):
                return True
        except OSError:
            continue
    return False
