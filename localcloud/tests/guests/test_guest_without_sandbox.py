"""Process guests without namespaces, and with the network of this machine."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import instances
from localcloud.guests.disks import remove_disk
from localcloud.guests.process import can_sandbox, make_etc_template
from plain_guest import run_to_end
from running_cloud import Running

NAMESPACES = pytest.mark.skipif(not can_sandbox(), reason="this user may not create namespaces on this machine")


def alive(word: str) -> bool:
    """Return whether a process has this word in its command line."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word in entry.read_bytes().decode(errors="replace").split("\0"):
                return True
        except OSError:
            continue
    return False


def test_shutdown_ends_detached_processes_too(tmp_path: Path) -> None:
    seconds = f"600.{os.getpid()}1"
    script = (
        f"#!/bin/bash\n(setsid sh -c 'sleep {seconds} & exec sleep {seconds}' &)\nsleep 0.3\n"
        'echo "$HOME $AWS_EC2_METADATA_SERVICE_ENDPOINT"\nshutdown -h now\nsleep 30\necho never\n'
    )
    reason, output = asyncio.run(run_to_end(tmp_path, script))
    assert reason == "poweroff"
    assert f"{tmp_path}/disk/root http://127.0.0.1:" in output
    assert "never" not in output
    assert not alive(seconds)


def test_power_button_ends_detached_processes_too(tmp_path: Path) -> None:
    seconds = f"600.{os.getpid()}2"
    script = f"#!/bin/bash\n(setsid setsid sleep {seconds} &)\necho armed\n"
    reason, _ = asyncio.run(run_to_end(tmp_path, script, press="armed"))
    assert reason == "button"
    assert not alive(seconds)


def test_nothing_outlives_a_killed_cloud(tmp_path: Path) -> None:
    seconds = f"600.{os.getpid()}3"
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom plain_guest import run_to_end\n"
        f"asyncio.run(run_to_end(Path(sys.argv[1]), '#!/bin/bash\\n(setsid sleep {seconds} &)\\nexec sleep {seconds}\\n'))\n"
    )
    places = os.pathsep.join([str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")])
    cloud = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], env={**os.environ, "PYTHONPATH": places})
    instances.wait_until(lambda: alive(seconds))
    cloud.kill()
    cloud.wait()
    instances.wait_until(lambda: not alive(seconds), limit=10)


@NAMESPACES
def test_disk_is_removed_whatever_the_guest_did_to_it(tmp_path: Path) -> None:
    make_etc_template(tmp_path)
    script = "#!/bin/sh\nmkdir -p /opt/a/b /etc/x\ntouch /opt/a/b/c\nchmod 0 /opt/a/b /opt/a\npoweroff\n"
    directory = tmp_path / "guest"
    directory.mkdir()
    reason, _ = asyncio.run(run_to_end(directory, script, sandbox=True))
    assert reason == "poweroff"
    remove_disk(directory)
    assert sorted(path.name for path in directory.iterdir()) == ["console.log"]


@pytest.mark.cloud
def test_internet_option_gives_the_machines_network(
    start: Callable[..., Running],
) -> None:
    cloud = start("--internet")
    ec2 = cloud.client("ec2")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        script = (
            "#!/usr/bin/env python3\nimport os, socket, urllib.request\n"
            f"socket.create_connection(('127.0.0.1', {port}), 2).close()\n"
            "base = os.environ['AWS_EC2_METADATA_SERVICE_ENDPOINT']\n"
            "put = urllib.request.Request(base + 'latest/api/token', method='PUT',\n"
            "    headers={'X-aws-ec2-metadata-token-ttl-seconds': '60'})\n"
            "token = urllib.request.urlopen(put).read().decode()\n"
            "ask = urllib.request.Request(base + 'latest/meta-data/instance-id',\n"
            "    headers={'X-aws-ec2-metadata-token': token})\n"
            "print('I am', urllib.request.urlopen(ask).read().decode(), flush=True)\n"
        )
        server = instances.run(ec2, script)
        instances.wait_for_output(ec2, server, f"I am {server}")
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")
