"""VM guests from boot to end, with the real cloud-init of the image: what they reach, how they end, who waits.

A boot takes half a minute to a few minutes here, so there are few tests and each checks much, and every limit is generous.
"""

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import instances
from localcloud.server import lifecycle
from running_cloud import Running, command

pytestmark = [pytest.mark.vm, pytest.mark.cloud]
BOOT = 900.0
"""Seconds that a boot may take on a busy machine."""

ASKING = r"""#!/bin/bash
code() { curl -sS -m 20 -o /dev/null -w '%{http_code}' "$@"; }
imds() { curl -sS -m 20 -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/$1"; }
token=$(curl -sS -m 20 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 600' http://169.254.169.254/latest/api/token)
keys=$(imds meta-data/iam/security-credentials/guest)
value() { sed -n "s/.*\"$1\" *: *\"\([^\"]*\)\".*/\1/p"; }
signed() {
  service=$1; shift
  code --aws-sigv4 "aws:amz:us-east-1:$service" -H "x-amz-security-token: $(value Token <<<"$keys")" \
    --user "$(value AccessKeyId <<<"$keys"):$(value SecretAccessKey <<<"$keys")" "$@"
}
report() { echo "$1=$2" | tee -a /root/report; }
report v1 "$(code http://169.254.169.254/latest/meta-data/)"
report identity "$(imds dynamic/instance-identity/document | value instanceId)"
report said "$(imds meta-data/local-ipv4) $(imds meta-data/mac) $(imds meta-data/local-hostname | cut -d. -f1)"
report has "$(ip -4 -o addr show scope global | sed -n 's,.* inet \([0-9.]*\)/.*,\1,p') $(cat /sys/class/net/e*/address) $(hostname)"
report disk "$(cat /sys/block/nvme0n1/device/serial | tr -d ' ')"
report room "$(df -BG --output=size / | tail -n 1 | tr -d ' ')"
report own "$(signed s3 -X PUT --data-binary @/etc/hostname "$AWS_ENDPOINT_URL/guest-bucket/own/hello")"
report other "$(signed s3 -X PUT --data-binary @/etc/hostname "$AWS_ENDPOINT_URL/guest-bucket/other/hello")"
report launch "$(signed ec2 -d 'Action=RunInstances&Version=2016-11-15&ImageId=IMAGE&InstanceType=t3.micro&MinCount=1&MaxCount=1' \
  "$AWS_ENDPOINT_URL/")"
report control "$(code "$AWS_ENDPOINT_URL/_localcloud/ec2/capacity")"
report link "$(code 'LINK')"
router=$(ip route show default | cut -d' ' -f3)
for host in 127.0.0.1 169.254.169.254 "$router"; do report "port $host" "$(code http://$host:PORT/ 2>/dev/null)"; done
report world "$(code http://192.0.2.1/ 2>/dev/null)"
report sent "$(signed s3 -X PUT --data-binary @/root/report "$AWS_ENDPOINT_URL/guest-bucket/own/report")"
shutdown -h now
"""

BOOTHOOK = """Content-Type: multipart/mixed; boundary="-"
MIME-Version: 1.0

---
Content-Type: text/cloud-boothook

#!/bin/sh
boot=$(($(cat /var/boots 2>/dev/null || echo 0) + 1))
echo $boot >/var/boots
sync
echo "this is boot $boot"
HOOK
---
Content-Type: text/x-shellscript

#!/bin/sh
echo "this is the script"
SCRIPT
-----
"""
IGNORES_POWER_BUTTON = (
    "mkdir -p /etc/systemd/logind.conf.d; "
    "printf '[Login]\\nHandlePowerKey=ignore\\n' >/etc/systemd/logind.conf.d/ignore.conf"
)
PANIC = "[ $boot = 2 ] && shutdown -h now && exit\nsysctl -w kernel.panic=2\necho c >/proc/sysrq-trigger\nsleep 60"

REACHES = r"""
code() { curl -sS -m 20 -o /dev/null -w '%{http_code}' "$1" 2>/dev/null; }
router=$(ip route show default | cut -d' ' -f3)
echo "reached $(code http://$router:HOST/) $(code http://169.254.169.254:HOST/) $(code http://192.0.2.1/)"   "and $(code http://169.254.0.3:CLOUD/_localcloud/ec2/capacity)"
"""


def data(hook: str, script: str) -> str:
    """User data with a boothook and a script."""
    return BOOTHOOK.replace("HOOK", hook).replace("SCRIPT", script)


def launch_asking(cloud: Running, port: int) -> str:
    """Launch an instance that reports what it finds and may do, and which ports of this machine it reaches; return its id."""
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    s3.create_bucket(Bucket="guest-bucket")
    s3.put_object(Bucket="guest-bucket", Key="linked", Body=b"x")
    statement = {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::guest-bucket/own/*"}
    instances.profile(cloud.client("iam"), "guest", {"Version": "2012-10-17", "Statement": [statement]})
    link = s3.generate_presigned_url("get_object", Params={"Bucket": "guest-bucket", "Key": "linked"})
    return instances.run(
        ec2,
        ASKING.replace("IMAGE", instances.image(ec2)).replace("LINK", link).replace("PORT", str(port)),
        IamInstanceProfile={"Name": "guest"},
        InstanceInitiatedShutdownBehavior="terminate",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20}}],
    )


def test_third_vm_waits_until_one_of_two_ends(start: Callable[..., Running]) -> None:
    cloud = start("--guests", "vm", "--max-guests", "2")
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    assert cloud.facts["guests"] == "vm"
    assert cloud.facts["accelerator"] in ("kvm", "tcg")
    with socket.create_server(("", 0)) as listener:
        listener.setblocking(False)
        asks = launch_asking(cloud, listener.getsockname()[1])
        stops = instances.run(ec2, data(IGNORES_POWER_BUTTON, "shutdown -h now"))
        waits = instances.run(ec2, "")
        for server in (asks, stops):
            instances.wait_for_state(ec2, server, "running", BOOT)
        assert instances.state(ec2, waits) == "pending"
        assert {one["instance"] for one in status(cloud)["guests_now"]} == {asks, stops}
        assert all(one["rss_mib"] > 0 for one in status(cloud)["guests_now"])
        before = instances.shown(ec2, asks)

        instances.wait_for_state(ec2, asks, "terminated", BOOT)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert instances.shown(ec2, asks)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    record = s3.get_object(Bucket="guest-bucket", Key="own/report")["Body"].read().decode()
    check_report(record, before)
    output = instances.console(ec2, asks)
    assert "Linux version" in output or "Cloud-init" in output
    assert f"identity={asks}" in output
    assert "reboot: Power down" in output

    instances.wait_for_state(ec2, waits, "running", BOOT)
    ec2.terminate_instances(InstanceIds=[waits])
    instances.wait_for_state(ec2, stops, "stopped", BOOT)
    assert instances.console(ec2, stops).count("this is boot 1") == 1
    ec2.start_instances(InstanceIds=[stops])
    instances.wait_for_output(ec2, stops, "this is boot 2", BOOT)
    # From this boot on the guest ignores its power button, so it has to be killed.
    ec2.terminate_instances(InstanceIds=[stops])
    for server in (stops, waits):
        instances.wait_for_state(ec2, server, "terminated", BOOT)
    output = instances.console(ec2, stops)
    assert output.count("reboot: Power down") == 1
    assert output.count("this is the script") == 1
    assert not list((cloud.directory / "guests").glob("*/*.qcow2"))


def check_report(told: str, before: dict[str, Any]) -> None:
    """Check what the first instance reported about itself, its rights and this machine."""
    found = dict(line.split("=", 1) for line in told.splitlines())
    ports = {name: found.pop(name) for name in list(found) if name.startswith("port ")}
    assert set(ports.values()) == {"000"}, ports
    assert len(ports) == 3
    answer = (
        f"{before['PrivateIpAddress']} {before['NetworkInterfaces'][0]['MacAddress']} "
        + before["PrivateDnsName"].split(".")[0]
    )
    assert found == {
        "v1": "401",
        "identity": before["InstanceId"],
        "said": answer,
        "has": answer,
        "disk": before["BlockDeviceMappings"][0]["Ebs"]["VolumeId"].replace("-", ""),
        "room": "20G",
        "own": "200",
        "other": "403",
        "launch": "403",
        "control": "403",
        "link": "200",
        "world": "000",
    }


def status(cloud: Running) -> dict[str, Any]:
    """Return the cloud's current facts."""
    return cloud.control("status", method="GET")


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start a cloud that cannot make network namespaces."""
    bound = ["unshare", "-r", "sh", "-c", 'echo 0 >/proc/sys/user/max_net_namespaces && exec "$@"', "sh"]
    if subprocess.run([*bound, "true"], capture_output=True, timeout=60, check=False).returncode != 0:
        bound = []  # this machine allows no namespaces at all, so nothing has to be prevented
    # The cloud ends when the test process ends.
    reading, writing = os.pipe()

    def up(*words: str) -> Running:
        line = [*bound, sys.executable, "-m", "localcloud", "up", "--state", str(tmp_path / "state"), "--json", *words]
        line.append("--parent-pipe")
        done = subprocess.run(line, stdin=reading, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        values = {name: value for name, value in lifecycle.exports(tmp_path / "state").items() if value is not None}
        return Running(tmp_path / "state", json.loads(done.stdout), values)

    yield up
    command(tmp_path / "state", "down")
    os.close(reading)
    os.close(writing)


def test_panicked_vm_reboots_if_its_kernel_is_told_to(bare: Callable[..., Running]) -> None:
    """Also checked: without namespaces a guest reaches its metadata and the cloud, and nothing else."""
    cloud = bare("--guests", "vm", "--max-guests", "1")
    assert any("no namespaces here" in limit for limit in cloud.facts["guest_limits"])
    ec2 = cloud.client("ec2")
    with socket.create_server(("", 0)) as listener:
        listener.setblocking(False)
        reaches = REACHES.replace("HOST", str(listener.getsockname()[1])).replace(
            "CLOUD", cloud.facts["endpoint"].rpartition(":")[2]
        )
        server = instances.run(ec2, data(reaches + PANIC, ""), InstanceInitiatedShutdownBehavior="terminate")
        instances.wait_for_state(ec2, server, "terminated", 2 * BOOT)
        with pytest.raises(BlockingIOError):
            listener.accept()
    output = instances.console(ec2, server)
    first, _, second = output.partition("this is boot 2")
    assert "this is boot 1" in first
    assert "reached 000 000 000 and 403" in first, first
    assert f"localcloud: {server}: its kernel panicked" in first
    assert "reboot: Power down" in second
    assert instances.shown(ec2, server)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


STORES = r"""
udevadm settle
for link in /dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_*; do
  disk=$(readlink -f "$link")
  echo "store $boot: $disk of $(blockdev --getsize64 "$disk") holds $(blkid -o value -s TYPE "$disk" || echo nothing)"
  mkfs.ext4 -q -F -E nodiscard "$disk"
done
"""


def test_instance_storage_is_empty_after_a_stop(start: Callable[..., Running]) -> None:
    cloud = start("--guests", "vm", "--max-guests", "1")
    ec2 = cloud.client("ec2")
    script = "[ $(cat /var/boots) = 1 ] && shutdown -h now"
    server = instances.run(ec2, data(STORES, script), InstanceType="c5d.large")
    (shown,) = ec2.describe_instance_types(InstanceTypes=["c5d.large"])["InstanceTypes"]
    size = shown["InstanceStorageInfo"]["TotalSizeInGB"] * 10**9
    instances.wait_for_state(ec2, server, "stopped", BOOT)
    folder = cloud.directory / "guests" / server
    assert not list(folder.glob("store*"))
    ec2.start_instances(InstanceIds=[server])
    instances.wait_for_output(ec2, server, "store 2", BOOT)
    output = instances.console(ec2, server)
    assert f"store 1: /dev/nvme0n2 of {size} holds nothing" in output
    assert f"store 2: /dev/nvme0n2 of {size} holds nothing" in output
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated", BOOT)
    assert not list(folder.glob("store*"))


def test_no_vm_outlives_a_killed_cloud(start: Callable[..., Running]) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    other = instances.run(ec2, "#!/bin/sh\nshutdown -h now\n")
    instances.wait_for_state(ec2, other, "stopped")
    command(cloud.directory, "down")

    cloud = start("--guests", "vm")
    ec2 = cloud.client("ec2")
    assert instances.refusal(ec2.start_instances, InstanceIds=[other]) == "IncorrectInstanceState"
    assert instances.state(ec2, other) == "stopped"
    killed = instances.run(ec2)
    instances.wait_for_state(ec2, killed, "running", BOOT)
    os.kill(status(cloud)["guests_now"][0]["pid"], signal.SIGKILL)
    instances.wait_for_state(ec2, killed, "terminated", BOOT)
    assert "QEMU ended by signal 9" in instances.shown(ec2, killed)["StateReason"]["Message"]
    # For QEMU, a file that may not change behaves like a full disk.
    full = instances.run(ec2)
    instances.wait_for_state(ec2, full, "running", BOOT)
    resource.prlimit(status(cloud)["guests_now"][0]["pid"], resource.RLIMIT_FSIZE, (0, 0))
    instances.wait_for_state(ec2, full, "terminated", BOOT)
    assert "this machine could not write its disk" in instances.shown(ec2, full)["StateReason"]["Message"]
    assert "could not write its disk" in instances.console(ec2, full)
    server = instances.run(ec2)
    instances.wait_for_state(ec2, server, "running", BOOT)
    machine = status(cloud)["guests_now"][0]["pid"]
    assert b"qemu-system" in Path(f"/proc/{machine}/cmdline").read_bytes()
    os.kill(status(cloud)["pid"], signal.SIGKILL)
    instances.wait_until(lambda: gone(machine), 120)

    cloud = start("--guests", "vm")
    assert instances.state(cloud.client("ec2"), server) == "terminated"
    assert instances.shown(cloud.client("ec2"), server)["StateReason"]["Code"] == "Server.InternalError"
    assert not list((cloud.directory / "guests").glob("*/*.qcow2"))


def gone(pid: int) -> bool:
    """Return whether the process has ended, reaped or not."""
    try:
        return re.search(r"^State:\s+Z", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE) is not None
    except OSError:
        return True
