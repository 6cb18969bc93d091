"""The pools of an instant fleet: each override of each template, resolved to a launch request or an error, and their order."""

from dataclasses import dataclass, replace
from typing import Any

from localcloud.ec2 import fleet_options, offers, templates, types
from localcloud.ec2.conditions import FLEET
from localcloud.ec2.context import Request
from localcloud.ec2.errors import Ec2Error, invalid, missing
from localcloud.ec2.launch_authorization import authorize_launch
from localcloud.ec2.launch_requests import SSM_DENIED, LaunchRequest, merged, resolve
from localcloud.ec2.records import ON_DEMAND, SPOT
from localcloud.ec2.supported import check_max_price

_STRATEGIES = {
    SPOT: (
        "price-capacity-optimized",
        "capacity-optimized",
        "capacity-optimized-prioritized",
        "diversified",
        "lowest-price",
    ),
    ON_DEMAND: ("lowest-price", "prioritized"),
}
_OPTION_NAMES = {SPOT: "SpotOptions", ON_DEMAND: "OnDemandOptions"}
_BY_PRIORITY = ("prioritized", "capacity-optimized-prioritized")
_NOT_LAUNCH_DATA = ("MaxPrice", "WeightedCapacity", "Priority")
_ZONE = ("AvailabilityZone", "AvailabilityZoneId")
_RENDERED = ("InstanceType", "MaxPrice", "Priority", "SubnetId", "WeightedCapacity")


@dataclass(frozen=True)
class Pool:
    """One override of one template, and the launch request or the error that it resolves to."""

    specification: dict[str, Any]
    override: dict[str, Any]
    launch: LaunchRequest | Ec2Error

    def rendered(self) -> dict[str, Any]:
        """Return the pool as answers show it."""
        return {"LaunchTemplateSpecification": self.specification, "Overrides": self.override}

    def require_launch(self) -> LaunchRequest:
        """Return the launch request, or raise the error."""
        if isinstance(self.launch, Ec2Error):
            raise self.launch
        return self.launch

    @property
    def is_valid(self) -> bool:
        """Whether the request can be launched if there is room."""
        return not isinstance(self.launch, Ec2Error)

    @property
    def price(self) -> float:
        """Dollars per hour of one instance; 0.0 for a pool with an error."""
        if isinstance(self.launch, Ec2Error):
            return 0.0
        if self.launch.market == SPOT:
            return types.spot_dollars(self.launch.instance_type, self.launch.subnet.zone)
        return self.launch.instance_type.dollars


def pools(request: Request, market: str) -> list[Pool]:
    """Return the pools in the order of the request. Raises Ec2Error for a configuration that no pool can use."""
    configurations = request.params.get("LaunchTemplateConfigs")
    if not configurations:
        raise missing("LaunchTemplateConfigs")
    found = []
    for configuration in configurations:
        specification, data = _template(request, configuration.get("LaunchTemplateSpecification") or {})
        for override in configuration.get("Overrides") or [{}]:
            found.append(_pool(request, market, specification, data, override))
    _check_duplicates(found)
    return found


def _check_duplicates(found: list[Pool]) -> None:
    """Raise Ec2Error if two pools have the same type and zone, also in two subnets of that zone."""
    places = [(pool.override["InstanceType"], pool.override.get("AvailabilityZone")) for pool in found if pool.is_valid]
    if len(set(places)) < len(places):
        raise Ec2Error("InvalidFleetConfig", "The fleet configuration contains duplicate instance pools.")


def refusing(request: Request, found: list[Pool]) -> list[Pool]:
    """Return the pools whose zone does not offer their type, if these make AWS refuse the whole fleet; else none."""
    if request.context.conditions.now.unoffered != FLEET:
        return []
    return [pool for pool in found if isinstance(pool.launch, Ec2Error) and pool.launch.code == offers.FLEET_CODE]


def ordered(params: dict[str, Any], market: str, unordered: list[Pool]) -> list[Pool]:
    """Return the pools in the order in which a launch tries them; equal ones keep the order of the request."""
    strategy = fleet_options.market_options(params, market).get("AllocationStrategy", "lowest-price")
    if strategy not in _STRATEGIES[market]:
        raise invalid(strategy, f"{_OPTION_NAMES[market]}.AllocationStrategy")
    if strategy in _BY_PRIORITY:
        return sorted(unordered, key=lambda pool: float(pool.override.get("Priority", "inf")))
    return sorted(unordered, key=lambda pool: pool.price / fleet_options.weight(pool.override))


def _template(request: Request, wanted: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (specification as answers show it, launch data) of a configuration's template."""
    if not wanted.get("Version"):
        raise missing("LaunchTemplateSpecification.Version")
    template, number = templates.for_launch(request, wanted, wanted["Version"])
    data = dict(template.versions[number]["data"])
    if wanted.get("LaunchTemplateSpecificationUserData"):
        data["UserData"] = wanted["LaunchTemplateSpecificationUserData"]
    if data.get("InstanceMarketOptions"):
        raise Ec2Error("InvalidFleetConfig", "A fleet's launch template must not have InstanceMarketOptions.")
    return {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": number}, data


def _pool(
    request: Request, market: str, specification: dict[str, Any], data: dict[str, Any], override: dict[str, Any]
) -> Pool:
    shown = {key: value for key, value in override.items() if key in _RENDERED}
    shown.setdefault("InstanceType", data.get("InstanceType"))
    try:
        launch = resolve(request, _launch_data(request, data, override), market)
        launch = replace(launch, template=specification["LaunchTemplateId"], template_version=specification["Version"])
        shown["AvailabilityZone"] = launch.subnet.zone
        if market == SPOT:
            check_max_price(override.get("MaxPrice"), "MaxPrice", launch.instance_type, launch.subnet.zone)
        authorize_launch(request, launch, "CreateFleet")
    except Ec2Error as error:
        if error.code == SSM_DENIED:
            raise
        return Pool(specification, shown, error)
    return Pool(specification, shown, offers.fleet_error(launch) or launch)


def _launch_data(request: Request, data: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Return the template's data, overridden by the override and joined with the request's tags."""
    own = {key: value for key, value in override.items() if key not in _NOT_LAUNCH_DATA}
    zone = {key: own.pop(key) for key in _ZONE if key in own}
    if zone:
        own["Placement"] = {**(own.get("Placement") or {}), **zone}
    if own.get("SubnetId") and data.get("NetworkInterfaces"):
        # A fleet's subnet replaces the one of the template's network interface.
        interface = {**data["NetworkInterfaces"][0], "SubnetId": own.pop("SubnetId")}
        data = {**data, "NetworkInterfaces": [interface]}
    tags = [entry for entry in request.params.get("TagSpecifications") or () if entry.get("ResourceType") != "fleet"]
    return merged(merged(data, own), {"TagSpecifications": tags})
