"""EC2's state survives a stop and a kill of the cloud."""

import asyncio
import datetime
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import instances
from localcloud.ec2.records import Fleet, Instance, RecordStore, Volume
from localcloud.ec2.supervisor import GuestSupervisor
from localcloud.errors import CloudError
from localcloud.guests.process import ProcessBackend
from running_cloud import Running, command

pytestmark = pytest.mark.cloud


def test_ec2_state_survives_a_kill(start: Callable[..., Running]) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    data = {
        "ImageId": instances.image(ec2),
        "InstanceType": "t3.micro",
        "UserData": instances.encoded("#!/bin/sh\npoweroff\n"),
    }
    data["InstanceInitiatedShutdownBehavior"] = "terminate"
    template = ec2.create_launch_template(LaunchTemplateName="kept", LaunchTemplateData=data)["LaunchTemplate"]
    parameters = {
        "Type": "instant",
        "ClientToken": "kept",
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1},
        "LaunchTemplateConfigs": [
            {"LaunchTemplateSpecification": {"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Latest"}}
        ],
    }
    made = ec2.create_fleet(**parameters)
    (server,) = made["Instances"][0]["InstanceIds"]
    instances.wait_for_state(ec2, server, "terminated")
    output = instances.console(ec2, server)
    os.kill(cloud.facts["pid"], signal.SIGKILL)
    instances.wait_until(lambda: command(cloud.directory, "status").returncode != 0)
    again = start().client("ec2")
    assert again.describe_launch_templates(LaunchTemplateNames=["kept"])["LaunchTemplates"][0] == template | {
        "CreateTime": template["CreateTime"]
    }
    assert again.create_fleet(**parameters)["Instances"] == made["Instances"]
    assert again.describe_fleets(FleetIds=[made["FleetId"]])["Fleets"][0]["FleetId"] == made["FleetId"]
    shown = instances.shown(again, server)
    assert shown["State"]["Name"] == "terminated"
    assert shown["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert instances.console(again, server) == output


def test_instance_that_ran_at_down_is_terminated_with_a_reason(
    start: Callable[..., Running],
) -> None:
    cloud = start()
    server = instances.run(cloud.client("ec2"), "#!/bin/sh\necho up\n")
    stopped = instances.run(cloud.client("ec2"), "#!/bin/sh\npoweroff\n")
    instances.wait_for_state(cloud.client("ec2"), server, "running")
    instances.wait_for_state(cloud.client("ec2"), stopped, "stopped")
    assert command(cloud.directory, "down").returncode == 0
    ec2 = start().client("ec2")
    shown = instances.shown(ec2, server)
    assert (shown["State"]["Name"], shown["StateReason"]["Code"]) == ("terminated", "Server.InternalError")
    assert instances.state(ec2, stopped) == "stopped"
    ec2.start_instances(InstanceIds=[stopped])
    instances.wait_for_state(ec2, stopped, "running")
    assert "boots (2)" in instances.console(ec2, stopped)


def test_only_long_terminated_instances_are_forgotten(tmp_path: Path) -> None:
    now = datetime.datetime(2026, 11, 24, 12, tzinfo=datetime.UTC)

    class Noon:
        def now(self) -> datetime.datetime:
            return now

        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(seconds)

    async def metadata(instance: str, listener: socket.socket) -> Callable[[], None]:
        raise AssertionError(f"no guest is started here, but {instance} was, at {listener}")

    store = RecordStore(tmp_path / "records")
    region = store.region("us-east-1")
    for number, ended in enumerate((now.timestamp() - 5000, now.timestamp() - 3700, None)):
        volume = Volume("vol-1", "/dev/xvda", 8, "gp3", False, True, "")
        region.instances[f"i-{number}"] = Instance(
            *(f"i-{number}", "r-1", "ami-1", "t3.micro", "x86_64", "stopped" if ended is None else "terminated", ""),
            *(
                "us-east-1a",
                "use1-az1",
                "subnet-1",
                "vpc-1",
                "172.31.0.9",
                "0a:00:00:00:00:01",
                [],
                "spot",
                "stop",
                volume,
            ),
            fleet=f"fleet-{number}",
            ended=ended,
        )
        region.fleets[f"fleet-{number}"] = Fleet(f"fleet-{number}", "2026-11-20T00:00:00Z", {}, {})
    region.tokens["old"] = {"digest": "", "answer": None, "at": now.timestamp() - 3 * 86400}
    region.tokens["new"] = {"digest": "", "answer": None, "at": now.timestamp() - 86400}
    long_ago = now.timestamp() - 9 * 86400
    region.tokens["of one that lives"] = {"digest": "", "answer": {"instances": ["i-2"]}, "at": long_ago}
    answer = {"Instances": [{"InstanceIds": ["i-0"]}]}
    region.tokens["of one that ended an hour ago"] = {"digest": "", "answer": answer, "at": long_ago}
    region.tokens["of one forgotten"] = {"digest": "", "answer": {"instances": ["i-9"]}, "at": long_ago}
    GuestSupervisor(tmp_path / "guests", store, Noon(), ProcessBackend(1, False, False, metadata)).forget_old()
    kept = RecordStore(tmp_path / "records").region("us-east-1")
    assert set(kept.instances) == {"i-1", "i-2"}
    assert set(kept.fleets) == {"fleet-1", "fleet-2"}
    assert set(kept.tokens) == {"new", "of one that lives", "of one that ended an hour ago"}


def test_unreadable_record_is_reported_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "us-east-1.json").write_text('{"instances": ')
    with pytest.raises(CloudError, match=r"us-east-1\.json cannot be read"):
        RecordStore(tmp_path)
