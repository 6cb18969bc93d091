"""A client token launches once, even if the cloud is killed during the call."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionError, HTTPClientError

import instances
from running_cloud import Running, command

pytestmark = pytest.mark.cloud


def run(ec2: Any, template: str) -> list[str]:
    """Call RunInstances with a token and return the instance ids."""
    parameters = {"LaunchTemplateId": template}
    made = ec2.run_instances(LaunchTemplate=parameters, MinCount=1, MaxCount=1, ClientToken="cut-off")
    return [one["InstanceId"] for one in made["Instances"]]


def fleet(ec2: Any, template: str) -> list[str]:
    """Call CreateFleet with a token and return the instance ids."""
    values = [{"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"}}]
    made = ec2.create_fleet(
        Type="instant",
        TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
        LaunchTemplateConfigs=values,
        ClientToken="cut-off",
    )
    return [server for entry in made["Instances"] for server in entry["InstanceIds"]]


def servers(ec2: Any) -> list[str]:
    """Return the ids of all instances."""
    return [one["InstanceId"] for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]


@pytest.mark.parametrize("call", [run, fleet])
def test_repeated_call_after_a_kill_launches_nothing_more(
    start: Callable[..., Running], call: Callable[[Any, str], list[str]]
) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    data = {"ImageId": instances.image(ec2), "InstanceType": "t3.micro"}
    made = ec2.create_launch_template(LaunchTemplateName="cut-off", LaunchTemplateData=data)["LaunchTemplate"]
    template = made["LaunchTemplateId"]
    assert command(cloud.directory, "down").returncode == 0
    line = [sys.executable, str(Path(__file__).parents[1] / "dying_cloud.py"), "up", "--foreground"]
    dying = subprocess.Popen([*line, "--state", str(cloud.directory)], stdout=subprocess.DEVNULL)
    try:
        instances.wait_until(lambda: command(cloud.directory, "status").returncode == 0)
        with pytest.raises((ConnectionError, HTTPClientError)):
            call(ec2, template)
        assert dying.wait(60) == 137
    finally:
        dying.kill()
    ec2 = start().client("ec2")
    (left,) = servers(ec2)
    if call is fleet:
        assert call(ec2, template) == [left]
    else:
        assert instances.refusal(call, ec2=ec2, template=template) == "IdempotentInstanceTerminated"
    assert servers(ec2) == [left]
