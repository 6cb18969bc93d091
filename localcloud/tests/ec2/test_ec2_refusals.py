"""Parameters that this EC2 does not support or AWS does not allow are refused, never ignored."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud


def disk(**parameters: Any) -> dict[str, Any]:
    """Return launch parameters with these options of the root volume."""
    return {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": parameters}]}


def spot(**parameters: Any) -> dict[str, Any]:
    """Return launch parameters with these spot options."""
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": parameters}}


def card(**parameters: Any) -> dict[str, Any]:
    """Return launch parameters with this network interface."""
    return {"NetworkInterfaces": [{"DeviceIndex": 0, **parameters}]}


UNSUPPORTED, INVALID, COMBINATION = "UnsupportedOperation", "InvalidParameterValue", "InvalidParameterCombination"
LAUNCHES = [
    ({"Ipv6AddressCount": 1}, UNSUPPORTED),
    ({"CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 1}}, UNSUPPORTED),
    ({"DisableApiStop": True}, UNSUPPORTED),
    (
        {"CapacityReservationSpecification": {"CapacityReservationPreference": "capacity-reservations-only"}},
        UNSUPPORTED,
    ),
    ({"MaintenanceOptions": {"AutoRecovery": "perhaps"}}, INVALID),
    ({"MetadataOptions": {"HttpTokens": "sometimes"}}, INVALID),
    ({"CreditSpecification": {"CpuCredits": "standard"}, "DryRun": True}, "DryRunOperation"),
    ({"EnclaveOptions": {"Enabled": False}, "DisableApiStop": False, "DryRun": True}, "DryRunOperation"),
    (disk(VolumeType="gp9"), INVALID),
    (disk(VolumeType="st1", VolumeSize=125), "InvalidBlockDeviceMapping"),
    (disk(VolumeSize=70000), INVALID),
    (disk(VolumeType="gp3", Iops=2999), INVALID),
    (disk(VolumeType="gp3", VolumeSize=20, Iops=10001), INVALID),
    (disk(VolumeType="gp3", Iops=3000, Throughput=751), INVALID),
    (disk(VolumeType="gp2", Iops=3000), COMBINATION),
    (disk(VolumeType="gp2", Throughput=125), COMBINATION),
    (disk(VolumeType="io1"), "MissingParameter"),
    (disk(VolumeType="io1", VolumeSize=10, Iops=501), INVALID),
    (disk(VolumeType="io1", VolumeSize=10, Iops=500) | {"DryRun": True}, "DryRunOperation"),
    (disk(SnapshotId="snap-00000000000000000"), "InvalidSnapshot.NotFound"),
    (disk(KmsKeyId="alias/mine"), "InvalidParameterDependency"),
    (disk(KmsKeyId="alias/mine", Encrypted=True) | {"DryRun": True}, "DryRunOperation"),
    (disk(DeleteOnTermination=False), UNSUPPORTED),
    (card(NetworkInterfaceId="eni-00000000000000000"), "InvalidNetworkInterfaceID.NotFound"),
    (card(Ipv6AddressCount=1), UNSUPPORTED),
    (card(DeleteOnTermination=False), UNSUPPORTED),
    ({"NetworkInterfaces": [{"DeviceIndex": 1}]}, INVALID),
    (card() | {"PrivateIpAddress": "172.31.0.20"}, COMBINATION),
    ({"PrivateIpAddress": "10.99.0.20"}, INVALID),
    ({"PrivateIpAddress": "172.31.0.3"}, INVALID),
    ({"PrivateIpAddress": "here"}, INVALID),
    ({"PrivateIpAddress": "172.31.0.20", "MaxCount": 2}, COMBINATION),
    (spot(MaxPrice="cheap"), INVALID),
    (spot(MaxPrice="nan"), INVALID),
    (spot(MaxPrice="0.000001"), "SpotMaxPriceTooLow"),
    (spot(MaxPrice="10.0") | {"DryRun": True}, "DryRunOperation"),
    (spot(InstanceInterruptionBehavior="stop"), COMBINATION),
    (spot(ValidUntil="2020-01-01T00:00:00Z"), COMBINATION),
    (spot(BlockDurationMinutes=60), UNSUPPORTED),
    ({"InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "1"}}}, COMBINATION),
    ({"Placement": {"GroupName": "none"}}, "InvalidPlacementGroup.Unknown"),
    ({"Placement": {"HostId": "h-00000000000000000"}}, "InvalidHostID.NotFound"),
    ({"Placement": {"Affinity": "host"}}, UNSUPPORTED),
    ({"MinCount": 257, "MaxCount": 257}, "InstanceLimitExceeded"),
]


def known(ec2: Any) -> int:
    """Return the number of instances in any state."""
    return sum(len(group["Instances"]) for group in ec2.describe_instances()["Reservations"])


@pytest.mark.parametrize(("asked", "code"), LAUNCHES, ids=lambda value: str(value)[:60])
def test_unsupported_or_invalid_launch_is_refused(cloud: Running, asked: dict[str, Any], code: str) -> None:
    ec2 = cloud.client("ec2")
    before = known(ec2)
    assert instances.refusal(lambda: instances.run(ec2, **asked)) == code
    assert known(ec2) == before


def test_launch_takes_the_room_its_subnet_has(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.1.0/28")["Subnet"]["SubnetId"]
    parameters = {"ImageId": instances.image(ec2), "InstanceType": "t3.micro", "SubnetId": subnet}
    few = ec2.run_instances(MinCount=1, MaxCount=2, **parameters)["Instances"]
    rest = ec2.run_instances(MinCount=1, MaxCount=100, **parameters)["Instances"]
    made = [one["InstanceId"] for one in few + rest]
    try:
        assert len(few) == 2
        assert 1 <= len(rest) < 14
        assert len({one["PrivateIpAddress"] for one in few + rest}) == len(made)
        full = instances.refusal(ec2.run_instances, MinCount=1, MaxCount=1, **parameters)
        assert full == "InsufficientFreeAddressesInSubnet"
    finally:
        ec2.terminate_instances(InstanceIds=made)


def fleet(ec2: Any, template: str, override: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return parameters of an instant fleet of one spot instance, with changes."""
    specification = {"LaunchTemplateId": template, "Version": "1"}
    parameters: dict[str, Any] = {
        "Type": "instant",
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        "LaunchTemplateConfigs": [
            {"LaunchTemplateSpecification": specification, "Overrides": [override] if override else []}
        ],
    }
    made: dict[str, Any] = ec2.create_fleet(**(parameters | more))
    return made


@pytest.fixture
def template(cloud: Running) -> Iterator[str]:
    """A launch template; instances of its fleets are terminated after the test."""
    ec2 = cloud.client("ec2")
    data = {"ImageId": instances.image(ec2), "InstanceType": "t3.micro"}
    made = ec2.create_launch_template(LaunchTemplateName="t-" + os.urandom(4).hex(), LaunchTemplateData=data)
    yield made["LaunchTemplate"]["LaunchTemplateId"]
    alive = [{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    groups = ec2.describe_instances(Filters=alive)["Reservations"]
    for one in [one["InstanceId"] for group in groups for one in group["Instances"]]:
        ec2.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": False})
        ec2.terminate_instances(InstanceIds=[one])
        instances.wait_for_state(ec2, one, "terminated")


ONE_ZONE = {"SingleAvailabilityZone": True}
FLEETS = [
    ({"ExcessCapacityTerminationPolicy": "termination"}, UNSUPPORTED),
    ({"ValidUntil": "2030-01-01T00:00:00Z"}, UNSUPPORTED),
    ({"ReplaceUnhealthyInstances": True}, UNSUPPORTED),
    ({"Context": "mine"}, UNSUPPORTED),
    ({"SpotOptions": {"AllocationStrategy": "cheapest"}}, INVALID),
    ({"SpotOptions": {"MaintenanceStrategies": {"CapacityRebalance": {"ReplacementStrategy": "launch"}}}}, UNSUPPORTED),
    ({"SpotOptions": {"InstanceInterruptionBehavior": "hibernate"}}, COMBINATION),
    ({"SpotOptions": {"MinTargetCapacity": 1}}, COMBINATION),
    ({"SpotOptions": {"MinTargetCapacity": 2, **ONE_ZONE}}, INVALID),
    ({"SpotOptions": {"MaxTotalPrice": "little"}}, INVALID),
    ({"override": {"MaxPrice": "cheap"}}, INVALID),
    ({"override": {"WeightedCapacity": 0.0}}, INVALID),
    ({"override": {"InstanceRequirements": {"VCpuCount": {"Min": 1}, "MemoryMiB": {"Min": 1}}}}, UNSUPPORTED),
]


@pytest.mark.parametrize(("asked", "code"), FLEETS, ids=lambda value: str(value)[:60])
def test_unsupported_or_invalid_fleet_is_refused(
    cloud: Running, template: str, asked: dict[str, Any], code: str
) -> None:
    ec2 = cloud.client("ec2")
    before = known(ec2)
    assert instances.refusal(fleet, ec2=ec2, template=template, **asked) == code
    assert known(ec2) == before


def test_fleet_capacity_is_counted_in_weights(cloud: Running, template: str) -> None:
    ec2 = cloud.client("ec2")
    five = {"TotalTargetCapacity": 5, "DefaultTargetCapacityType": "spot"}
    options = {"MinTargetCapacity": 5, **ONE_ZONE}
    weighs = {"WeightedCapacity": 2.0}
    made = fleet(ec2, template, weighs, TargetCapacitySpecification=five, SpotOptions=options)
    assert len(made["Instances"][0]["InstanceIds"]) == 3
    (shown,) = ec2.describe_fleets(FleetIds=[made["FleetId"]])["Fleets"]
    assert shown["FulfilledCapacity"] == 6.0


def test_fleet_above_its_price_limit_launches_nothing(cloud: Running, template: str) -> None:
    ec2 = cloud.client("ec2")
    too_expensive = fleet(ec2, template, SpotOptions={"MaxTotalPrice": "0.00001"})
    assert (too_expensive["Instances"], too_expensive["Errors"][0]["ErrorCode"]) == ([], "MaxTotalPriceExceeded")
    assert len(fleet(ec2, template, SpotOptions={"MaxTotalPrice": "5"})["Instances"]) == 1


def test_deleted_fleet_gives_the_reason_of_terminate_instances(cloud: Running, template: str) -> None:
    ec2 = cloud.client("ec2")
    made = [fleet(ec2, template) for _ in range(2)]
    servers = [one["Instances"][0]["InstanceIds"][0] for one in made]
    answer = ec2.delete_fleets(FleetIds=[one["FleetId"] for one in made] + ["fleet-none"], TerminateInstances=True)
    assert len(answer["SuccessfulFleetDeletions"]) == 2
    assert answer["UnsuccessfulFleetDeletions"][0]["Error"]["Code"] == "fleetIdDoesNotExist"
    for one in servers:
        shown = instances.shown(ec2, one)
        assert shown["State"]["Name"] in ("shutting-down", "terminated")
        assert shown["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_fleet_with_a_protected_instance_is_not_deleted(cloud: Running, template: str) -> None:
    ec2 = cloud.client("ec2")
    market = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
    made = fleet(ec2, template, TargetCapacitySpecification=market)
    (server,) = made["Instances"][0]["InstanceIds"]
    ec2.modify_instance_attribute(InstanceId=server, DisableApiTermination={"Value": True})
    answer = ec2.delete_fleets(FleetIds=[made["FleetId"]], TerminateInstances=True)
    assert answer["UnsuccessfulFleetDeletions"][0]["Error"]["Code"] == "unexpectedError"
    assert instances.state(ec2, server) in ("pending", "running")
    assert ec2.describe_fleets(FleetIds=[made["FleetId"]])["Fleets"]


@pytest.mark.usefixtures("template")
def test_changed_metadata_options_are_checked(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "a b", "Value": ""}]}]
    server = instances.run(ec2, TagSpecifications=tags)
    change = ec2.modify_instance_metadata_options
    before = instances.shown(ec2, server)["MetadataOptions"]
    assert instances.refusal(change, InstanceId=server, HttpPutResponseHopLimit=65) == INVALID
    assert instances.refusal(change, InstanceId=server, HttpTokens="sometimes") == INVALID
    assert instances.refusal(change, InstanceId=server, InstanceMetadataTags="enabled") == INVALID
    assert instances.shown(ec2, server)["MetadataOptions"] == before


@pytest.mark.usefixtures("template")
def test_one_stopped_instance_in_a_batch_reboots_nothing(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    stopped = instances.run(ec2, "#!/bin/sh\npoweroff\n")
    runs = instances.run(ec2, "#!/bin/sh\nfor beat in $(seq 1 600); do echo beat; sleep 0.1; done\n")

    def beats() -> int:
        return instances.console(ec2, runs).count("beat")

    instances.wait_for_state(ec2, stopped, "stopped")
    instances.wait_until(lambda: beats() > 0)
    assert instances.refusal(ec2.reboot_instances, InstanceIds=[runs, stopped]) == "IncorrectInstanceState"
    # After a reboot the script does not run again, so it prints no more beats.
    more = beats() + 40
    instances.wait_until(lambda: beats() >= more or "boots (2)" in instances.console(ec2, runs))
    assert "boots (2)" not in instances.console(ec2, runs)
    ec2.reboot_instances(InstanceIds=[runs])
    instances.wait_until(lambda: "boots (2)" in instances.console(ec2, runs))
    ec2.terminate_instances(InstanceIds=[stopped])


@pytest.mark.usefixtures("template")
def test_terminated_instance_cannot_be_modified(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2)
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")
    change, behavior = ec2.modify_instance_attribute, {"Value": "terminate"}
    code = instances.refusal(change, InstanceId=server, InstanceInitiatedShutdownBehavior=behavior)
    assert code == "IncorrectInstanceState"
    assert instances.refusal(ec2.modify_instance_metadata_options, InstanceId=server) == "IncorrectInstanceState"


@pytest.mark.usefixtures("template")
def test_unsupported_stop_options_are_refused(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2)
    assert instances.refusal(ec2.terminate_instances, InstanceIds=[server], SkipOsShutdown=True) == UNSUPPORTED
    assert instances.refusal(ec2.stop_instances, InstanceIds=[server], Hibernate=True) == UNSUPPORTED
    assert instances.state(ec2, server) in ("pending", "running")


LISTINGS = (
    *("describe_instances", "describe_instance_status", "describe_volumes", "describe_tags", "describe_images"),
    *("describe_instance_types", "describe_instance_type_offerings", "describe_spot_price_history"),
    *("describe_regions", "describe_availability_zones", "describe_subnets", "describe_vpcs"),
    *("describe_security_groups", "describe_launch_templates", "describe_launch_template_versions", "describe_fleets"),
)


@pytest.mark.parametrize("call", LISTINGS)
def test_dry_run_lists_nothing(cloud: Running, call: str) -> None:
    assert instances.refusal(getattr(cloud.client("ec2"), call), DryRun=True) == "DryRunOperation"


@pytest.mark.usefixtures("template")
def test_token_replays_after_its_template_is_deleted(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    data = {"ImageId": instances.image(ec2), "InstanceType": "t3.micro"}
    brief = ec2.create_launch_template(LaunchTemplateName="brief", LaunchTemplateData=data)["LaunchTemplate"]
    parameters = {"LaunchTemplate": {"LaunchTemplateId": brief["LaunchTemplateId"]}, "MinCount": 1, "MaxCount": 1}
    first = ec2.run_instances(ClientToken="brief", **parameters)["Instances"][0]["InstanceId"]
    made = fleet(ec2, brief["LaunchTemplateId"], ClientToken="brief")
    ec2.delete_launch_template(LaunchTemplateId=brief["LaunchTemplateId"])
    assert ec2.run_instances(ClientToken="brief", **parameters)["Instances"][0]["InstanceId"] == first
    assert fleet(ec2, brief["LaunchTemplateId"], ClientToken="brief")["Instances"] == made["Instances"]
    assert instances.refusal(ec2.run_instances, ClientToken="other", **parameters) == "InvalidLaunchTemplateId.NotFound"


@pytest.mark.usefixtures("template")
def test_token_with_another_subnet_of_the_zone_is_a_mismatch(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    zone = ec2.describe_subnets()["Subnets"][0]
    where = {"AvailabilityZone": zone["AvailabilityZone"]}
    instances.run(ec2, ClientToken="placed", Placement=where)
    parameters = {"SubnetId": zone["SubnetId"], "ClientToken": "placed"}
    assert instances.refusal(lambda: instances.run(ec2, **parameters)) == "IdempotentParameterMismatch"
