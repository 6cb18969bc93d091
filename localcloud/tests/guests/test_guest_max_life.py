"""`--max-life` ends a guest by this machine's clock."""

from collections.abc import Callable

import pytest

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud


def test_guest_past_max_life_is_ended_with_a_reason(start: Callable[..., Running]) -> None:
    ec2 = start("--max-life", "2").client("ec2")
    server = instances.run(ec2, "#!/bin/sh\nsleep 600\n")
    instances.wait_for_state(ec2, server, "terminated")
    assert "this machine ended it" in instances.shown(ec2, server)["StateReason"]["Message"]


def test_advancing_the_clock_ends_no_guest(start: Callable[..., Running]) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    script = "Content-Type: text/cloud-boothook\n\n#!/bin/sh\necho booted >/dev/console\nsleep 600\n"
    server = instances.run(ec2, f"MIME-Version: 1.0\n{script}")
    instances.wait_for_output(ec2, server, "booted")
    cloud.advance(2 * 86400)
    assert instances.state(ec2, server) == "running"
    ec2.reboot_instances(InstanceIds=[server])
    instances.wait_until(lambda: instances.console(ec2, server).count("booted") == 2)
    assert instances.state(ec2, server) == "running"
