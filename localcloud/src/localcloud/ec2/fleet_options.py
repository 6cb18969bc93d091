"""What an instant fleet may ask for beside its templates: capacity, market, weights, ceilings; the rest is refused.

Source: "EC2 API Reference", CreateFleet, SpotOptionsRequest, OnDemandOptionsRequest, FleetLaunchTemplateOverridesRequest.
"""

from typing import Any

from localcloud.ec2.errors import Ec2Error, invalid, missing, not_supported
from localcloud.ec2.records import ON_DEMAND, SPOT
from localcloud.ec2.supported import dollars, only

_FLEET = (
    "ClientToken",
    "DryRun",
    "LaunchTemplateConfigs",
    "OnDemandOptions",
    "SpotOptions",
    "TagSpecifications",
    "TargetCapacitySpecification",
    "Type",
)
# All servers of a fleet here are launched in one pool, or none is: of one type and in one zone they are in any case.
_OPTIONS = ("AllocationStrategy", "MaxTotalPrice", "MinTargetCapacity", "SingleAvailabilityZone", "SingleInstanceType")
_OVERRIDE = (
    "AvailabilityZone",
    "AvailabilityZoneId",
    "BlockDeviceMappings",
    "IamInstanceProfile",
    "ImageId",
    "InstanceType",
    "KeyName",
    "MaxPrice",
    "MetadataOptions",
    "Placement",
    "Priority",
    "SubnetId",
    "WeightedCapacity",
)
_CAPACITY = ("DefaultTargetCapacityType", "OnDemandTargetCapacity", "SpotTargetCapacity", "TotalTargetCapacity")


def check(params: dict[str, Any]) -> None:
    """Raise Ec2Error for what an instant fleet does not have, or this cloud does not play."""
    only(params, _FLEET, "The fleet parameter")
    only(params.get("TargetCapacitySpecification") or {}, _CAPACITY, "The target capacity's")
    for name in ("SpotOptions", "OnDemandOptions"):
        options = dict(params.get(name) or {})
        if options.get("InstanceInterruptionBehavior", "terminate") != "terminate":
            text = "An instant fleet has no interruption behavior but `terminate`."
            raise Ec2Error("InvalidParameterCombination", text)
        options.pop("InstanceInterruptionBehavior", None)
        only(options, _OPTIONS, f"The option of {name}")
        if "MaxTotalPrice" in options:
            dollars(options["MaxTotalPrice"], f"{name}.MaxTotalPrice")
        _check_least(params, options, name)
    for configuration in params.get("LaunchTemplateConfigs") or ():
        for override in configuration.get("Overrides") or ():
            _check_override(override)


def target(params: dict[str, Any]) -> tuple[int, str]:
    """(units of capacity, market) that a fleet asks for. Raises Ec2Error."""
    said = params.get("TargetCapacitySpecification")
    if not said or "TotalTargetCapacity" not in said:
        raise missing("TargetCapacitySpecification.TotalTargetCapacity")
    total, spot = said["TotalTargetCapacity"], said.get("SpotTargetCapacity", 0)
    on_demand = said.get("OnDemandTargetCapacity", 0)
    if total < 1:
        raise invalid(total, "TotalTargetCapacity")
    if spot and on_demand:
        raise not_supported("A fleet of both markets")
    if spot or on_demand:
        return total, SPOT if spot else ON_DEMAND
    market = said.get("DefaultTargetCapacityType", ON_DEMAND)
    if market not in (SPOT, ON_DEMAND):
        raise invalid(market, "DefaultTargetCapacityType")
    return total, market


def weight(override: dict[str, Any]) -> float:
    """How many units of capacity one server of an override is."""
    return float(override.get("WeightedCapacity") or 1)


def total_ceiling(params: dict[str, Any]) -> float | None:
    """The dollars per hour that all servers of the fleet together may cost."""
    options = params.get("SpotOptions" if target(params)[1] == SPOT else "OnDemandOptions") or {}
    return dollars(options["MaxTotalPrice"], "MaxTotalPrice") if "MaxTotalPrice" in options else None


def check_total(ceiling: float | None, cost: float) -> None:
    """Raise Ec2Error when servers of that many dollars per hour are more than the fleet may cost."""
    if ceiling is not None and cost > ceiling:
        raise Ec2Error("MaxTotalPriceExceeded", f"The servers cost {cost:.4f} USD per hour, more than {ceiling:g}.")


def _check_least(params: dict[str, Any], options: dict[str, Any], name: str) -> None:
    least = options.get("MinTargetCapacity")
    if least is None:
        return
    if not (options.get("SingleAvailabilityZone") or options.get("SingleInstanceType")):
        text = f"{name}.MinTargetCapacity needs SingleAvailabilityZone or SingleInstanceType."
        raise Ec2Error("InvalidParameterCombination", text)
    if not 1 <= least <= target(params)[0]:
        raise invalid(least, f"{name}.MinTargetCapacity")


def _check_override(override: dict[str, Any]) -> None:
    if override.get("InstanceRequirements"):
        raise not_supported("Attribute-based instance selection")
    only(override, _OVERRIDE, "The override's")
    if "MaxPrice" in override:
        dollars(override["MaxPrice"], "MaxPrice")
    if not override.get("WeightedCapacity", 1) > 0:
        raise invalid(override["WeightedCapacity"], "WeightedCapacity")
