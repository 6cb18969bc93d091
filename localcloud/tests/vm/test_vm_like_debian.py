"""What a job meets on Debian's image for EC2, and meets in a VM guest too: /tmp in memory, apt's timers, users that are not root."""

import json
from collections.abc import Callable

import pytest

import instances
from running_cloud import Running

pytestmark = [pytest.mark.vm, pytest.mark.cloud]
BOOT = 900.0

LOOKS = r"""#!/bin/bash
report() { echo "$1=$2" >>/root/report; }
as_nobody() { runuser -u nobody -- "$@" >/dev/null 2>&1; echo $?; }
imds='curl -sS -m 10 -o /dev/null -X PUT -H X-aws-ec2-metadata-token-ttl-seconds:60 http://169.254.169.254/latest/api/token'
report tmp "$(findmnt -no FSTYPE /tmp)"
report half "$(( 100 * $(df -k --output=size /tmp | tail -n 1) / $(awk '/MemTotal/ {print $2}' /proc/meminfo) ))"
report lists "$(find /var/lib/apt/lists -type f ! -name lock | wc -l)"
for unit in apt-daily.timer apt-daily-upgrade.timer; do
  report "$unit" "$(systemctl is-enabled $unit) $(systemctl is-active $unit)"
done
report upgrades "$(dpkg-query -W -f '${db:Status-Abbrev}' unattended-upgrades) $(command -v unattended-upgrade)"
systemctl stop apt-daily.timer && report stopped "$(systemctl is-active apt-daily.timer)"
install -m 600 /dev/null /root/secret
report root_file "$(as_nobody cat /root/secret)"
report metadata_before "$(as_nobody $imds)"
ip rule add uidrange 65534-65534 to 169.254.169.254 prohibit
report rule $?
report metadata_after "$(as_nobody $imds)"
report root_metadata "$($imds; echo $?)"
while read -r line; do echo "REPORT $line"; done </root/report
shutdown -h now
"""


def test_guest_has_what_debians_image_has(start: Callable[..., Running]) -> None:
    cloud = start("--guests", "vm")
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, LOOKS, InstanceType="t3.small", InstanceInitiatedShutdownBehavior="terminate")
    instances.wait_for_state(ec2, server, "terminated", BOOT)
    output = instances.console(ec2, server)
    lines = [line.split("REPORT ", 1)[1].strip() for line in output.splitlines() if "REPORT " in line]
    found = dict(line.split("=", 1) for line in lines)
    assert found.pop("half") in ("49", "50"), json.dumps(found)
    assert int(found.pop("metadata_after")) != 0
    assert int(found.pop("root_file")) != 0
    assert found == {
        "tmp": "tmpfs",
        "lists": "0",
        "apt-daily.timer": "enabled active",
        "apt-daily-upgrade.timer": "enabled active",
        "upgrades": "ii  /usr/bin/unattended-upgrade",
        "stopped": "inactive",
        "metadata_before": "0",
        "rule": "0",
        "root_metadata": "0",
    }
