"""What a launch or a fleet asks for and this cloud does not play, or AWS does not allow, is refused and never ignored."""

from typing import Any

import machine_tools as tools
import pytest
from running_cloud import Running

pytestmark = pytest.mark.cloud


def disk(**said: Any) -> dict[str, Any]:
    """A launch whose root volume is so."""
    return {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": said}]}


def spot(**said: Any) -> dict[str, Any]:
    """A launch with such spot options."""
    return {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": said}}


def card(**said: Any) -> dict[str, Any]:
    """A launch with such a network interface."""
    return {"NetworkInterfaces": [{"DeviceIndex": 0, **said}]}


NOT_PLAYED, WRONG, NOT_TOGETHER = "UnsupportedOperation", "InvalidParameterValue", "InvalidParameterCombination"
LAUNCHES = [
    ({"Ipv6AddressCount": 1}, NOT_PLAYED),
    ({"CpuOptions": {"CoreCount": 1, "ThreadsPerCore": 1}}, NOT_PLAYED),
    ({"DisableApiStop": True}, NOT_PLAYED),
    ({"CapacityReservationSpecification": {"CapacityReservationPreference": "capacity-reservations-only"}}, NOT_PLAYED),
    ({"MaintenanceOptions": {"AutoRecovery": "perhaps"}}, WRONG),
    ({"MetadataOptions": {"HttpTokens": "sometimes"}}, WRONG),
    ({"CreditSpecification": {"CpuCredits": "standard"}, "DryRun": True}, "DryRunOperation"),
    ({"EnclaveOptions": {"Enabled": False}, "DisableApiStop": False, "DryRun": True}, "DryRunOperation"),
    (disk(VolumeType="gp9"), WRONG),
    (disk(VolumeType="st1", VolumeSize=125), "InvalidBlockDeviceMapping"),
    (disk(VolumeSize=70000), WRONG),
    (disk(VolumeType="gp3", Iops=2999), WRONG),
    (disk(VolumeType="gp3", VolumeSize=20, Iops=10001), WRONG),
    (disk(VolumeType="gp3", Iops=3000, Throughput=751), WRONG),
    (disk(VolumeType="gp2", Iops=3000), NOT_TOGETHER),
    (disk(VolumeType="gp2", Throughput=125), NOT_TOGETHER),
    (disk(VolumeType="io1"), "MissingParameter"),
    (disk(VolumeType="io1", VolumeSize=10, Iops=501), WRONG),
    (disk(VolumeType="io1", VolumeSize=10, Iops=500) | {"DryRun": True}, "DryRunOperation"),
    (disk(SnapshotId="snap-00000000000000000"), "InvalidSnapshot.NotFound"),
    (disk(KmsKeyId="alias/mine"), "InvalidParameterDependency"),
    (disk(KmsKeyId="alias/mine", Encrypted=True), NOT_PLAYED),
    (disk(DeleteOnTermination=False), NOT_PLAYED),
    (card(NetworkInterfaceId="eni-00000000000000000"), "InvalidNetworkInterfaceID.NotFound"),
    (card(Ipv6AddressCount=1), NOT_PLAYED),
    (card(DeleteOnTermination=False), NOT_PLAYED),
    ({"NetworkInterfaces": [{"DeviceIndex": 1}]}, WRONG),
    (card() | {"PrivateIpAddress": "172.31.0.20"}, NOT_TOGETHER),
    ({"PrivateIpAddress": "10.99.0.20"}, WRONG),
    ({"PrivateIpAddress": "172.31.0.3"}, WRONG),
    ({"PrivateIpAddress": "here"}, WRONG),
    ({"PrivateIpAddress": "172.31.0.20", "MaxCount": 2}, NOT_TOGETHER),
    (spot(MaxPrice="cheap"), WRONG),
    (spot(MaxPrice="nan"), WRONG),
    (spot(MaxPrice="0.000001"), "SpotMaxPriceTooLow"),
    (spot(MaxPrice="10.0") | {"DryRun": True}, "DryRunOperation"),
    (spot(InstanceInterruptionBehavior="stop"), NOT_TOGETHER),
    (spot(ValidUntil="2020-01-01T00:00:00Z"), NOT_TOGETHER),
    (spot(BlockDurationMinutes=60), NOT_PLAYED),
    ({"InstanceMarketOptions": {"SpotOptions": {"MaxPrice": "1"}}}, NOT_TOGETHER),
    ({"Placement": {"GroupName": "none"}}, "InvalidPlacementGroup.Unknown"),
    ({"Placement": {"HostId": "h-00000000000000000"}}, "InvalidHostID.NotFound"),
    ({"Placement": {"Affinity": "host"}}, NOT_PLAYED),
    ({"MinCount": 257, "MaxCount": 257}, "InstanceLimitExceeded"),
]


def known(ec2: Any) -> int:
    """How many instances there are, of any state."""
    return sum(len(group["Instances"]) for group in ec2.describe_instances()["Reservations"])


@pytest.mark.parametrize(("asked", "code"), LAUNCHES, ids=lambda value: str(value)[:60])
def test_a_launch_with_what_is_not_played_or_not_allowed_is_refused(
    cloud: Running, asked: dict[str, Any], code: str
) -> None:
    ec2 = cloud.client("ec2")
    before = known(ec2)
    assert tools.refusal(lambda: tools.run(ec2, **asked)) == code
    assert known(ec2) == before


def test_a_launch_of_one_to_many_takes_what_room_its_subnet_has(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.1.0/28")["Subnet"]["SubnetId"]
    asked = {"ImageId": tools.image(ec2), "InstanceType": "t3.micro", "SubnetId": subnet}
    few = ec2.run_instances(MinCount=1, MaxCount=2, **asked)["Instances"]
    rest = ec2.run_instances(MinCount=1, MaxCount=100, **asked)["Instances"]
    made = [one["InstanceId"] for one in few + rest]
    try:
        assert len(few) == 2
        assert 1 <= len(rest) < 14
        assert len({one["PrivateIpAddress"] for one in few + rest}) == len(made)
        full = tools.refusal(ec2.run_instances, MinCount=1, MaxCount=1, **asked)
        assert full == "InsufficientFreeAddressesInSubnet"
    finally:
        ec2.terminate_instances(InstanceIds=made)
