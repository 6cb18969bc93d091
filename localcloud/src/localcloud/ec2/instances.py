"""Instances after their launch: describing, ending, stopping, starting, their attributes, console and volumes."""

import base64
import re
from collections.abc import Iterable
from typing import Any

from localcloud.ec2 import rendering
from localcloud.ec2.authorize import Resource, resource_tags
from localcloud.ec2.context import Handler, Request, iso
from localcloud.ec2.errors import Ec2Error, dry_run, invalid, missing, not_supported
from localcloud.ec2.filters import Getters, not_with_ids, page, select
from localcloud.ec2.launch_requests import metadata_options
from localcloud.ec2.records import (
    CODES,
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    SPOT,
    STOPPED,
    STOPPING,
    TERMINATED,
    Instance,
)
from localcloud.ec2.supported import only

_ATTRIBUTES = (
    "Attribute",
    "DisableApiTermination",
    "DryRun",
    "InstanceId",
    "InstanceInitiatedShutdownBehavior",
    "Value",
)
# A guest that does not hear is killed after its grace in any case, so there is nothing left to force.
_END = ("DryRun", "Force", "InstanceIds")
_ID = re.compile(r"^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$")


def _getters(request: Request) -> Getters[Instance]:
    return {
        "instance-id": lambda one: one.id,
        "instance-type": lambda one: one.kind,
        "instance-state-name": lambda one: one.state,
        "instance-state-code": lambda one: CODES[one.state],
        "instance-lifecycle": lambda one: "spot" if one.market == SPOT else None,
        "image-id": lambda one: one.image,
        "availability-zone": lambda one: one.zone,
        "availability-zone-id": lambda one: one.zone_id,
        "subnet-id": lambda one: None if one.ended else one.subnet,
        "vpc-id": lambda one: None if one.ended else one.vpc,
        "private-ip-address": lambda one: None if one.ended else one.address,
        "private-dns-name": lambda one: None if one.ended else rendering.private_name(request.region, one),
        "client-token": lambda one: one.token,
        "reservation-id": lambda one: one.reservation,
        "architecture": lambda one: one.architecture,
        "key-name": lambda one: one.key or None,
        "launch-time": lambda one: one.launched,
        "owner-id": lambda _: request.caller.account,
        "root-device-name": lambda one: one.volume.device,
        "root-device-type": lambda _: "ebs",
        "spot-instance-request-id": lambda one: one.spot_request or None,
        "state-reason-code": lambda one: one.reason_code,
        "reason": lambda one: one.transition,
        "instance.group-id": lambda one: one.groups,
        "iam-instance-profile.arn": lambda one: one.profile.get("arn"),
        "iam-instance-profile.id": lambda one: one.profile.get("id"),
        "launch-index": lambda one: one.index,
        "metadata-options.http-tokens": lambda one: one.metadata.get("HttpTokens"),
        "metadata-options.http-endpoint": lambda one: one.metadata.get("HttpEndpoint"),
        "tenancy": lambda _: "default",
        "block-device-mapping.volume-id": lambda one: None if one.ended else one.volume.id,
        "block-device-mapping.device-name": lambda one: None if one.ended else one.volume.device,
    }


def describe(request: Request) -> dict[str, Any]:
    """DescribeInstances."""
    params = request.params
    request.caller.require("ec2:DescribeInstances")
    not_with_ids(params, "InstanceIds")
    known = request.records.instances
    chosen = list(_named(request, params["InstanceIds"])) if params.get("InstanceIds") else list(known.values())
    found = select(chosen, params.get("Filters"), _getters(request), tags=lambda one: one.tags)
    part, following = page(found, params)
    groups: dict[str, list[Instance]] = {}
    for one in part:
        groups.setdefault(one.reservation, []).append(one)
    return {
        "Reservations": [rendering.reservation(request, group) for group in groups.values()],
        "NextToken": following,
    }


def describe_status(request: Request) -> dict[str, Any]:
    """DescribeInstanceStatus: running instances, or all with IncludeAllInstances."""
    params = request.params
    request.caller.require("ec2:DescribeInstanceStatus")
    not_with_ids(params, "InstanceIds")
    known = request.records.instances
    chosen = list(_named(request, params["InstanceIds"])) if params.get("InstanceIds") else list(known.values())
    if not params.get("IncludeAllInstances"):
        chosen = [one for one in chosen if one.state == RUNNING]
    names = ("instance-state-name", "instance-state-code", "availability-zone", "availability-zone-id")
    getters = {name: get for name, get in _getters(request).items() if name in names}
    part, following = page(select(chosen, params.get("Filters"), getters, tags=lambda one: one.tags), params)
    shown = []
    for one in part:
        said = "ok" if one.state == RUNNING else "not-applicable"
        check = {"Status": said, "Details": [{"Name": "reachability", "Status": "passed"}] if said == "ok" else []}
        shown.append(
            {
                "AvailabilityZone": one.zone,
                "AvailabilityZoneId": one.zone_id,
                "InstanceId": one.id,
                "InstanceState": rendering.state(one.state),
                "InstanceStatus": check,
                "SystemStatus": check,
            }
        )
    return {"InstanceStatuses": shown, "NextToken": following}


def terminate(request: Request) -> dict[str, Any]:
    """TerminateInstances: one wrong id, and none is terminated."""
    only(request.params, _END, "The parameter")
    chosen = _changed(request)
    for one in chosen:
        if one.api_termination_disabled and one.state != TERMINATED:
            text = (
                f"The instance '{one.id}' may not be terminated. Modify its 'disableApiTermination' instance attribute"
            )
            raise Ec2Error("OperationNotPermitted", text)
    return {"TerminatingInstances": [moved(request, one, SHUTTING_DOWN) for one in chosen]}


def stop(request: Request) -> dict[str, Any]:
    """StopInstances."""
    only(request.params, _END, "The parameter")
    chosen = _changed(request)
    for one in chosen:
        if one.market == SPOT:
            text = f"You can't stop the Spot Instance '{one.id}' because it is associated with a one-time Spot Instance request."
            raise Ec2Error("UnsupportedOperation", text)
        if one.state not in (RUNNING, STOPPING, STOPPED):
            raise _incorrect(one, "stopped")
    return {"StoppingInstances": [moved(request, one, STOPPING) for one in chosen]}


def start(request: Request) -> dict[str, Any]:
    """StartInstances: boots the same disk again; scripts of the user data do not run a second time."""
    chosen = _changed(request)
    for one in chosen:
        if one.state not in (STOPPED, RUNNING, PENDING):
            raise _incorrect(one, "started")
    answer = []
    for one in chosen:
        before = one.state
        if before == STOPPED:
            _begin_again(request, one)
        answer.append(_change(one, before))
    return {"StartingInstances": answer}


def _begin_again(request: Request, one: Instance) -> None:
    was = one.state, one.reason_code, one.reason, one.transition, one.launched
    one.state, one.reason_code, one.reason, one.transition = PENDING, "pending", "pending", ""
    one.launched = iso(request.context.clock.now())
    try:
        request.save()
    except OSError:
        # A full disk: nobody would start its guest, and `pending` would be its state for ever.
        one.state, one.reason_code, one.reason, one.transition, one.launched = was
        raise
    request.context.supervisor.launch(request.region, one)


def reboot(request: Request) -> dict[str, Any]:
    """RebootInstances: one that does not run, and none is rebooted."""
    chosen = _changed(request)
    for one in chosen:
        if one.state != RUNNING:
            raise _incorrect(one, "rebooted")
    for one in chosen:
        request.context.supervisor.reboot(one)
    return {}


def describe_attribute(request: Request) -> dict[str, Any]:
    """DescribeInstanceAttribute."""
    one = _single(request)
    attribute = request.params.get("Attribute") or ""
    values: dict[str, dict[str, Any]] = {
        "userData": {"UserData": {"Value": one.user_data} if one.user_data else {}},
        "instanceInitiatedShutdownBehavior": {"InstanceInitiatedShutdownBehavior": {"Value": one.shutdown}},
        "disableApiTermination": {"DisableApiTermination": {"Value": one.api_termination_disabled}},
        "instanceType": {"InstanceType": {"Value": one.kind}},
        "rootDeviceName": {"RootDeviceName": {"Value": one.volume.device}},
        "ebsOptimized": {"EbsOptimized": {"Value": one.ebs_optimized}},
        "sourceDestCheck": {"SourceDestCheck": {"Value": True}},
        "groupSet": {"Groups": [{"GroupId": group} for group in one.groups]},
    }
    if attribute not in values:
        raise invalid(attribute, "attribute", "Unknown attribute.")
    return {"InstanceId": one.id, **values[attribute]}


def modify_attribute(request: Request) -> dict[str, Any]:
    """ModifyInstanceAttribute: shutdown behaviour and termination protection."""
    one = _single(request)
    behaviour, protection = _attribute(request.params)
    if one.state == TERMINATED:
        raise _incorrect(one, "modified")
    if behaviour is not None:
        if behaviour not in ("stop", "terminate") or (behaviour == "stop" and one.market == SPOT):
            raise invalid(behaviour, "instanceInitiatedShutdownBehavior")
        one.shutdown = behaviour
    if protection is not None:
        if protection and one.market == SPOT:
            raise Ec2Error("UnsupportedOperation", "Spot instances cannot be protected from termination.")
        one.api_termination_disabled = protection
    request.save()
    return {}


def _attribute(params: dict[str, Any]) -> tuple[str | None, bool | None]:
    """(shutdown behaviour, termination protection), of which one call changes one. Raises Ec2Error."""
    only(params, _ATTRIBUTES, "The attribute")
    behaviour = (params.get("InstanceInitiatedShutdownBehavior") or {}).get("Value")
    protection = (params.get("DisableApiTermination") or {}).get("Value")
    name, value = params.get("Attribute"), params.get("Value")
    if sum(said is not None for said in (behaviour, protection, name)) > 1:
        raise Ec2Error("InvalidParameterCombination", "Fields for multiple attribute types specified")
    if name == "instanceInitiatedShutdownBehavior":
        behaviour = value
    elif name == "disableApiTermination":
        if value not in ("true", "false"):
            raise invalid(value, "disableApiTermination")
        protection = value == "true"
    elif name is not None:
        raise not_supported(f"To modify the attribute {name}")
    if behaviour is None and protection is None:
        raise not_supported("This attribute")
    return behaviour, protection


def modify_metadata(request: Request) -> dict[str, Any]:
    """ModifyInstanceMetadataOptions: what is not named stays as it is."""
    one = _single(request)
    if one.state == TERMINATED:
        raise _incorrect(one, "modified")
    names = ("HttpTokens", "HttpEndpoint", "HttpPutResponseHopLimit", "HttpProtocolIpv6", "InstanceMetadataTags")
    asked = {name: request.params[name] for name in names if name in request.params}
    one.metadata = metadata_options(one.metadata | asked, one.tags)
    request.save()
    return {"InstanceId": one.id, "InstanceMetadataOptions": {"State": "applied", **one.metadata}}


def console_output(request: Request) -> dict[str, Any]:
    """GetConsoleOutput: the newest 64 KiB, at once, also for a while after the end."""
    one = _single(request)
    said = request.context.supervisor.console(one)
    return {
        "InstanceId": one.id,
        "Timestamp": iso(request.context.clock.now()),
        "Output": base64.b64encode(said).decode(),
    }


def describe_volumes(request: Request) -> dict[str, Any]:
    """DescribeVolumes: the root volumes."""
    params = request.params
    request.caller.require("ec2:DescribeVolumes")
    not_with_ids(params, "VolumeIds")
    found = [one for one in request.records.instances.values() if one.ended is None]
    for identifier in params.get("VolumeIds") or ():
        if identifier not in {one.volume.id for one in found}:
            raise Ec2Error("InvalidVolume.NotFound", f"The volume '{identifier}' does not exist.")
    if params.get("VolumeIds"):
        found = [one for one in found if one.volume.id in params["VolumeIds"]]
    getters: Getters[Instance] = {
        "volume-id": lambda one: one.volume.id,
        "attachment.instance-id": lambda one: one.id,
        "attachment.device": lambda one: one.volume.device,
        "attachment.delete-on-termination": lambda one: one.volume.delete_on_termination,
        "attachment.status": lambda _: "attached",
        "availability-zone": lambda one: one.zone,
        "encrypted": lambda one: one.volume.encrypted,
        "size": lambda one: one.volume.size,
        "status": lambda _: "in-use",
        "volume-type": lambda one: one.volume.kind,
    }
    chosen = select(found, params.get("Filters"), getters, tags=lambda one: one.volume.tags)
    part, following = page(chosen, params)
    return {"Volumes": [rendering.volume(request, one) for one in part], "NextToken": following}


def _named(request: Request, identifiers: Iterable[str]) -> Iterable[Instance]:
    missed = []
    for identifier in identifiers:
        if not _ID.match(identifier):
            raise Ec2Error("InvalidInstanceID.Malformed", f'Invalid id: "{identifier}"')
        if identifier not in request.records.instances:
            missed.append(identifier)
    if missed:
        word = "ID" if len(missed) == 1 else "IDs"
        verb = "does" if len(missed) == 1 else "do"
        text = f"The instance {word} '{', '.join(missed)}' {verb} not exist"
        raise Ec2Error("InvalidInstanceID.NotFound", text)
    return [request.records.instances[identifier] for identifier in dict.fromkeys(identifiers)]


def _changed(request: Request) -> list[Instance]:
    """The instances an action names, each of them judged with its tags."""
    if not request.params.get("InstanceIds"):
        raise missing("InstanceId")
    chosen = list(_named(request, request.params["InstanceIds"]))
    request.caller.require(f"ec2:{request.action}", [resource(request, one) for one in chosen])
    if request.params.get("DryRun"):
        raise dry_run()
    return chosen


def _single(request: Request) -> Instance:
    if not request.params.get("InstanceId"):
        raise missing("InstanceId")
    one = next(iter(_named(request, [request.params["InstanceId"]])))
    request.caller.require(f"ec2:{request.action}", [resource(request, one)])
    if request.params.get("DryRun"):
        raise dry_run()
    return one


def resource(request: Request, one: Instance) -> Resource:
    """What an action on an instance is judged on."""
    keys = resource_tags(one.tags) | {
        "ec2:InstanceType": one.kind,
        "ec2:InstanceProfile": one.profile.get("arn"),
        "ec2:AvailabilityZone": one.zone,
        "ec2:InstanceID": one.id,
        "ec2:MetadataHttpTokens": one.metadata.get("HttpTokens"),
    }
    return Resource(request.caller.arn("instance", one.id), keys)


def moved(request: Request, one: Instance, towards: str) -> dict[str, Any]:
    """Let an instance go to its end, unless it is there or further on its way."""
    before = one.state
    further = (SHUTTING_DOWN, TERMINATED) if towards == SHUTTING_DOWN else (STOPPING, STOPPED)
    if before not in further:
        one.state = towards
        one.reason_code = "Client.UserInitiatedShutdown"
        one.reason = "Client.UserInitiatedShutdown: User initiated shutdown"
        one.transition = f"User initiated ({request.context.clock.now():%Y-%m-%d %H:%M:%S} GMT)"
        try:
            request.save()
        finally:
            # A disk that is full keeps no server alive.
            request.context.supervisor.end(one)
    return _change(one, before)


def _change(one: Instance, before: str) -> dict[str, Any]:
    return {"InstanceId": one.id, "CurrentState": rendering.state(one.state), "PreviousState": rendering.state(before)}


def _incorrect(one: Instance, verb: str) -> Ec2Error:
    text = f"The instance '{one.id}' is not in a state from which it can be {verb}."
    return Ec2Error("IncorrectInstanceState", text)


HANDLERS: dict[str, Handler] = {
    "DescribeInstances": describe,
    "DescribeInstanceStatus": describe_status,
    "TerminateInstances": terminate,
    "StopInstances": stop,
    "StartInstances": start,
    "RebootInstances": reboot,
    "DescribeInstanceAttribute": describe_attribute,
    "ModifyInstanceAttribute": modify_attribute,
    "ModifyInstanceMetadataOptions": modify_metadata,
    "GetConsoleOutput": console_output,
    "DescribeVolumes": describe_volumes,
}
