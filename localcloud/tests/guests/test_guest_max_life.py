"""The guard of this machine over its guests: none lives longer than `--max-life`, by this machine's own time."""

from collections.abc import Callable

import pytest

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud


def test_a_guest_that_lives_too_long_is_ended_and_the_reason_says_by_whom(start: Callable[..., Running]) -> None:
    ec2 = start("--max-life", "2").client("ec2")
    server = instances.run(ec2, "#!/bin/sh\nsleep 600\n")
    instances.becomes(ec2, server, "terminated")
    assert "this machine ended it" in instances.shown(ec2, server)["StateReason"]["Message"]


def test_a_turn_of_the_clock_ends_no_guest_not_even_at_its_next_boot(start: Callable[..., Running]) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    script = "Content-Type: text/cloud-boothook\n\n#!/bin/sh\necho booted >/dev/console\nsleep 600\n"
    server = instances.run(ec2, f"MIME-Version: 1.0\n{script}")
    instances.prints(ec2, server, "booted")
    cloud.advance(2 * 86400)
    assert instances.state(ec2, server) == "running"
    ec2.reboot_instances(InstanceIds=[server])
    instances.until(lambda: instances.console(ec2, server).count("booted") == 2)
    assert instances.state(ec2, server) == "running"
