"""Parameters of launches, fleets and other EC2 actions that AWS checks and refuses."""

from typing import Any

from rows import row
from targets import Target, error_code

ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"
RUN = "EC2 API Reference, RunInstances"
DISK = "EC2 API Reference, EbsBlockDevice"


def refused(target: Target, **asked: Any) -> str:
    """Return the error code of a launch ("" if it launches)."""
    return error_code(lambda **parameters: target.launch(**parameters), **asked)


def disk(**parameters: Any) -> list[dict[str, Any]]:
    """Return launch parameters with these options of the root volume."""
    return [{"DeviceName": "/dev/xvda", "Ebs": parameters}]


@row("ec2", "An invalid value of a parameter is refused, in nested options too", RUN, unverified="Its code.")
def parameter_values(target: Target) -> None:
    assert refused(target, MetadataOptions={"HttpTokens": "sometimes"}) == "InvalidParameterValue"


@row("ec2", "A volume of io1 without IOPS is refused", DISK + ", Iops", unverified="The error's code.")
def iops_are_required(target: Target) -> None:
    code = refused(target, BlockDeviceMappings=disk(VolumeType="io1", VolumeSize=20))
    assert code in ("MissingParameter", "InvalidParameterDependency", "InvalidParameterCombination")


@row("ec2", "A volume of gp3 has at least 3000 IOPS", DISK + ", Iops", unverified="The error's code.")
def iops_have_a_range(target: Target) -> None:
    answer = disk(VolumeType="gp3", VolumeSize=20, Iops=2999)
    assert refused(target, BlockDeviceMappings=answer)[:16] == "InvalidParameter"


@row("ec2", "Throughput is only valid for gp3", DISK + ", Throughput", unverified="The error's code.")
def throughput(target: Target) -> None:
    code = refused(target, BlockDeviceMappings=disk(VolumeType="gp2", VolumeSize=20, Throughput=125))
    assert code[:16] == "InvalidParameter"


@row("ec2", "An unknown snapshot is InvalidSnapshot.NotFound", ERRORS)
def unknown_snapshot(target: Target) -> None:
    answer = disk(SnapshotId="snap-00000000000000000")
    assert refused(target, BlockDeviceMappings=answer) == "InvalidSnapshot.NotFound"


@row("ec2", "An unknown placement group is InvalidPlacementGroup.Unknown", ERRORS)
def unknown_placement_group(target: Target) -> None:
    assert refused(target, Placement={"GroupName": "conf-no-such"}) == "InvalidPlacementGroup.Unknown"


@row("ec2", "An address outside the subnet is refused", RUN + ", PrivateIpAddress", unverified="The error's code.")
def address_outside_subnet(target: Target) -> None:
    assert refused(target, PrivateIpAddress="192.0.2.7") == "InvalidParameterValue"


@row("ec2", "A maximum price below the spot price is SpotMaxPriceTooLow", ERRORS + ", SpotMaxPriceTooLow")
def spot_price_too_low(target: Target) -> None:
    options = {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.000001"}}
    assert refused(target, InstanceMarketOptions=options) == "SpotMaxPriceTooLow"


@row(
    "ec2",
    "A one-time spot request can only be interrupted by termination",
    "EC2 API Reference, SpotMarketOptions, InstanceInterruptionBehavior",
    unverified="The error's code.",
)
def interruption_behavior(target: Target) -> None:
    spot = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "stop"}
    code = refused(target, InstanceMarketOptions={"MarketType": "spot", "SpotOptions": spot})
    assert code == "InvalidParameterCombination"


@row(
    "ec2", "A fleet's capacity is counted in the weights of its overrides",
    "EC2 API Reference, FleetLaunchTemplateOverridesRequest, WeightedCapacity",
)  # fmt: skip
def fleet_weights(target: Target) -> None:
    specification = {"LaunchTemplateId": target.template(), "Version": "1"}
    configuration = {"LaunchTemplateSpecification": specification, "Overrides": [{"WeightedCapacity": 2.0}]}
    two = {"TotalTargetCapacity": 2, "DefaultTargetCapacityType": "on-demand"}
    more = {"LaunchTemplateConfigs": [configuration], "TargetCapacitySpecification": two}
    made = target.fleet(specification["LaunchTemplateId"], **more)
    assert [len(one["InstanceIds"]) for one in made["Instances"]] == [1]


@row("ec2", "Instances of a deleted fleet end as if a user had terminated them", "EC2 API Reference, DeleteFleets")
def deleted_fleet_reason(target: Target) -> None:
    made = target.fleet(target.template())
    target.client("ec2").delete_fleets(FleetIds=[made["FleetId"]], TerminateInstances=True)
    shown = target.wait_for_state(made["Instances"][0]["InstanceIds"][0], "terminated")
    assert shown["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


@row(
    "ec2",
    "A change of the hop limit is checked",
    "EC2 API Reference, ModifyInstanceMetadataOptions",
    unverified="The error's code.",
)
def changed_hop_limit(target: Target) -> None:
    (server,) = target.launch()
    change = target.client("ec2").modify_instance_metadata_options
    assert error_code(change, InstanceId=server, HttpPutResponseHopLimit=65) == "InvalidParameterValue"


@row(
    "ec2",
    "A terminated instance cannot be modified",
    ERRORS + ", IncorrectInstanceState",
    unverified="The error's code.",
)
def modify_terminated_instance(target: Target) -> None:
    (server,) = target.launch()
    ec2 = target.client("ec2")
    ec2.terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    parameters = {"Value": "terminate"}
    code = error_code(ec2.modify_instance_attribute, InstanceId=server, InstanceInitiatedShutdownBehavior=parameters)
    assert code == "IncorrectInstanceState"


@row("ec2", "DryRun of a Describe action answers DryRunOperation", "EC2 API Reference, DescribeVolumes, DryRun")
def dry_run_of_describe(target: Target) -> None:
    assert error_code(target.client("ec2").describe_volumes, DryRun=True) == "DryRunOperation"
