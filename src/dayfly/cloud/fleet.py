"""Answers the calls about servers: launch one by CreateFleet, list, terminate, read a console. Only this project's servers.

EC2's answers are translated here and judged elsewhere: a definite refusal becomes an answer, an unclear one is raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import UNCLEAR, code_of, is_unclear, message_of
from dayfly.cloud.context import Context
from dayfly.core import names
from dayfly.core.facts import FleetAnswer, Launched, RefusedLaunch, Replayed, Server
from dayfly.core.records import FleetError
from dayfly.errors import Refused, Unclear
from dayfly.flows import calls

_OWN_LINE = re.compile(r"dayfly (?:switch|agent): ")
"""How a console line of switch or agent begins. systemd names their units there too, without the colon."""
_LINE_LENGTH, _LINES = 300, 20
_MESSAGE_LENGTH = 500
REPLAYED = {"IdempotentParameterMismatch", "IdempotentInstanceTerminated"}
"""These errors say that the client token was used before: a server may exist, so this is not a refusal."""


def create(context: Context, call: calls.CreateFleet) -> FleetAnswer:
    """Sends the request once. Raises Unclear when EC2 throttles it, also inside an answer of status 200."""
    try:
        answer = _ec2(context).create_fleet(**call.request)
    except ClientError as error:
        if is_unclear(error):
            raise
        if code_of(error) in REPLAYED:
            return Replayed(fleet=None)
        return RefusedLaunch(errors=(_fleet_error(code_of(error), message_of(error)),))
    servers = _launched(answer.get("Instances", []), call.request)
    if servers:
        return Launched(servers=servers)
    errors = answer.get("Errors", [])
    if any(each.get("ErrorCode") in UNCLEAR for each in errors):
        # Throttling says nothing about capacity.
        raise Unclear("CreateFleet: throttled inside its answer", hint="repeat the command")
    if not errors:
        return Replayed(fleet=answer.get("FleetId"))
    return RefusedLaunch(errors=tuple(_pool_error(each) for each in errors))


def _fleet_error(code: str, message: str, pool: str = "") -> FleetError:
    return FleetError(code=code, message=message[:_MESSAGE_LENGTH], pool=pool)


def _pool_error(error: Mapping[str, Any]) -> FleetError:
    """The refusal of one pool: market, type, and zone or subnet."""
    override = _override(error)
    place = override.get("AvailabilityZone") or override.get("SubnetId") or ""
    pool = f"{error.get('Lifecycle', '')} {override.get('InstanceType', '')} {place}".strip()
    return _fleet_error(error.get("ErrorCode", ""), error.get("ErrorMessage", ""), pool)


def _launched(instances: list[Mapping[str, Any]], request: Mapping[str, Any]) -> tuple[Server, ...]:
    """The servers that an answer names, with the tags of the request. The answer has no state, so it is taken as pending."""
    specification = next(each for each in request["TagSpecifications"] if each["ResourceType"] == "instance")
    tags = _pairs(specification["Tags"])
    return tuple(_launched_one(name, each, tags) for each in instances for name in each.get("InstanceIds", []))


def _launched_one(name: str, shown: Mapping[str, Any], tags: Mapping[str, str]) -> Server:
    return Server(
        id=name,
        state="pending",
        launched=datetime.now(UTC),
        type=shown.get("InstanceType", ""),
        zone=shown.get("AvailabilityZone") or _override(shown).get("AvailabilityZone", ""),
        market=shown.get("Lifecycle", "on-demand"),
        image="",
        tags=tags,
    )


def _override(shown: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = shown.get("LaunchTemplateAndOverrides", {}).get("Overrides", {}) or {}
    return found


def fleet_servers(context: Context, call: calls.FleetServers) -> tuple[Server, ...]:
    """Asks DescribeFleets, which knows a fleet's servers longer than a replayed token names them."""
    answer = _ec2(context).describe_fleets(FleetIds=[call.fleet])
    instances = [each for fleet in answer.get("Fleets", []) for each in fleet.get("Instances", [])]
    return _launched(instances, call.request)


def servers(context: Context, call: calls.ListServers) -> tuple[Server, ...]:
    """Asks by the project's tag."""
    filters = [{"Name": f"tag:{names.TAG_PROJECT}", "Values": [context.project]}]
    if call.run is not None:
        filters.append({"Name": f"tag:{names.TAG_RUN}", "Values": [call.run]})
    pages = _ec2(context).get_paginator("describe_instances").paginate(Filters=filters)
    found = [server for page in pages for server in _shown(page)]
    # The tag is checked again here: dayfly does not rely on EC2's filter to leave foreign servers alone.
    return tuple(server for server in found if server.tags.get(names.TAG_PROJECT) == context.project)


def _shown(answer: Mapping[str, Any]) -> list[Server]:
    """The servers in an answer of DescribeInstances."""
    return [_server(one) for group in answer["Reservations"] for one in group["Instances"]]


def _server(one: Mapping[str, Any]) -> Server:
    return Server(
        id=one["InstanceId"],
        state=one["State"]["Name"],
        launched=one["LaunchTime"],
        type=one.get("InstanceType", ""),
        zone=one.get("Placement", {}).get("AvailabilityZone", ""),
        market=one.get("InstanceLifecycle") or "on-demand",
        image=one.get("ImageId", ""),
        tags=_pairs(one.get("Tags", [])),
        reason_code=one.get("StateReason", {}).get("Code", ""),
        transition=one.get("StateTransitionReason", ""),
    )


def _pairs(tags: list[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def end_server(context: Context, call: calls.TerminateServer) -> None:
    """Terminates one server in a request of its own: one unknown id in a batch would keep all of them alive.

    Raises Refused for a server without the project's tag.
    """
    try:
        found = _shown(_ec2(context).describe_instances(InstanceIds=[call.server]))
    except ClientError as error:
        if code_of(error) == "InvalidInstanceID.NotFound":
            return
        raise
    if not found or found[0].gone:
        return
    if found[0].tags.get(names.TAG_PROJECT) != context.project:
        raise Refused(f"{call.server} is not a server of project {context.project}; it was not terminated")
    _ec2(context).terminate_instances(InstanceIds=[call.server])


def console(context: Context, call: calls.ReadConsole) -> tuple[str, ...]:
    """Reads the console output and keeps the last lines of switch and agent. EC2 refuses it for some types and states."""
    try:
        text = _newest_console(_ec2(context), call.server)
    except ClientError as error:
        if is_unclear(error):
            raise
        return ()
    own = [line[-_LINE_LENGTH:] for line in text.splitlines() if _OWN_LINE.search(line)]
    return tuple(own[-_LINES:])


def _newest_console(ec2: Any, server: str) -> str:
    """The console as it is now; where EC2 cannot show that, as it was some minutes after the boot. botocore has decoded it."""
    try:
        answer = ec2.get_console_output(InstanceId=server, Latest=True)
    except ClientError as error:
        if is_unclear(error):
            raise
        answer = ec2.get_console_output(InstanceId=server)
    return str(answer.get("Output") or "")


def _ec2(context: Context) -> Any:
    return context.aws.client("ec2")
