"""What EC2 knew is known after the cloud was ended, or killed, and started again."""

import os
import signal
from collections.abc import Callable

import machine_tools as tools
import pytest
from running_cloud import Running, command

pytestmark = pytest.mark.cloud


def test_templates_fleets_tokens_and_ended_servers_survive_a_kill(start: Callable[..., Running]) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    data = {"ImageId": tools.image(ec2), "InstanceType": "t3.micro", "UserData": tools.encoded("#!/bin/sh\npoweroff\n")}
    data["InstanceInitiatedShutdownBehavior"] = "terminate"
    template = ec2.create_launch_template(LaunchTemplateName="kept", LaunchTemplateData=data)["LaunchTemplate"]
    asked = {
        "Type": "instant",
        "ClientToken": "kept",
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1},
        "LaunchTemplateConfigs": [
            {"LaunchTemplateSpecification": {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}}
        ],
    }
    made = ec2.create_fleet(**asked)
    (server,) = made["Instances"][0]["InstanceIds"]
    tools.becomes(ec2, server, "terminated")
    said = tools.console(ec2, server)
    os.kill(cloud.facts["pid"], signal.SIGKILL)
    tools.until(lambda: command(cloud.directory, "status").returncode != 0)
    again = start().client("ec2")
    assert again.describe_launch_templates(LaunchTemplateNames=["kept"])["LaunchTemplates"][0] == template | {
        "CreateTime": template["CreateTime"]
    }
    assert again.create_fleet(**asked)["Instances"] == made["Instances"]
    assert again.describe_fleets(FleetIds=[made["FleetId"]])["Fleets"][0]["FleetId"] == made["FleetId"]
    shown = tools.shown(again, server)
    assert shown["State"]["Name"] == "terminated"
    assert shown["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert tools.console(again, server) == said


def test_a_server_that_ran_when_the_cloud_went_down_is_terminated_with_the_reason(
    start: Callable[..., Running],
) -> None:
    cloud = start()
    server = tools.run(cloud.client("ec2"), "#!/bin/sh\necho up\n")
    stopped = tools.run(cloud.client("ec2"), "#!/bin/sh\npoweroff\n")
    tools.becomes(cloud.client("ec2"), server, "running")
    tools.becomes(cloud.client("ec2"), stopped, "stopped")
    assert command(cloud.directory, "down").returncode == 0
    ec2 = start().client("ec2")
    shown = tools.shown(ec2, server)
    assert (shown["State"]["Name"], shown["StateReason"]["Code"]) == ("terminated", "Server.InternalError")
    assert tools.state(ec2, stopped) == "stopped"
    ec2.start_instances(InstanceIds=[stopped])
    tools.becomes(ec2, stopped, "running")
    assert "boots (2)" in tools.console(ec2, stopped)
