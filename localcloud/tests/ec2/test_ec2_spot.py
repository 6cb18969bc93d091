"""Spot interruptions, renewal of credentials, and actions that this EC2 does not offer."""

import urllib.error
from pathlib import Path
from typing import Any

import pytest

import instances
from localcloud.ec2.identity import RoleKeys
from localcloud.ec2.records import Instance, RecordStore, Volume
from localcloud.services.iam.roles import Session
from running_cloud import Running

pytestmark = pytest.mark.cloud

IDLE = "#!/bin/sh\necho up\n"
SPOT = {"InstanceMarketOptions": {"MarketType": "spot"}}


def refused(cloud: Running, body: Any) -> int:
    """Return the HTTP status with which a spot control is refused."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        instances.control(cloud.facts["endpoint"], "interrupt", body)
    return caught.value.code


def test_spot_instance_ends_two_minutes_after_its_notice(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, IDLE, **SPOT)
    instances.wait_for_state(ec2, server, "running")
    instances.control(cloud.facts["endpoint"], "interrupt", {"instance": server})
    assert cloud.advance(60)["settled"]
    assert instances.state(ec2, server) == "running"
    assert cloud.advance(61)["settled"]
    instances.wait_for_state(ec2, server, "terminated")
    shown = instances.shown(ec2, server)
    assert shown["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_instance_that_ended_first_keeps_its_own_reason(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, IDLE, **SPOT)
    instances.wait_for_state(ec2, server, "running")
    instances.control(cloud.facts["endpoint"], "interrupt", {"instance": server})
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")
    assert cloud.advance(121)["settled"]
    assert instances.shown(ec2, server)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_only_a_running_spot_instance_can_be_interrupted(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, IDLE)
    instances.wait_for_state(ec2, server, "running")
    assert refused(cloud, {"instance": server}) == 404
    assert refused(cloud, {"instance": "i-00000000000000000"}) == 404
    assert refused(cloud, {"instance": server, "seconds": 121}) == 400
    assert refused(cloud, {"instance": server, "seconds": "soon"}) == 400
    assert refused(cloud, ["nonsense"]) in (400, 404)
    ec2.terminate_instances(InstanceIds=[server])


def test_role_keys_are_renewed_with_half_an_hour_left(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    volume = Volume("vol-1", "/dev/xvda", 8, "gp3", False, True, "")
    of = {"role": "job", "role_arn": "arn:aws:iam::000000000000:role/job"}
    place = ("r-1", "ami-1", "t3.nano", "x86_64", "running", "", "", "", "", "", "", "", [], "spot", "stop")
    store.region("us-east-1").instances["i-1"] = Instance("i-1", *place, volume, profile=of)
    now = [1_800_000_000.0]
    values: list[tuple[Any, ...]] = []

    def assume(*arguments: Any) -> Session:
        values.append(arguments)
        return Session(f"ASIA{len(values)}", "secret", "token", now[0] + 3600)

    keys = RoleKeys("000000000000", store, lambda: now[0], assume)
    first = keys.document("i-1")
    assert (first["AccessKeyId"], first["LastUpdated"]) == ("ASIA1", "2027-01-15T08:00:00Z")
    now[0] += 1799
    assert keys.document("i-1") == first
    now[0] += 2
    second = keys.document("i-1")
    assert second["AccessKeyId"] == "ASIA2"
    assert first["Expiration"] < second["Expiration"]
    assert values[0][:3] == ("arn:aws:iam::000000000000:role/job", "ec2.amazonaws.com", "i-1")
    arn = "arn:aws:ec2:us-east-1:000000000000:instance/i-1"
    assert values[0][4] == {"ec2:roledelivery": "2.0", "ec2:sourceinstancearn": arn}
    assert keys.document("i-1", "1.0")["AccessKeyId"] == "ASIA3"
    assert values[2][4]["ec2:roledelivery"] == "1.0"
    assert keys.document("i-1")["AccessKeyId"] == "ASIA2"


def test_action_that_is_not_offered_is_invalid_action(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    with pytest.raises(ec2.exceptions.ClientError, match=r"InvalidAction.*not part of the local cloud's EC2"):
        ec2.create_key_pair(KeyName="mine")
    for call in (ec2.describe_key_pairs, ec2.describe_addresses, ec2.describe_snapshots):
        assert instances.refusal(call) == "InvalidAction"


def test_actions_of_ministack_are_strict_too(cloud: Running) -> None:
    ec2 = cloud.client("ec2")

    def vpcs() -> int:
        return len(ec2.describe_vpcs()["Vpcs"])

    before = vpcs()
    assert instances.refusal(ec2.create_vpc, CidrBlock="10.1.0.0/16", DryRun=True) == "DryRunOperation"
    ec2.meta.events.register("before-call.ec2.CreateVpc", lambda params, **_: params["body"].update(Nonsense="1"))
    assert instances.refusal(ec2.create_vpc, CidrBlock="10.1.0.0/16") == "UnknownParameter"
    assert vpcs() == before
