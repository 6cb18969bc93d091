"""Instant fleets: CreateFleet, DescribeFleets, DeleteFleets, DescribeFleetInstances.

The other types of fleets, which maintain capacity over time, are refused. Pools live in fleet_pools.py, options in
fleet_options.py.
"""

import math
import uuid
from collections.abc import Callable
from typing import Any

from localcloud.ec2 import fleet_options, fleet_pools, instances, limits, templates
from localcloud.ec2.authorize import Resource, request_tags, resource_tags
from localcloud.ec2.context import Handler, Request, iso, tag_list
from localcloud.ec2.errors import Ec2Error, dry_run, missing, not_supported
from localcloud.ec2.filters import page, select
from localcloud.ec2.fleet_pools import Pool
from localcloud.ec2.launch import start_instances
from localcloud.ec2.launch_requests import LaunchRequest, tags_of
from localcloud.ec2.records import SHUTTING_DOWN, TERMINATED, Fleet, Instance
from localcloud.ec2.tokens import client_token

_NOT_IN_DESCRIBE = ("AvailabilityZone", "AvailabilityZoneId", "SubnetId")
_UNTRIED = "Unable to fulfill capacity due to your request configuration. Please adjust your request and try again."

_RecordOutcome = Callable[[list[dict[str, Any]], list[dict[str, Any]]], None]
"""Puts (launched, errors), in the shapes of the answer, into the records."""


def create(request: Request) -> dict[str, Any]:
    """CreateFleet of type instant. Raises Ec2Error; the error of a pool is an entry of `Errors` in an answer of status 200."""
    params = request.params
    if params.get("Type") != "instant":
        raise not_supported(f"A fleet of type {params.get('Type', 'maintain')}")
    fleet_options.check(params)
    total, market = fleet_options.target(params)
    tags = tags_of(params.get("TagSpecifications")).get("fleet", {})
    token = client_token("CreateFleet", params)
    _authorize(request, tags, token.is_known(request))
    if params.get("DryRun"):
        raise dry_run()
    answer = token.answer(request)
    if answer is not None:
        return answer
    request.context.capacity.check_call("CreateFleet", request.region, after=False)
    pools = fleet_pools.pools(request, market)
    fleet = Fleet(f"fleet-{uuid.uuid4()}", iso(request.context.clock.now()), params, {}, tags)

    def record(launched: list[dict[str, Any]], errors: list[dict[str, Any]]) -> None:
        fleet.answer = {"FleetId": fleet.id, "Errors": errors, "Instances": launched}
        request.records.fleets[fleet.id] = fleet
        token.remember(request, fleet.answer)

    tried = fleet_pools.refusing(request, pools) or fleet_pools.ordered(params, market, pools)
    if not _launch(request, fleet.id, tried, total, record):
        request.save()
    request.context.capacity.check_call("CreateFleet", request.region, after=True)
    return fleet.answer


def describe(request: Request) -> dict[str, Any]:
    """DescribeFleets: instant fleets are listed only by id."""
    params = request.params
    request.caller.require("ec2:DescribeFleets")
    found = []
    for identifier in params.get("FleetIds") or ():
        if identifier not in request.records.fleets:
            raise Ec2Error("InvalidFleetId.NotFound", f"The fleet ID '{identifier}' does not exist")
        found.append(request.records.fleets[identifier])
    shown = select(
        [_render(request, fleet) for fleet in found],
        params.get("Filters"),
        {
            "activity-status": lambda fleet: fleet["ActivityStatus"],
            "fleet-state": lambda fleet: fleet["FleetState"],
            "type": lambda fleet: fleet["Type"],
            "excess-capacity-termination-policy": lambda _: None,
        },
    )
    shown_page, next_token = page(shown, params, min_results=1)
    return {"Fleets": shown_page, "NextToken": next_token}


def describe_instances(request: Request) -> dict[str, Any]:
    """DescribeFleetInstances: refused for instant fleets, as on AWS."""
    request.caller.require("ec2:DescribeFleetInstances")
    text = "DescribeFleetInstances is not supported for fleets of type instant; use DescribeFleets."
    raise Ec2Error("Unsupported", text)


def delete(request: Request) -> dict[str, Any]:
    """DeleteFleets: deletes instant fleets together with their instances; a fleet with a protected instance is kept."""
    params, records = request.params, request.records
    if not params.get("FleetIds"):
        raise missing("FleetId")
    if not params.get("TerminateInstances"):
        raise Ec2Error("InvalidParameterValue", "An instant fleet cannot be deleted without its instances.")
    identifiers = list(dict.fromkeys(params["FleetIds"]))
    members_of = {key: _members(request, key) for key in identifiers if key in records.fleets}
    for identifier, members in members_of.items():
        fleet = Resource(request.caller.arn("fleet", identifier), resource_tags(records.fleets[identifier].tags))
        request.caller.require("ec2:DeleteFleets", [fleet])
        request.caller.require("ec2:TerminateInstances", [instances.resource(request, member) for member in members])
    if params.get("DryRun"):
        raise dry_run()
    deleted, kept = [], []
    for identifier in identifiers:
        error = _delete_error(identifier, members_of)
        if error:
            kept.append({"FleetId": identifier, "Error": error})
            continue
        for member in members_of[identifier]:
            instances.change_state(request, member, SHUTTING_DOWN)
        del records.fleets[identifier]
        states = {"CurrentFleetState": "deleted_terminating", "PreviousFleetState": "active"}
        deleted.append({"FleetId": identifier, **states})
    request.save()
    return {"SuccessfulFleetDeletions": deleted, "UnsuccessfulFleetDeletions": kept}


def _members(request: Request, identifier: str) -> list[Instance]:
    found = request.records.instances.values()
    return [instance for instance in found if instance.fleet == identifier and instance.state != TERMINATED]


def _delete_error(identifier: str, members_of: dict[str, list[Instance]]) -> dict[str, str]:
    """Return why a fleet cannot be deleted, in the shape of the answer; {} if it can."""
    if identifier not in members_of:
        return {"Code": "fleetIdDoesNotExist", "Message": f"The fleet ID '{identifier}' does not exist"}
    for instance in members_of[identifier]:
        if instance.api_termination_disabled:
            return {"Code": "unexpectedError", "Message": f"The instance '{instance.id}' may not be terminated."}
    return {}


def _authorize(request: Request, tags: dict[str, str], is_replay: bool) -> None:
    """Raise Ec2Error unless the caller may create this fleet. A replay does not fail if its template is gone by now."""
    arn = request.caller.arn
    resources = [Resource(arn("fleet", "*"), request_tags(tags))]
    for configuration in request.params.get("LaunchTemplateConfigs") or ():
        try:
            template = templates.find(request.records, configuration.get("LaunchTemplateSpecification") or {})
        except Ec2Error:
            if is_replay:
                continue
            raise
        resources.append(Resource(arn("launch-template", template.id), resource_tags(template.tags)))
    request.caller.require("ec2:CreateFleet", resources)
    if tags:
        keys = request_tags(tags) | {"ec2:CreateAction": "CreateFleet"}
        request.caller.require("ec2:CreateTags", [Resource(arn("fleet", "*"), keys)])


def _launch(request: Request, fleet: str, pools: list[Pool], total: int, record: _RecordOutcome) -> bool:
    """Launch in the first pool that has room, and record the errors of the pools before it. False if no pool has room.

    Only so many pools are tried as the conditions say; the others get an error all the same.
    """
    errors: list[dict[str, Any]] = []
    market = fleet_options.target(request.params)[1]
    left = request.context.conditions.now.pools_tried
    for pool in pools:
        try:
            if pool.is_valid and left == 0:
                raise Ec2Error("UnfulfillableCapacity", _UNTRIED)
            left -= pool.is_valid
            _launch_in(request, fleet, pool, total, errors, record)
        except Ec2Error as error:
            errors.append(
                {
                    "LaunchTemplateAndOverrides": pool.rendered(),
                    "Lifecycle": market,
                    "ErrorCode": error.code,
                    "ErrorMessage": error.message,
                }
            )
        else:
            return True
    record([], errors)
    return False


def _launch_in(
    request: Request, fleet: str, pool: Pool, total: int, errors: list[dict[str, Any]], record: _RecordOutcome
) -> None:
    """Launch in one pool. Raises Ec2Error if the pool cannot."""
    launch = pool.require_launch()
    error = request.context.capacity.pool_error(
        request.region, launch.subnet.zone, launch.instance_type.name, launch.market
    )
    if error is not None:
        raise error
    count = math.ceil(total / fleet_options.weight(pool.override))
    limits.check(request, launch, count)
    fleet_options.check_total_price(fleet_options.max_total_price(request.params), count * pool.price)

    def record_launch(made: list[Instance]) -> None:
        record([_launched(pool, launch, made)], errors)

    start_instances(request, launch, (count, count), record_launch, fleet)


def _launched(pool: Pool, launch: LaunchRequest, made: list[Instance]) -> dict[str, Any]:
    return {
        "LaunchTemplateAndOverrides": pool.rendered(),
        "Lifecycle": launch.market,
        "InstanceIds": [instance.id for instance in made],
        "InstanceType": launch.instance_type.name,
        "AvailabilityZone": launch.subnet.zone,
        "AvailabilityZoneId": launch.subnet.zone_id,
        "SubnetId": launch.subnet.id,
    }


def _render(request: Request, fleet: Fleet) -> dict[str, Any]:
    entries = fleet.answer["Instances"]
    specification = fleet.request["TargetCapacitySpecification"]
    market = fleet_options.target(fleet.request)[1]
    return {
        "FleetId": fleet.id,
        "CreateTime": fleet.created,
        "FleetState": "active",
        "ActivityStatus": "fulfilled" if any(entry["InstanceIds"] for entry in entries) else "error",
        "ClientToken": fleet.request.get("ClientToken"),
        "Type": "instant",
        "FulfilledCapacity": sum((_capacity(request, entry) for entry in entries), 0.0),
        "TargetCapacitySpecification": {"DefaultTargetCapacityType": market, **specification},
        "Tags": tag_list(fleet.tags),
        "Errors": fleet.answer["Errors"],
        "Instances": [_without_zone_and_subnet(entry) for entry in entries],
    }


def _capacity(request: Request, entry: dict[str, Any]) -> float:
    """Return the units of capacity of an entry's instances that are not terminated."""
    existing = request.records.existing(entry["InstanceIds"])
    count = sum(instance.state != TERMINATED for instance in existing)
    return count * fleet_options.weight(entry["LaunchTemplateAndOverrides"]["Overrides"])


def _without_zone_and_subnet(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in _NOT_IN_DESCRIBE}


HANDLERS: dict[str, Handler] = {
    "CreateFleet": create,
    "DescribeFleets": describe,
    "DescribeFleetInstances": describe_instances,
    "DeleteFleets": delete,
}
