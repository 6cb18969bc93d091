"""Instant fleets: CreateFleet, DescribeFleets, DeleteFleets, DescribeFleetInstances.

The other fleet types, which keep capacity over time, are refused.
"""

import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from localcloud.ec2 import fleet_options, instances, launch, templates, types
from localcloud.ec2.authorize import Resource, request_tags, resource_tags
from localcloud.ec2.context import Handler, Request, iso, tag_list
from localcloud.ec2.errors import Ec2Error, dry_run, invalid, missing, not_supported
from localcloud.ec2.filters import page, select
from localcloud.ec2.launch_requests import Draft, draft, merged, tags_of
from localcloud.ec2.records import ON_DEMAND, SHUTTING_DOWN, SPOT, TERMINATED, Fleet, Instance
from localcloud.ec2.supported import check_ceiling

_SPOT_STRATEGIES = (
    "price-capacity-optimized",
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "diversified",
    "lowest-price",
)


# What was launched and what was refused, in the shapes of the answer.
_Record = Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]


@dataclass(frozen=True)
class _Pool:
    """One override of one template: what is asked, and the draft or the refusal that became of it."""

    specification: dict[str, Any]
    override: dict[str, Any]
    draft: Draft | None
    refusal: Ec2Error | None

    def named(self) -> dict[str, Any]:
        """How answers name it."""
        return {"LaunchTemplateSpecification": self.specification, "Overrides": self.override}


def create(request: Request) -> dict[str, Any]:
    """CreateFleet of type instant. Raises Ec2Error; a pool's refusal is an entry of `Errors` in an answer with status 200."""
    params = request.params
    if params.get("Type") != "instant":
        raise not_supported(f"A fleet of type {params.get('Type', 'maintain')}")
    fleet_options.check(params)
    total, market = fleet_options.target(params)
    tags = tags_of(params.get("TagSpecifications"))
    key, digest = launch.token_key("CreateFleet", params)
    _judge_fleet(request, tags.get("fleet", {}), key in request.records.tokens)
    if params.get("DryRun"):
        raise dry_run()
    known = launch.replayed(request, key, digest)
    if known is not None:
        return known
    request.context.capacity.call("CreateFleet", request.region, after=False)
    pools = _pools(request, market)
    fleet = Fleet(f"fleet-{uuid.uuid4()}", iso(request.context.clock.now()), params, {}, tags.get("fleet", {}))

    def record(launched: list[dict[str, Any]], errors: list[dict[str, Any]]) -> None:
        fleet.answer = {"FleetId": fleet.id, "Errors": errors, "Instances": launched}
        request.records.fleets[fleet.id] = fleet
        launch.bind_token(request, key, digest, fleet.answer)

    if not _fill(request, fleet.id, _ordered(params, market, pools), total, record):
        request.save()
    request.context.capacity.call("CreateFleet", request.region, after=True)
    return fleet.answer


def describe(request: Request) -> dict[str, Any]:
    """DescribeFleets: instant fleets are shown only when asked for by id."""
    params = request.params
    request.caller.require("ec2:DescribeFleets")
    found = []
    for identifier in params.get("FleetIds") or ():
        if identifier not in request.records.fleets:
            raise Ec2Error("InvalidFleetId.NotFound", f"The fleet ID '{identifier}' does not exist")
        found.append(request.records.fleets[identifier])
    shown = select(
        [_shown(request, one) for one in found],
        params.get("Filters"),
        {
            "activity-status": lambda one: one["ActivityStatus"],
            "fleet-state": lambda one: one["FleetState"],
            "type": lambda one: one["Type"],
            "excess-capacity-termination-policy": lambda _: None,
        },
    )
    part, following = page(shown, params, least=1)
    return {"Fleets": part, "NextToken": following}


def describe_instances(request: Request) -> dict[str, Any]:
    """DescribeFleetInstances is refused for instant fleets, as AWS refuses it."""
    request.caller.require("ec2:DescribeFleetInstances")
    raise Ec2Error(
        "Unsupported", "DescribeFleetInstances is not supported for fleets of type instant; use DescribeFleets."
    )


def delete(request: Request) -> dict[str, Any]:
    """DeleteFleets: an instant fleet goes with its instances; one with a protected instance stays."""
    params, records = request.params, request.records
    if not params.get("FleetIds"):
        raise missing("FleetId")
    if not params.get("TerminateInstances"):
        raise Ec2Error("InvalidParameterValue", "An instant fleet cannot be deleted without its instances.")
    asked = list(dict.fromkeys(params["FleetIds"]))
    members = {
        identifier: [one for one in records.instances.values() if one.fleet == identifier and one.state != TERMINATED]
        for identifier in asked
        if identifier in records.fleets
    }
    for identifier, servers in members.items():
        fleet = Resource(request.caller.arn("fleet", identifier), resource_tags(records.fleets[identifier].tags))
        request.caller.require("ec2:DeleteFleets", [fleet])
        request.caller.require("ec2:TerminateInstances", [instances.resource(request, one) for one in servers])
    if params.get("DryRun"):
        raise dry_run()
    done, left = [], []
    for identifier in asked:
        why = _why_kept(identifier, members)
        if why:
            left.append({"FleetId": identifier, "Error": why})
            continue
        for one in members[identifier]:
            instances.moved(request, one, SHUTTING_DOWN)
        del records.fleets[identifier]
        done.append({"FleetId": identifier, "CurrentFleetState": "deleted_terminating", "PreviousFleetState": "active"})
    request.save()
    return {"SuccessfulFleetDeletions": done, "UnsuccessfulFleetDeletions": left}


def _why_kept(identifier: str, members: dict[str, list[Instance]]) -> dict[str, str]:
    if identifier not in members:
        return {"Code": "fleetIdDoesNotExist", "Message": f"The fleet ID '{identifier}' does not exist"}
    for one in members[identifier]:
        if one.api_termination_disabled:
            return {"Code": "unexpectedError", "Message": f"The instance '{one.id}' may not be terminated."}
    return {}


def _judge_fleet(request: Request, tags: dict[str, str], again: bool) -> None:
    """`again`: the token is known, so that a template that is gone by now is not asked for."""
    arn = request.caller.arn
    resources = [Resource(arn("fleet", "*"), request_tags(tags))]
    for configuration in request.params.get("LaunchTemplateConfigs") or ():
        try:
            template = templates.find(request.records, configuration.get("LaunchTemplateSpecification") or {})
        except Ec2Error:
            if again:
                continue
            raise
        resources.append(Resource(arn("launch-template", template.id), resource_tags(template.tags)))
    request.caller.require("ec2:CreateFleet", resources)
    if tags:
        keys = request_tags(tags) | {"ec2:CreateAction": "CreateFleet"}
        request.caller.require("ec2:CreateTags", [Resource(arn("fleet", "*"), keys)])


def _pools(request: Request, market: str) -> list[_Pool]:
    configurations = request.params.get("LaunchTemplateConfigs")
    if not configurations:
        raise missing("LaunchTemplateConfigs")
    found = []
    for configuration in configurations:
        said = configuration.get("LaunchTemplateSpecification") or {}
        template = templates.find(request.records, said)
        if not said.get("Version"):
            raise missing("LaunchTemplateSpecification.Version")
        number = templates.version(template, said["Version"])
        data = dict(template.versions[number]["data"])
        if said.get("LaunchTemplateSpecificationUserData"):
            data["UserData"] = said["LaunchTemplateSpecificationUserData"]
        if data.get("InstanceMarketOptions"):
            text = "A fleet's launch template must not have InstanceMarketOptions."
            raise Ec2Error("InvalidFleetConfig", text)
        specification = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "Version": number}
        for override in configuration.get("Overrides") or [{}]:
            found.append(_pool(request, market, specification, data, override))
    return found


def _pool(
    request: Request, market: str, specification: dict[str, Any], data: dict[str, Any], override: dict[str, Any]
) -> _Pool:
    own = {key: value for key, value in override.items() if key not in ("MaxPrice", "WeightedCapacity", "Priority")}
    place = {key: own.pop(key) for key in ("AvailabilityZone", "AvailabilityZoneId") if key in own}
    if place:
        own["Placement"] = {**(own.get("Placement") or {}), **place}
    asked = {
        "TagSpecifications": [
            s for s in request.params.get("TagSpecifications") or () if s.get("ResourceType") != "fleet"
        ]
    }
    if own.get("SubnetId") and data.get("NetworkInterfaces"):
        # A fleet's subnet replaces the one of the template's interface.
        card = {**data["NetworkInterfaces"][0], "SubnetId": own.pop("SubnetId")}
        data = {**data, "NetworkInterfaces": [card]}
    shown = {
        key: value
        for key, value in override.items()
        if key in ("InstanceType", "MaxPrice", "Priority", "SubnetId", "WeightedCapacity")
    }
    shown.setdefault("InstanceType", data.get("InstanceType"))
    try:
        one = draft(request, merged(merged(data, own), asked), market)
        one = replace(one, template=specification["LaunchTemplateId"], template_version=specification["Version"])
        shown["AvailabilityZone"] = one.subnet.zone
        if market == SPOT:
            check_ceiling(override.get("MaxPrice"), "MaxPrice", one.kind, one.subnet.zone)
        launch.authorize(request, one, "CreateFleet")
    except Ec2Error as refusal:
        return _Pool(specification, shown, None, refusal)
    return _Pool(specification, shown, one, None)


def _ordered(params: dict[str, Any], market: str, pools: list[_Pool]) -> list[_Pool]:
    """The pools in the order in which they are tried; the sort is stable, so equal ones keep the request's order."""
    options = params.get("SpotOptions" if market == SPOT else "OnDemandOptions") or {}
    strategy = options.get("AllocationStrategy", "lowest-price")
    if market == SPOT and strategy not in _SPOT_STRATEGIES:
        raise invalid(strategy, "SpotOptions.AllocationStrategy")
    if market == ON_DEMAND and strategy not in ("lowest-price", "prioritized"):
        raise invalid(strategy, "OnDemandOptions.AllocationStrategy")
    if strategy in ("prioritized", "capacity-optimized-prioritized"):
        return sorted(pools, key=lambda pool: float(pool.override.get("Priority", "inf")))
    return sorted(pools, key=lambda pool: _price(pool, market) / fleet_options.weight(pool.override))


def _price(pool: _Pool, market: str) -> float:
    if pool.draft is None:
        return 0.0
    one = pool.draft
    return types.spot_dollars(one.kind, one.subnet.zone) if market == SPOT else one.kind.dollars


def _fill(request: Request, fleet: str, pools: list[_Pool], total: int, record: _Record) -> bool:
    """Launch in the first pool that gives; whether one did. What the ones before it answered is recorded with it."""
    errors: list[dict[str, Any]] = []
    ceiling = fleet_options.total_ceiling(request.params)
    for pool in pools:
        refusal, one = pool.refusal, pool.draft
        if one is not None:
            refusal = request.context.capacity.pool(request.region, one.subnet.zone, one.kind.name, one.market)
        if refusal is None and one is not None:
            count = math.ceil(total / fleet_options.weight(pool.override))
            try:
                fleet_options.check_total(ceiling, count * _price(pool, one.market))
                launch.start(request, one, (count, count), partial(_record_launch, pool, one, errors, record), fleet)
            except Ec2Error as full:
                refusal = full
            else:
                return True
        if refusal is not None:
            market = one.market if one is not None else fleet_options.target(request.params)[1]
            errors.append(
                {
                    "LaunchTemplateAndOverrides": pool.named(),
                    "Lifecycle": market,
                    "ErrorCode": refusal.code,
                    "ErrorMessage": refusal.message,
                }
            )
    record([], errors)
    return False


def _record_launch(
    pool: _Pool, one: Draft, errors: list[dict[str, Any]], record: _Record, made: list[Instance]
) -> None:
    answer = {
        "LaunchTemplateAndOverrides": pool.named(),
        "Lifecycle": one.market,
        "InstanceIds": [instance.id for instance in made],
        "InstanceType": one.kind.name,
        "AvailabilityZone": one.subnet.zone,
        "AvailabilityZoneId": one.subnet.zone_id,
        "SubnetId": one.subnet.id,
    }
    record([answer], errors)


def _shown(request: Request, fleet: Fleet) -> dict[str, Any]:
    ids = [one for entry in fleet.answer["Instances"] for one in entry["InstanceIds"]]
    alive = [
        fleet_options.weight(entry["LaunchTemplateAndOverrides"]["Overrides"])
        for entry in fleet.answer["Instances"]
        for one in entry["InstanceIds"]
        if one in request.records.instances and request.records.instances[one].state != TERMINATED
    ]
    said = fleet.request["TargetCapacitySpecification"]
    instances = [
        {
            key: value
            for key, value in entry.items()
            if key not in ("AvailabilityZone", "AvailabilityZoneId", "SubnetId")
        }
        for entry in fleet.answer["Instances"]
    ]
    return {
        "FleetId": fleet.id,
        "CreateTime": fleet.created,
        "FleetState": "active",
        "ActivityStatus": "fulfilled" if ids else "error",
        "ClientToken": fleet.request.get("ClientToken"),
        "Type": "instant",
        "FulfilledCapacity": float(sum(alive)),
        "TargetCapacitySpecification": {"DefaultTargetCapacityType": fleet_options.target(fleet.request)[1], **said},
        "Tags": tag_list(fleet.tags),
        "Errors": fleet.answer["Errors"],
        "Instances": instances,
    }


HANDLERS: dict[str, Handler] = {
    "CreateFleet": create,
    "DescribeFleets": describe,
    "DescribeFleetInstances": describe_instances,
    "DeleteFleets": delete,
}
