"""Changes of instances after their launch: terminating, stopping, starting, rebooting; and the console.

Descriptions live in describe_instances.py, attributes in attributes.py.
"""

import base64
import re
from collections.abc import Iterable
from typing import Any

from localcloud.ec2 import rendering
from localcloud.ec2.authorize import Resource, resource_tags
from localcloud.ec2.context import Handler, Request, iso
from localcloud.ec2.errors import Ec2Error, dry_run, missing
from localcloud.ec2.records import (
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    SPOT,
    STOPPED,
    STOPPING,
    TERMINATED,
    Instance,
)
from localcloud.ec2.supported import require_supported

# `Force` has no effect: a guest that does not react is killed after its grace period in any case.
_END_PARAMETERS = ("DryRun", "Force", "InstanceIds")
_ON_THE_WAY = {SHUTTING_DOWN: (SHUTTING_DOWN, TERMINATED), STOPPING: (STOPPING, STOPPED)}
_ID = re.compile(r"^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$")


def terminate(request: Request) -> dict[str, Any]:
    """TerminateInstances: terminates all of the named instances, or none if one of them is unknown or protected."""
    require_supported(request.params, _END_PARAMETERS, "The parameter")
    chosen = _authorized(request)
    for instance in chosen:
        if instance.api_termination_disabled and instance.state != TERMINATED:
            text = f"The instance '{instance.id}' may not be terminated. Modify its 'disableApiTermination' instance attribute"
            raise Ec2Error("OperationNotPermitted", text)
    return {"TerminatingInstances": [change_state(request, instance, SHUTTING_DOWN) for instance in chosen]}


def stop(request: Request) -> dict[str, Any]:
    """StopInstances."""
    require_supported(request.params, _END_PARAMETERS, "The parameter")
    chosen = _authorized(request)
    for instance in chosen:
        if instance.market == SPOT:
            text = (
                f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time"
                " Spot Instance request."
            )
            raise Ec2Error("UnsupportedOperation", text)
        if instance.state not in (RUNNING, STOPPING, STOPPED):
            raise incorrect_state(instance, "stopped")
    return {"StoppingInstances": [change_state(request, instance, STOPPING) for instance in chosen]}


def start(request: Request) -> dict[str, Any]:
    """StartInstances: boots the same disk again; the scripts of the user data do not run a second time."""
    chosen = _authorized(request)
    for instance in chosen:
        if instance.state not in (STOPPED, RUNNING, PENDING):
            raise incorrect_state(instance, "started")
    return {"StartingInstances": [_start(request, instance) for instance in chosen]}


def reboot(request: Request) -> dict[str, Any]:
    """RebootInstances: reboots all of the named instances, or none if one of them does not run."""
    chosen = _authorized(request)
    for instance in chosen:
        if instance.state != RUNNING:
            raise incorrect_state(instance, "rebooted")
    for instance in chosen:
        request.context.supervisor.reboot(instance)
    return {}


def console_output(request: Request) -> dict[str, Any]:
    """GetConsoleOutput: the newest 64 KiB, without delay, and for a while after the termination."""
    instance = single(request)
    output = request.context.supervisor.console(instance)
    return {
        "InstanceId": instance.id,
        "Timestamp": iso(request.context.clock.now()),
        "Output": base64.b64encode(output).decode(),
    }


def by_ids(request: Request, identifiers: Iterable[str]) -> list[Instance]:
    """Return the instances of these ids, each once. Raises Ec2Error for ids that are malformed or unknown."""
    identifiers = list(identifiers)
    unknown = []
    for identifier in identifiers:
        if not _ID.match(identifier):
            raise Ec2Error("InvalidInstanceID.Malformed", f'Invalid id: "{identifier}"')
        if identifier not in request.records.instances:
            unknown.append(identifier)
    if len(unknown) == 1:
        raise Ec2Error("InvalidInstanceID.NotFound", f"The instance ID '{unknown[0]}' does not exist")
    if unknown:
        raise Ec2Error("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(unknown)}' do not exist")
    return [request.records.instances[identifier] for identifier in dict.fromkeys(identifiers)]


def single(request: Request) -> Instance:
    """Return the only instance that the request names. Raises Ec2Error if there is none, or if the caller may not do this."""
    if not request.params.get("InstanceId"):
        raise missing("InstanceId")
    (instance,) = by_ids(request, [request.params["InstanceId"]])
    _authorize(request, [instance])
    return instance


def resource(request: Request, instance: Instance) -> Resource:
    """Return the IAM resource of an instance."""
    keys = resource_tags(instance.tags) | {
        "ec2:InstanceType": instance.instance_type,
        "ec2:InstanceProfile": instance.profile.get("arn"),
        "ec2:AvailabilityZone": instance.zone,
        "ec2:InstanceID": instance.id,
        "ec2:MetadataHttpTokens": instance.metadata.get("HttpTokens"),
    }
    return Resource(request.caller.arn("instance", instance.id), keys)


def change_state(request: Request, instance: Instance, state: str) -> dict[str, Any]:
    """Begin to terminate or stop an instance, unless that has begun before. Return the previous and the new state."""
    before = instance.state
    if before not in _ON_THE_WAY[state]:
        instance.state = state
        instance.reason_code = "Client.UserInitiatedShutdown"
        instance.reason = "Client.UserInitiatedShutdown: User initiated shutdown"
        instance.transition = f"User initiated ({request.context.clock.now():%Y-%m-%d %H:%M:%S} GMT)"
        try:
            request.save()
        finally:
            # A full disk must not keep an instance alive.
            request.context.supervisor.end(instance)
    return _states(instance, before)


def incorrect_state(instance: Instance, verb: str) -> Ec2Error:
    """Return the error for an instance that cannot be, for example, `stopped` now."""
    text = f"The instance '{instance.id}' is not in a state from which it can be {verb}."
    return Ec2Error("IncorrectInstanceState", text)


def _authorized(request: Request) -> list[Instance]:
    """Return the instances that the request names. Raises Ec2Error unless the caller may do this to each."""
    if not request.params.get("InstanceIds"):
        raise missing("InstanceId")
    chosen = by_ids(request, request.params["InstanceIds"])
    _authorize(request, chosen)
    return chosen


def _authorize(request: Request, chosen: list[Instance]) -> None:
    request.caller.require(f"ec2:{request.action}", [resource(request, instance) for instance in chosen])
    if request.params.get("DryRun"):
        raise dry_run()


def _start(request: Request, instance: Instance) -> dict[str, Any]:
    before = instance.state
    if before == STOPPED:
        _boot(request, instance)
    return _states(instance, before)


def _boot(request: Request, instance: Instance) -> None:
    old = dict(vars(instance))
    instance.state, instance.reason_code, instance.reason, instance.transition = PENDING, "pending", "pending", ""
    instance.launched = iso(request.context.clock.now())
    try:
        request.save()
    except OSError:
        # Without a guest the instance would be `pending` for ever.
        vars(instance).update(old)
        raise
    request.context.supervisor.launch(request.region, instance)


def _states(instance: Instance, before: str) -> dict[str, Any]:
    return {
        "InstanceId": instance.id,
        "CurrentState": rendering.state(instance.state),
        "PreviousState": rendering.state(before),
    }


HANDLERS: dict[str, Handler] = {
    "TerminateInstances": terminate,
    "StopInstances": stop,
    "StartInstances": start,
    "RebootInstances": reboot,
    "GetConsoleOutput": console_output,
}
