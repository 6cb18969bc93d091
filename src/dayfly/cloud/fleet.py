"""Answer the calls about this project's servers: launch one by CreateFleet, list, terminate, read the console.

EC2's definite refusals are returned as answers; unclear ones are raised. core/ decides what follows from an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import UNCLEAR_CODES, code_of, is_unclear, message_of
from dayfly.cloud.context import Context
from dayfly.core import names
from dayfly.core.facts import FleetAnswer, Launched, NotShown, RefusedLaunch, Replayed, Server
from dayfly.core.records import FleetError
from dayfly.core.scrubbing import scrub
from dayfly.errors import Refused, Unclear
from dayfly.flows import calls

_OWN_LINE = re.compile(r"dayfly (?:switch|agent): ")
"""The start of a console line of the switch or the agent. systemd's lines about their units have no colon after the name."""
_LINE_LENGTH, _LINES = 300, 20
REPLAYED = {"IdempotentParameterMismatch", "IdempotentInstanceTerminated"}
"""Errors that mean: this client token was used before. A server may exist, so they are not refusals."""


def create(context: Context, call: calls.CreateFleet) -> FleetAnswer:
    """Send the request once and return its result. Raises Unclear if EC2 throttles it, which an answer with status 200 may say too."""
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
    if any(each.get("ErrorCode") in UNCLEAR_CODES for each in errors):
        # Throttling does not mean that there is no capacity.
        raise Unclear("CreateFleet: EC2 throttled the request", hint="repeat the command")
    if not errors:
        return Replayed(fleet=answer.get("FleetId"))
    return RefusedLaunch(errors=tuple(_pool_error(each) for each in errors))


def _fleet_error(code: str, message: str) -> FleetError:
    return FleetError(code=code, message=scrub(message))


def _pool_error(error: Mapping[str, Any]) -> FleetError:
    """Return the refusal by one pool; a pool is a market, a type, and a zone or subnet."""
    override = _override(error)
    place = override.get("AvailabilityZone") or override.get("SubnetId") or ""
    pool = f"{error.get('Lifecycle', '')} {override.get('InstanceType', '')} {place}".strip()
    found = _fleet_error(error.get("ErrorCode", ""), error.get("ErrorMessage", ""))
    return replace(found, pool=pool, type=override.get("InstanceType", ""), subnet=override.get("SubnetId", ""))


def _launched(instances: list[Mapping[str, Any]], request: Mapping[str, Any]) -> tuple[Server, ...]:
    """Return the servers in an answer, with the tags of the request. The answer has no state, so it is assumed to be pending."""
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
    """Return the servers of a fleet. DescribeFleets lists them for longer than CreateFleet repeats them for the same token."""
    answer = _ec2(context).describe_fleets(FleetIds=[call.fleet])
    instances = [each for fleet in answer.get("Fleets", []) for each in fleet.get("Instances", [])]
    return _launched(instances, call.request)


def servers(context: Context, call: calls.ListServers) -> tuple[Server, ...]:
    """Return the servers with the project's tag: all, or those of one run."""
    filters = [{"Name": f"tag:{names.TAG_PROJECT}", "Values": [context.project]}]
    if call.run is not None:
        filters.append({"Name": f"tag:{names.TAG_RUN}", "Values": [call.run]})
    pages = _ec2(context).get_paginator("describe_instances").paginate(Filters=filters)
    found = [server for page in pages for server in _shown(page)]
    # Check the tag again: other projects' servers must stay safe even if EC2's filter fails.
    return tuple(server for server in found if server.tags.get(names.TAG_PROJECT) == context.project)


def find_server(context: Context, call: calls.FindServer) -> Server | NotShown:
    """Return the server. Asks with a filter: EC2 answers an id that it does not know with an empty list, not with an error."""
    answer = _ec2(context).describe_instances(Filters=[{"Name": "instance-id", "Values": [call.server]}])
    for server in _shown(answer):
        return server
    return NotShown()


def _shown(answer: Mapping[str, Any]) -> list[Server]:
    """Return the servers in an answer of DescribeInstances. Raises Unclear for an answer without a list: it does not say "none"."""
    if "Reservations" not in answer:
        raise Unclear("DescribeInstances: the answer has no list of servers", hint="repeat the command")
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
        reason_text=scrub(one.get("StateReason", {}).get("Message", "")),
        transition=one.get("StateTransitionReason", ""),
    )


def _pairs(tags: list[Mapping[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def end_server(context: Context, call: calls.TerminateServer) -> None:
    """Terminate one server in its own request: one unknown id in a batch would keep all of them alive.

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
    """Return the console's last lines from switch and agent. There are none if EC2 refuses: it does for some types and states."""
    try:
        text = _newest_console(_ec2(context), call.server)
    except ClientError as error:
        if is_unclear(error):
            raise
        return ()
    own = [line[-_LINE_LENGTH:] for line in text.splitlines() if _OWN_LINE.search(line)]
    return tuple(own[-_LINES:])


def _newest_console(ec2: Any, server: str) -> str:
    """Return the console's current text, decoded by botocore; if EC2 cannot show that, the text of some minutes after boot."""
    try:
        answer = ec2.get_console_output(InstanceId=server, Latest=True)
    except ClientError as error:
        if is_unclear(error):
            raise
        answer = ec2.get_console_output(InstanceId=server)
    return str(answer.get("Output") or "")


def _ec2(context: Context) -> Any:
    return context.aws.client("ec2")
