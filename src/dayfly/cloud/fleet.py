"""EC2: one server by CreateFleet, servers as EC2 shows them, their end, their console. Only ever this project's.

What EC2 says is translated, not judged: a definite refusal becomes an answer with errors, no clear answer is raised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import UNCLEAR, code_of, is_unclear
from dayfly.cloud.context import Context
from dayfly.core import names
from dayfly.core.facts import FleetAnswer, Launched, RefusedLaunch, Replayed, Server
from dayfly.core.records import FleetError
from dayfly.errors import Refused, Unclear
from dayfly.flows import calls

_SAID = re.compile(r"dayfly (?:switch|agent): ")
"""What our own parts say on a console; systemd names their units there too."""
REPLAYED = {"IdempotentParameterMismatch", "IdempotentInstanceTerminated"}
"""Says that this token was used before: a server may exist, so it is no refusal."""


def create(context: Context, call: calls.CreateFleet) -> FleetAnswer:
    request = call.request
    try:
        told = context.aws.client("ec2").create_fleet(**request)
    except ClientError as error:
        if is_unclear(error):
            raise
        if code_of(error) in REPLAYED:
            return Replayed(fleet=None)
        message = str(error.response.get("Error", {}).get("Message", ""))
        return RefusedLaunch(errors=(FleetError(code=code_of(error), message=message[:500]),))
    servers = _launched(told, request)
    if servers:
        return Launched(servers=servers)
    if any(each.get("ErrorCode") in UNCLEAR for each in told.get("Errors", [])):
        # Throttling comes inside a good answer too; it says nothing about capacity.
        raise Unclear("CreateFleet: throttled inside its answer", hint="the same again")
    errors = tuple(
        FleetError(code=each.get("ErrorCode", ""), message=each.get("ErrorMessage", "")[:500], pool=_pool(each))
        for each in told.get("Errors", [])
    )
    if not errors:
        return Replayed(fleet=told.get("FleetId"))
    return RefusedLaunch(errors=errors)


def _launched(told: Mapping[str, Any], request: Mapping[str, Any]) -> tuple[Server, ...]:
    """The servers that an answer names, with the tags that the request gave them. Their state is not told: taken as pending."""
    tags = next(each["Tags"] for each in request["TagSpecifications"] if each["ResourceType"] == "instance")
    return tuple(
        Server(
            id=name,
            state="pending",
            launched=datetime.now(UTC),
            type=each.get("InstanceType", ""),
            zone=each.get("AvailabilityZone") or _override(each).get("AvailabilityZone", ""),
            market=each.get("Lifecycle", "on-demand"),
            image="",
            tags={tag["Key"]: tag["Value"] for tag in tags},
        )
        for each in told.get("Instances", [])
        for name in each.get("InstanceIds", [])
    )


def _override(each: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = each.get("LaunchTemplateAndOverrides", {}).get("Overrides", {}) or {}
    return found


def _pool(error: Mapping[str, Any]) -> str:
    override = _override(error)
    place = override.get("AvailabilityZone") or override.get("SubnetId") or ""
    return f"{error.get('Lifecycle', '')} {override.get('InstanceType', '')} {place}".strip()


def fleet_servers(context: Context, call: calls.FleetServers) -> tuple[Server, ...]:
    told = context.aws.client("ec2").describe_fleets(FleetIds=[call.fleet])
    found = [each for one in told.get("Fleets", []) for each in one.get("Instances", [])]
    return _launched({"Instances": found}, call.request)


def servers(context: Context, call: calls.Servers) -> tuple[Server, ...]:
    filters = [{"Name": f"tag:{names.TAG_PROJECT}", "Values": [context.project]}]
    if call.run is not None:
        filters.append({"Name": f"tag:{names.TAG_RUN}", "Values": [call.run]})
    pages = context.aws.client("ec2").get_paginator("describe_instances").paginate(Filters=filters)
    found = [one for page in pages for group in page["Reservations"] for one in group["Instances"]]
    # The filter is EC2's word; that nothing foreign is ever ended is ours, so the tag is looked at again.
    shown = (_server(one) for one in found)
    return tuple(server for server in shown if server.tags.get(names.TAG_PROJECT) == context.project)


def _server(one: Mapping[str, Any]) -> Server:
    return Server(
        id=one["InstanceId"],
        state=one["State"]["Name"],
        launched=one["LaunchTime"],
        type=one.get("InstanceType", ""),
        zone=one.get("Placement", {}).get("AvailabilityZone", ""),
        market=one.get("InstanceLifecycle") or "on-demand",
        image=one.get("ImageId", ""),
        tags={tag["Key"]: tag["Value"] for tag in one.get("Tags", [])},
        reason_code=one.get("StateReason", {}).get("Code", ""),
        transition=one.get("StateTransitionReason", ""),
    )


def end_server(context: Context, call: calls.EndServer) -> None:
    """Ends one server, alone: one unknown id in a batch would keep all of them alive."""
    ec2, server = context.aws.client("ec2"), call.server
    try:
        told = ec2.describe_instances(InstanceIds=[server])
    except ClientError as error:
        if code_of(error) == "InvalidInstanceID.NotFound":
            return
        raise
    found = [_server(one) for group in told["Reservations"] for one in group["Instances"]]
    if not found or found[0].gone:
        return
    if found[0].tags.get(names.TAG_PROJECT) != context.project:
        raise Refused(f"{server} is not of project {context.project}; it is not ended")
    ec2.terminate_instances(InstanceIds=[server])


def _newest_console(ec2: Any, server: str) -> Mapping[str, Any]:
    """The console as it is now; without `Latest` EC2 shows what it had some minutes after the boot."""
    try:
        told: Mapping[str, Any] = ec2.get_console_output(InstanceId=server, Latest=True)
    except ClientError as error:
        if is_unclear(error):
            raise
        # Not every type can, and not every state.
        told = ec2.get_console_output(InstanceId=server)
    return told


def console(context: Context, call: calls.Console) -> tuple[str, ...]:
    try:
        told = _newest_console(context.aws.client("ec2"), call.server)
    except ClientError as error:
        if is_unclear(error):
            raise
        return ()
    # botocore has decoded it already.
    text = str(told.get("Output") or "")
    return tuple(line[-300:] for line in text.splitlines() if _SAID.search(line))[-20:]
