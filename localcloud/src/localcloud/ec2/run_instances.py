"""RunInstances: one type, one place, one market."""

from dataclasses import replace
from typing import Any

from localcloud.ec2 import launch, templates
from localcloud.ec2.authorize import Resource, request_tags
from localcloud.ec2.context import Handler, Request
from localcloud.ec2.errors import Ec2Error, dry_run, missing
from localcloud.ec2.instances import resource
from localcloud.ec2.launch_requests import Draft, draft, market_of, merged
from localcloud.ec2.records import TERMINATED, Instance
from localcloud.ec2.rendering import reservation

_NOT_DATA = ("MinCount", "MaxCount", "ClientToken", "DryRun", "LaunchTemplate")


def run_instances(request: Request) -> dict[str, Any]:
    """RunInstances. Raises Ec2Error."""
    params = request.params
    least, most = params.get("MinCount"), params.get("MaxCount")
    if least is None or most is None:
        raise missing("MinCount" if least is None else "MaxCount")
    if not 1 <= least <= most:
        raise Ec2Error("InvalidParameterValue", f"Invalid value '{least}' for InstanceCount")
    try:
        one = _draft(request)
    except Ec2Error:
        known = None if params.get("DryRun") else _known(request)
        if known is None:
            raise
        _judge_again(request, known)
        return _again(request, known)
    if one.private_address and most > 1:
        text = "A private IP address can be given to one instance only."
        raise Ec2Error("InvalidParameterCombination", text)
    launch.authorize(request, one, "RunInstances")
    if params.get("DryRun"):
        raise dry_run()
    # A request that names a place is one request per zone: the same token may launch once in each.
    key, digest = launch.token_key("RunInstances", params, one.subnet.zone if _placed(params) else "")
    known = launch.replayed(request, key, digest)
    if known is not None:
        return _again(request, known)
    launch.bind_token(request, key, digest, None)
    request.save()
    request.context.capacity.call("RunInstances", request.region, after=False)
    refused = request.context.capacity.pool(request.region, one.subnet.zone, one.kind.name, one.market)
    if refused is not None:
        raise Ec2Error(refused.code, refused.message, 500 if refused.code == "InsufficientInstanceCapacity" else 400)

    def bind(made: list[Instance]) -> None:
        launch.bind_token(request, key, digest, {"instances": [instance.id for instance in made]})

    made = launch.start(request, one, (least, most), bind)
    request.context.capacity.call("RunInstances", request.region, after=True)
    return reservation(request, made)


def _draft(request: Request) -> Draft:
    params = request.params
    data = {key: value for key, value in params.items() if key not in _NOT_DATA}
    said = params.get("LaunchTemplate")
    if not said:
        return draft(request, data, market_of(data))
    template = templates.find(request.records, said)
    number = templates.version(template, said.get("Version") or "$Default")
    data = merged(template.versions[number]["data"], data)
    return replace(draft(request, data, market_of(data)), template=template.id, template_version=number)


def _placed(params: dict[str, Any]) -> bool:
    placement, cards = params.get("Placement") or {}, params.get("NetworkInterfaces") or ()
    zone = placement.get("AvailabilityZone") or placement.get("AvailabilityZoneId")
    return bool(zone or params.get("SubnetId") or any(card.get("SubnetId") for card in cards))


def _known(request: Request) -> dict[str, Any] | None:
    """What this very request was answered, when what it names, such as its template, is gone by now."""
    _, digest = launch.token_key("RunInstances", request.params)
    for key, one in request.records.tokens.items():
        action, _, token = key.split(" ", 2)
        if (action, token, one["digest"]) == ("RunInstances", request.params.get("ClientToken"), digest):
            answer: dict[str, Any] | None = one["answer"]
            return answer
    return None


def _judge_again(request: Request, known: dict[str, Any]) -> None:
    """Of a launch that can no longer be drafted, judge what is left of it: the instances it made."""
    made = [request.records.instances[one] for one in known["instances"] if one in request.records.instances]
    keys = [(resource(request, one), request_tags(one.tags)) for one in made]
    request.caller.require("ec2:RunInstances", [Resource(one.arn, one.keys | tags) for one, tags in keys])


def _again(request: Request, known: dict[str, Any]) -> dict[str, Any]:
    found: list[Instance] = [
        request.records.instances[one] for one in known["instances"] if one in request.records.instances
    ]
    if len(found) < len(known["instances"]) or any(one.state == TERMINATED for one in found):
        text = "The request had a client token of a previous request for which the instance has been terminated."
        raise Ec2Error("IdempotentInstanceTerminated", text)
    return reservation(request, found)


HANDLERS: dict[str, Handler] = {"RunInstances": run_instances}
