"""Launches and fleets that ask for more than AWS gives, and orders to servers that are checked before they are obeyed."""

from typing import Any

from rows import row
from targets import Target, refusal

ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"
RUN = "EC2 API Reference, RunInstances"
DISK = "EC2 API Reference, EbsBlockDevice"


def refused(target: Target, **asked: Any) -> str:
    """The code a launch is refused with. What it launched after all goes when the row is done."""
    return refusal(lambda **said: target.launch(**said), **asked)


def disk(**said: Any) -> list[dict[str, Any]]:
    """A root volume as said."""
    return [{"DeviceName": "/dev/xvda", "Ebs": said}]


@row("ec2", "A word that a parameter does not have is refused, in options too", RUN, unverified="Its code.")
def order_words(target: Target) -> None:
    assert refused(target, MetadataOptions={"HttpTokens": "sometimes"}) == "InvalidParameterValue"


@row("ec2", "A volume of io1 without IOPS is refused", DISK + ", Iops", unverified="The error's code.")
def order_iops_are_needed(target: Target) -> None:
    code = refused(target, BlockDeviceMappings=disk(VolumeType="io1", VolumeSize=20))
    assert code in ("MissingParameter", "InvalidParameterDependency", "InvalidParameterCombination")


@row("ec2", "A volume of gp3 has at least 3000 IOPS", DISK + ", Iops", unverified="The error's code.")
def order_iops_have_a_range(target: Target) -> None:
    asked = disk(VolumeType="gp3", VolumeSize=20, Iops=2999)
    assert refused(target, BlockDeviceMappings=asked)[:16] == "InvalidParameter"


@row("ec2", "Throughput is a parameter of gp3 alone", DISK + ", Throughput", unverified="The error's code.")
def order_throughput(target: Target) -> None:
    code = refused(target, BlockDeviceMappings=disk(VolumeType="gp2", VolumeSize=20, Throughput=125))
    assert code[:16] == "InvalidParameter"


@row("ec2", "An unknown snapshot is InvalidSnapshot.NotFound", ERRORS)
def order_snapshot(target: Target) -> None:
    asked = disk(SnapshotId="snap-00000000000000000")
    assert refused(target, BlockDeviceMappings=asked) == "InvalidSnapshot.NotFound"


@row("ec2", "An unknown placement group is InvalidPlacementGroup.Unknown", ERRORS)
def order_placement_group(target: Target) -> None:
    assert refused(target, Placement={"GroupName": "conf-no-such"}) == "InvalidPlacementGroup.Unknown"


@row("ec2", "An address outside the subnet is refused", RUN + ", PrivateIpAddress", unverified="The error's code.")
def order_address(target: Target) -> None:
    assert refused(target, PrivateIpAddress="192.0.2.7") == "InvalidParameterValue"


@row("ec2", "A spot price below the market's is SpotMaxPriceTooLow", ERRORS + ", SpotMaxPriceTooLow")
def order_spot_price(target: Target) -> None:
    options = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.000001"}}
    assert refused(target, InstanceMarketOptions=options) == "SpotMaxPriceTooLow"


@row(
    "ec2",
    "A one-time spot request can only be interrupted by termination",
    "EC2 API Reference, SpotMarketOptions, InstanceInterruptionBehavior",
    unverified="The error's code.",
)
def order_interruption(target: Target) -> None:
    spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "stop"}
    code = refused(target, InstanceMarketOptions={"MarketType": "spot", "SpotOptions": spot})
    assert code == "InvalidParameterCombination"


@row(
    "ec2", "A fleet's capacity is counted in the weights of its overrides",
    "EC2 API Reference, FleetLaunchTemplateOverridesRequest, WeightedCapacity",
)  # fmt: skip
def order_weights(target: Target) -> None:
    specification = {"LaunchTemplateId": target.template(), "Version": "1"}
    configuration = {"LaunchTemplateSpecification": specification, "Overrides": [{"WeightedCapacity": 2.0}]}
    two = {"TotalTargetCapacity": 2, "DefaultTargetCapacityType": "on-demand"}
    more = {"LaunchTemplateConfigs": [configuration], "TargetCapacitySpecification": two}
    made = target.fleet(specification["LaunchTemplateId"], **more)
    assert [len(one["InstanceIds"]) for one in made["Instances"]] == [1]


@row("ec2", "The servers of a deleted fleet end as by a user's order", "EC2 API Reference, DeleteFleets")
def order_deleted_fleet(target: Target) -> None:
    made = target.fleet(target.template())
    target.client("ec2").delete_fleets(FleetIds=[made["FleetId"]], TerminateInstances=True)
    shown = target.becomes(made["Instances"][0]["InstanceIds"][0], "terminated")
    assert shown["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


@row(
    "ec2",
    "The hop limit is checked when it is changed too",
    "EC2 API Reference, ModifyInstanceMetadataOptions",
    unverified="The error's code.",
)
def order_hop_limit(target: Target) -> None:
    (server,) = target.launch()
    change = target.client("ec2").modify_instance_metadata_options
    assert refusal(change, InstanceId=server, HttpPutResponseHopLimit=65) == "InvalidParameterValue"


@row(
    "ec2", "A terminated instance is not modified", ERRORS + ", IncorrectInstanceState", unverified="The error's code."
)
def order_modify_after_the_end(target: Target) -> None:
    (server,) = target.launch()
    ec2 = target.client("ec2")
    ec2.terminate_instances(InstanceIds=[server])
    target.becomes(server, "terminated")
    said = {"Value": "terminate"}
    code = refusal(ec2.modify_instance_attribute, InstanceId=server, InstanceInitiatedShutdownBehavior=said)
    assert code == "IncorrectInstanceState"


@row("ec2", "A dry run of a listing says DryRunOperation", "EC2 API Reference, DescribeVolumes, DryRun")
def order_dry_listing(target: Target) -> None:
    assert refusal(target.client("ec2").describe_volumes, DryRun=True) == "DryRunOperation"
