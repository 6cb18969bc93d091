"""RunInstances: instances of one type, in one place, from one market."""

from dataclasses import replace
from typing import Any

from localcloud.ec2 import limits, offers, templates
from localcloud.ec2.authorize import Resource, request_tags
from localcloud.ec2.context import Handler, Request
from localcloud.ec2.errors import Ec2Error, dry_run, missing
from localcloud.ec2.instances import resource
from localcloud.ec2.launch import start_instances
from localcloud.ec2.launch_authorization import authorize_launch
from localcloud.ec2.launch_requests import LaunchRequest, market_of, merged, resolve
from localcloud.ec2.records import TERMINATED, Instance
from localcloud.ec2.rendering import reservation
from localcloud.ec2.tokens import answer_in_any_zone, client_token

_NOT_LAUNCH_DATA = ("MinCount", "MaxCount", "ClientToken", "DryRun", "LaunchTemplate")


def run_instances(request: Request) -> dict[str, Any]:
    """RunInstances. Raises Ec2Error."""
    params = request.params
    count = _count(params)
    try:
        launch = _launch_request(request)
    except Ec2Error:
        answer = _earlier_answer(request)
        if answer is None:
            raise
        _authorize_replay(request, answer)
        return _replay(request, answer)
    if launch.private_address and count[1] > 1:
        text = "A private IP address can be given to one instance only."
        raise Ec2Error("InvalidParameterCombination", text)
    authorize_launch(request, launch, "RunInstances")
    if params.get("DryRun"):
        raise dry_run()
    token = client_token("RunInstances", params, _token_zone(params, launch))
    answer = token.answer(request)
    if answer is not None:
        return _replay(request, answer)
    # As on AWS, a call that finds no capacity uses its token up too.
    token.remember(request, None)
    request.save()
    capacity = request.context.capacity
    capacity.check_call("RunInstances", request.region, after=False)
    _check_pool(request, launch, count[0])

    def record(made: list[Instance]) -> None:
        token.remember(request, {"instances": [instance.id for instance in made]})

    count = count[0], min(count[1], limits.room(request, launch))
    made = start_instances(request, launch, count, record)
    capacity.check_call("RunInstances", request.region, after=True)
    return reservation(request, made)


def _count(params: dict[str, Any]) -> tuple[int, int]:
    for name in ("MinCount", "MaxCount"):
        if params.get(name) is None:
            raise missing(name)
    least, most = params["MinCount"], params["MaxCount"]
    if not 1 <= least <= most:
        raise Ec2Error("InvalidParameterValue", f"Invalid value '{least}' for InstanceCount")
    return least, most


def _launch_request(request: Request) -> LaunchRequest:
    params = request.params
    data = {key: value for key, value in params.items() if key not in _NOT_LAUNCH_DATA}
    specification = params.get("LaunchTemplate")
    if not specification:
        return resolve(request, data, market_of(data))
    template, number = templates.for_launch(request, specification, specification.get("Version") or "$Default")
    data = merged(template.versions[number]["data"], data)
    launch = resolve(request, data, market_of(data))
    return replace(launch, template=template.id, template_version=number)


def _token_zone(params: dict[str, Any], launch: LaunchRequest) -> str:
    """Return the zone if the request names a zone or a subnet, else "". If it does, one token may launch once in each zone."""
    placement = params.get("Placement") or {}
    interfaces = params.get("NetworkInterfaces") or ()
    places = [
        placement.get("AvailabilityZone"),
        placement.get("AvailabilityZoneId"),
        params.get("SubnetId"),
        *(interface.get("SubnetId") for interface in interfaces),
    ]
    if any(places):
        return launch.subnet.zone
    return ""


def _check_pool(request: Request, launch: LaunchRequest, count: int) -> None:
    """Raise the error of a type that is not offered here or not to this account, or that a capacity rule has for this pool."""
    offers.check(request, launch)
    limits.check(request, launch, count)
    error = request.context.capacity.pool_error(
        request.region, launch.subnet.zone, launch.instance_type.name, launch.market
    )
    if error is not None:
        status = {"InsufficientInstanceCapacity": 500}.get(error.code, 400)
        raise Ec2Error(error.code, error.message, status)


def _earlier_answer(request: Request) -> dict[str, Any] | None:
    """Return the earlier answer to this exact request, or None. What the request names, such as a template, may be gone."""
    if request.params.get("DryRun"):
        return None
    return answer_in_any_zone(request)


def _authorize_replay(request: Request, answer: dict[str, Any]) -> None:
    """Authorize a repeated launch on the instances that it made, because its parameters can no longer be resolved."""
    resources = []
    for instance in request.records.existing(answer["instances"]):
        existing = resource(request, instance)
        resources.append(Resource(existing.arn, existing.keys | request_tags(instance.tags)))
    request.caller.require("ec2:RunInstances", resources)


def _replay(request: Request, answer: dict[str, Any]) -> dict[str, Any]:
    found = request.records.existing(answer["instances"])
    if len(found) < len(answer["instances"]) or any(instance.state == TERMINATED for instance in found):
        text = (
            "The client token you have provided is associated with a terminated instance. "
            "Please use a different client token."
        )
        raise Ec2Error("IdempotentInstanceTerminated", text)
    return reservation(request, found)


HANDLERS: dict[str, Handler] = {"RunInstances": run_instances}
