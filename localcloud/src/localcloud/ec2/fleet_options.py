"""The options of an instant fleet besides its templates: capacity, market, weights, maximum prices. All others are refused.

Source: "EC2 API Reference", CreateFleet, SpotOptionsRequest, OnDemandOptionsRequest, FleetLaunchTemplateOverridesRequest.
"""

from typing import Any

from localcloud.ec2.errors import Ec2Error, invalid, missing, not_supported
from localcloud.ec2.records import ON_DEMAND, SPOT
from localcloud.ec2.supported import dollars, require_supported

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
# A fleet here launches all instances in one pool or none, so they always have one type and one zone.
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
    """Raise Ec2Error for options that an instant fleet does not have, or that the local cloud does not support."""
    require_supported(params, _FLEET, "The fleet parameter")
    require_supported(params.get("TargetCapacitySpecification") or {}, _CAPACITY, "The target capacity's")
    for name in ("SpotOptions", "OnDemandOptions"):
        _check_market_options(params, name)
    for configuration in params.get("LaunchTemplateConfigs") or ():
        for override in configuration.get("Overrides") or ():
            _check_override(override)


def target(params: dict[str, Any]) -> tuple[int, str]:
    """Return (units of capacity, market) of a fleet request. Raises Ec2Error."""
    specification = params.get("TargetCapacitySpecification")
    if not specification or "TotalTargetCapacity" not in specification:
        raise missing("TargetCapacitySpecification.TotalTargetCapacity")
    total = specification["TotalTargetCapacity"]
    if total < 1:
        raise invalid(total, "TotalTargetCapacity")
    return total, _market(specification)


def market_options(params: dict[str, Any], market: str) -> dict[str, Any]:
    """Return SpotOptions or OnDemandOptions."""
    name = {SPOT: "SpotOptions", ON_DEMAND: "OnDemandOptions"}[market]
    return params.get(name) or {}


def weight(override: dict[str, Any]) -> float:
    """Return how many units of capacity one instance of an override counts."""
    return float(override.get("WeightedCapacity") or 1)


def max_total_price(params: dict[str, Any]) -> float | None:
    """Return the dollars per hour that all instances of the fleet together may cost, or None."""
    options = market_options(params, target(params)[1])
    if "MaxTotalPrice" not in options:
        return None
    return dollars(options["MaxTotalPrice"], "MaxTotalPrice")


def check_total_price(maximum: float | None, price: float) -> None:
    """Raise Ec2Error if instances of that price per hour cost more than the fleet may."""
    if maximum is not None and price > maximum:
        raise Ec2Error("MaxTotalPriceExceeded", f"The instances cost {price:.4f} USD per hour, more than {maximum:g}.")


def _market(specification: dict[str, Any]) -> str:
    spot, on_demand = specification.get("SpotTargetCapacity", 0), specification.get("OnDemandTargetCapacity", 0)
    if spot and on_demand:
        raise not_supported("A fleet of both markets")
    if spot:
        return SPOT
    if on_demand:
        return ON_DEMAND
    market = specification.get("DefaultTargetCapacityType", ON_DEMAND)
    if market not in (SPOT, ON_DEMAND):
        raise invalid(market, "DefaultTargetCapacityType")
    return str(market)


def _check_market_options(params: dict[str, Any], name: str) -> None:
    options = dict(params.get(name) or {})
    if options.pop("InstanceInterruptionBehavior", "terminate") != "terminate":
        text = "The only interruption behavior of an instant fleet is `terminate`."
        raise Ec2Error("InvalidParameterCombination", text)
    require_supported(options, _OPTIONS, f"The option of {name}")
    if "MaxTotalPrice" in options:
        dollars(options["MaxTotalPrice"], f"{name}.MaxTotalPrice")
    _check_min_capacity(params, options, name)


def _check_min_capacity(params: dict[str, Any], options: dict[str, Any], name: str) -> None:
    minimum = options.get("MinTargetCapacity")
    if minimum is None:
        return
    if not (options.get("SingleAvailabilityZone") or options.get("SingleInstanceType")):
        text = f"{name}.MinTargetCapacity needs SingleAvailabilityZone or SingleInstanceType."
        raise Ec2Error("InvalidParameterCombination", text)
    if not 1 <= minimum <= target(params)[0]:
        raise invalid(minimum, f"{name}.MinTargetCapacity")


def _check_override(override: dict[str, Any]) -> None:
    if override.get("InstanceRequirements"):
        raise not_supported("Attribute-based instance selection")
    require_supported(override, _OVERRIDE, "The override's")
    if "MaxPrice" in override:
        dollars(override["MaxPrice"], "MaxPrice")
    priority = override.get("Priority", 0.0)
    if priority < 0 or priority % 1:
        raise invalid(priority, "Priority", "It must be a whole number, 0 or more.")
    if not override.get("WeightedCapacity", 1) > 0:
        raise invalid(override["WeightedCapacity"], "WeightedCapacity")
