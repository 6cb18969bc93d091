"""The pools of an instant fleet: which are tried, in which order; and calls with one token at the same time."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rows import row
from targets import Target, error_code

FLEET = "EC2 API Reference, CreateFleet"
OVERRIDE = "EC2 API Reference, FleetLaunchTemplateOverridesRequest"
TYPES = ("t3.nano", "t3.micro", "t3a.nano", "t3a.micro", "t3.small")
SPOT = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}


def subnet(target: Target) -> str:
    """Return a default subnet whose zone offers all of TYPES."""
    ec2, asked = target.client("ec2"), [{"Name": "instance-type", "Values": list(TYPES)}]
    found = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=asked)
    zones = [one["Location"] for one in found["InstanceTypeOfferings"]]
    zone = min(zone for zone in zones if zones.count(zone) == len(TYPES))
    asked = [{"Name": "availability-zone", "Values": [zone]}, {"Name": "default-for-az", "Values": ["true"]}]
    return str(ec2.describe_subnets(Filters=asked)["Subnets"][0]["SubnetId"])


def fleet(target: Target, *overrides: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Create an instant fleet with these overrides, all in one subnet."""
    specification = {"LaunchTemplateId": target.template(), "Version": "1"}
    place = target.shared("subnet of pools", lambda: subnet(target))
    chosen = [{"SubnetId": place} | override for override in overrides]
    configuration = {"LaunchTemplateSpecification": specification, "Overrides": chosen}
    return target.fleet("", LaunchTemplateConfigs=[configuration], **more)


def without_capacity(target: Any, *types: str) -> None:
    """Let these types have no capacity until the row ends."""
    rules = [{"code": "InsufficientInstanceCapacity", "type": name} for name in types]
    target.control("ec2/capacity", {"rules": rules})
    target.undo_after_row(target.control, path="ec2/capacity", method="DELETE")


@row(
    "ec2",
    "An instant fleet tries three pools; the others are UnfulfillableCapacity, untried",
    "EC2 User Guide, EC2 Fleet errors",
    not_on_aws="AWS cannot be made to lack capacity",
    unverified="The number; others measured about three.",
)
def fleet_tries_three_pools(target: Any) -> None:
    without_capacity(target, *TYPES[:3])
    made = fleet(
        target, *({"InstanceType": name} for name in TYPES), OnDemandOptions={"AllocationStrategy": "prioritized"}
    )
    assert made["Instances"] == []
    codes = [one["ErrorCode"] for one in made["Errors"]]
    assert codes == ["InsufficientInstanceCapacity"] * 3 + ["UnfulfillableCapacity"] * 2
    untried = [one["LaunchTemplateAndOverrides"]["Overrides"]["InstanceType"] for one in made["Errors"][3:]]
    made = fleet(target, *({"InstanceType": name} for name in untried))
    assert made["Errors"] == []


@row("ec2", "`prioritized` launches the override with the lowest Priority; one without a number comes last", OVERRIDE)
def fleet_by_priority(target: Target) -> None:
    overrides = [
        {"InstanceType": "t3.nano"},
        {"InstanceType": "t3a.micro", "Priority": 2.0},
        {"InstanceType": "t3.micro", "Priority": 0.0},
    ]
    made = fleet(target, *overrides, OnDemandOptions={"AllocationStrategy": "prioritized"})
    assert made["Instances"][0]["InstanceType"] == "t3.micro"
    assert made["Instances"][0]["LaunchTemplateAndOverrides"]["Overrides"]["Priority"] == 0.0


@row(
    "ec2",
    "`capacity-optimized-prioritized` follows the priorities while there is capacity",
    OVERRIDE,
    not_on_aws="on AWS it follows them only as far as it can",
)
def spot_fleet_by_priority(target: Any) -> None:
    overrides = [
        {"InstanceType": "t3.nano", "Priority": 1.0},
        {"InstanceType": "t3.small", "Priority": 0.0},
    ]
    options = {"SpotOptions": {"AllocationStrategy": "capacity-optimized-prioritized"}}
    made = fleet(target, *overrides, TargetCapacitySpecification=SPOT, **options)
    assert made["Instances"][0]["InstanceType"] == "t3.small"
    without_capacity(target, "t3.small")
    made = fleet(target, *overrides, TargetCapacitySpecification=SPOT, **options)
    assert made["Instances"][0]["InstanceType"] == "t3.nano"


@row(
    "ec2",
    "A priority is a whole number, 0 or more; each market has its own strategies",
    OVERRIDE,
    unverified="The code of the errors.",
)
def priorities_are_checked(target: Target) -> None:
    for priority in (-1.0, 0.5):
        code = error_code(lambda: fleet(target, {"InstanceType": "t3.nano", "Priority": priority}))  # noqa: B023
        assert code == "InvalidParameterValue", priority
    for name, strategy in (("OnDemandOptions", "capacity-optimized-prioritized"), ("SpotOptions", "prioritized")):
        target_capacity = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
        if name == "SpotOptions":
            target_capacity = SPOT
        more: dict[str, Any] = {name: {"AllocationStrategy": strategy}, "TargetCapacitySpecification": target_capacity}
        assert error_code(fleet, target=target, **more) == "InvalidParameterValue", strategy


@row(
    "ec2",
    "Two overrides of one type in one zone fail the whole call, also in two subnets: InvalidFleetConfig",
    "EC2 Developer Guide, Error codes for the Amazon EC2 API",
    unverified="The words of the message, and that the zone counts and not the subnet; both were seen in practice.",
)
def duplicate_pools(target: Target) -> None:
    ec2 = target.client("ec2")
    first = target.shared("subnet of pools", lambda: subnet(target))
    (known,) = ec2.describe_subnets(SubnetIds=[first])["Subnets"]
    made = ec2.create_subnet(
        VpcId=known["VpcId"], CidrBlock="172.31.255.0/28", AvailabilityZone=known["AvailabilityZone"]
    )
    other = made["Subnet"]["SubnetId"]
    target.undo_after_row(ec2.delete_subnet, SubnetId=other)
    pair = [{"InstanceType": "t3.nano"}, {"InstanceType": "t3.nano", "SubnetId": other}]
    assert error_code(lambda: fleet(target, *pair)) == "InvalidFleetConfig"
    assert fleet(target, {"InstanceType": "t3.nano"}, {"InstanceType": "t3.micro", "SubnetId": other})["Instances"]


@row(
    "ec2",
    "While a call is not answered, another with its ClientToken is IdempotentCallInProgress; after it, the same answer",
    "EC2 Developer Guide, Ensuring idempotency in Amazon EC2 API requests",
    not_on_aws="how long a call takes cannot be chosen",
    unverified="All of it; others saw it from CreateFleet.",
)
def token_in_flight(target: Any) -> None:
    template, token = target.template(), target.name_for("token")
    calls = {
        "fleet": lambda: target.fleet(template, ClientToken=token)["Instances"][0]["InstanceIds"],
        "launch": lambda: target.launch(ClientToken=token),
    }
    target.undo_after_row(target.control, path="ec2/conditions", method="DELETE")
    target.control("ec2/conditions", {"answer_seconds": 1.5})
    for call in calls.values():
        with ThreadPoolExecutor(3) as threads:
            codes = [one.result() for one in [threads.submit(error_code, call) for _ in range(3)]]
        assert sorted(codes) == ["", "IdempotentCallInProgress", "IdempotentCallInProgress"]
        assert call() == call()
