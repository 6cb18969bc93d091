"""RunInstances: one type, one place, one market."""

from dataclasses import replace
from typing import Any

from localcloud.ec2 import launch, templates
from localcloud.ec2.drafts import Draft, draft, market_of, merged
from localcloud.ec2.records import TERMINATED, Instance
from localcloud.ec2.refusals import Refusal, dry_run, missing
from localcloud.ec2.show import reservation
from localcloud.ec2.stage import Handler, Request

_NOT_DATA = ("MinCount", "MaxCount", "ClientToken", "DryRun", "LaunchTemplate")


def run_instances(request: Request) -> dict[str, Any]:
    """RunInstances. Raises Refusal."""
    params = request.params
    least, most = params.get("MinCount"), params.get("MaxCount")
    if least is None or most is None:
        raise missing("MinCount" if least is None else "MaxCount")
    if not 1 <= least <= most:
        raise Refusal("InvalidParameterValue", f"Invalid value '{least}' for InstanceCount")
    one = _draft(request)
    if one.private_address and most > 1:
        text = "A private IP address can be given to one instance only."
        raise Refusal("InvalidParameterCombination", text)
    launch.judge(request, one, "RunInstances")
    if params.get("DryRun"):
        raise dry_run()
    # A request that names a place is one request per zone: the same token may launch once in each.
    placed = bool(params.get("SubnetId") or (params.get("Placement") or {}).get("AvailabilityZone"))
    key, digest = launch.token_key("RunInstances", _without_place(params), one.subnet.zone if placed else "")
    known = launch.replayed(request, key, digest)
    if known is not None:
        return _again(request, known)
    launch.bind_token(request, key, digest, None)
    request.save()
    request.stage.capacity.call("RunInstances", request.region, after=False)
    refused = request.stage.capacity.pool(request.region, one.subnet.zone, one.kind.name, one.market)
    if refused is not None:
        raise Refusal(refused.code, refused.message, 500 if refused.code == "InsufficientInstanceCapacity" else 400)

    def bind(made: list[Instance]) -> None:
        launch.bind_token(request, key, digest, {"instances": [instance.id for instance in made]})

    made = launch.start(request, one, (least, most), bind)
    request.stage.capacity.call("RunInstances", request.region, after=True)
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


def _without_place(params: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key not in ("SubnetId", "Placement")}


def _again(request: Request, known: dict[str, Any]) -> dict[str, Any]:
    found: list[Instance] = [
        request.records.instances[one] for one in known["instances"] if one in request.records.instances
    ]
    if len(found) < len(known["instances"]) or any(one.state == TERMINATED for one in found):
        text = "The request had a client token of a previous request for which the instance has been terminated."
        raise Refusal("IdempotentInstanceTerminated", text)
    return reservation(request, found)


HANDLERS: dict[str, Handler] = {"RunInstances": run_instances}
