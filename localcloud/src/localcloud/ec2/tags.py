"""CreateTags, DeleteTags and DescribeTags, over our records and MiniStack's alike."""

from dataclasses import dataclass
from typing import Any

from localcloud.ec2.authorize import Resource, request_tags, resource_tags
from localcloud.ec2.context import Handler, Request
from localcloud.ec2.errors import Ec2Error, dry_run, missing
from localcloud.ec2.filters import page, select
from localcloud.ec2.launch_requests import check_metadata_key, check_tag

_KINDS = {
    "i": "instance",
    "vol": "volume",
    "lt": "launch-template",
    "fleet": "fleet",
    "sg": "security-group",
    "subnet": "subnet",
    "vpc": "vpc",
    "igw": "internet-gateway",
    "rtb": "route-table",
    "acl": "network-acl",
    "eni": "network-interface",
    "vpce": "vpc-endpoint",
    "key": "key-pair",
}


@dataclass(frozen=True)
class _Line:
    resource: str
    kind: str
    key: str
    value: str


def create(request: Request) -> dict[str, Any]:
    """CreateTags."""
    said = {tag.get("Key", ""): tag.get("Value", "") for tag in request.params.get("Tags") or ()}
    if not said:
        raise missing("Tag")
    for key, value in said.items():
        check_tag(key, value)
    held = _asked(request, said)
    for identifier, tags in held.items():
        if len(tags | said) > 50:
            raise Ec2Error("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
        instance = request.records.instances.get(identifier)
        if instance is not None and instance.metadata.get("InstanceMetadataTags") == "enabled":
            for key in said:
                check_metadata_key(key)
    for identifier, tags in held.items():
        _set(request, identifier, tags | said)
    request.save()
    return {}


def delete(request: Request) -> dict[str, Any]:
    """DeleteTags: those named, by key or by key and value; all of a resource's own when none is named."""
    asked = request.params.get("Tags")
    said = {tag.get("Key", ""): tag.get("Value") for tag in asked or ()}
    for identifier, tags in _asked(request, {}).items():
        kept = {
            key: value
            for key, value in tags.items()
            if key.startswith("aws:") or (asked and (key not in said or said[key] not in (None, value)))
        }
        _set(request, identifier, kept)
    request.save()
    return {}


def describe(request: Request) -> dict[str, Any]:
    """DescribeTags."""
    request.caller.require("ec2:DescribeTags")
    lines = [
        _Line(identifier, _kind(identifier), key, value)
        for identifier, tags in _all(request).items()
        for key, value in sorted(tags.items())
    ]
    found = select(
        lines,
        request.params.get("Filters"),
        {
            "resource-id": lambda line: line.resource,
            "resource-type": lambda line: line.kind,
            "key": lambda line: line.key,
            "value": lambda line: line.value,
        },
        tags=lambda line: {line.key: line.value},
    )
    part, following = page(found, request.params)
    shown = [
        {"ResourceId": line.resource, "ResourceType": line.kind, "Key": line.key, "Value": line.value} for line in part
    ]
    return {"Tags": shown, "NextToken": following}


def _asked(request: Request, said: dict[str, str]) -> dict[str, dict[str, str]]:
    """The tags of each resource that the request names, each of them judged."""
    identifiers = request.params.get("Resources")
    if not identifiers:
        raise missing("ResourceId")
    held = {identifier: _held(request, identifier) for identifier in identifiers}
    resources = [
        Resource(request.caller.arn(_kind(identifier), identifier), resource_tags(tags) | request_tags(said))
        for identifier, tags in held.items()
    ]
    request.caller.require(f"ec2:{request.action}", resources)
    if request.params.get("DryRun"):
        raise dry_run()
    return held


def _kind(identifier: str) -> str:
    prefix = identifier.split("-", 1)[0]
    if prefix not in _KINDS:
        raise Ec2Error("InvalidID", f"The ID '{identifier}' is not valid")
    return _KINDS[prefix]


def _all(request: Request) -> dict[str, dict[str, str]]:
    records = request.records
    found = dict(request.context.network.tagged(request.region))
    found |= {one.id: one.tags for one in records.instances.values()}
    found |= {one.volume.id: one.volume.tags for one in records.instances.values() if one.ended is None}
    found |= {one.id: one.tags for one in records.templates.values()}
    found |= {one.id: one.tags for one in records.fleets.values()}
    return {identifier: tags for identifier, tags in found.items() if identifier.split("-", 1)[0] in _KINDS}


def _held(request: Request, identifier: str) -> dict[str, str]:
    kind, records = _kind(identifier), request.records
    if kind == "instance":
        if identifier not in records.instances:
            raise Ec2Error("InvalidInstanceID.NotFound", f"The instance ID '{identifier}' does not exist")
        return records.instances[identifier].tags
    if kind == "volume":
        for one in records.instances.values():
            if one.volume.id == identifier and one.ended is None:
                return one.volume.tags
        raise Ec2Error("InvalidVolume.NotFound", f"The volume '{identifier}' does not exist.")
    if kind == "launch-template":
        if identifier not in records.templates:
            raise Ec2Error("InvalidLaunchTemplateId.NotFound", f"The launch template '{identifier}' does not exist.")
        return records.templates[identifier].tags
    if kind == "fleet":
        if identifier not in records.fleets:
            raise Ec2Error("InvalidFleetId.NotFound", f"The fleet ID '{identifier}' does not exist")
        return records.fleets[identifier].tags
    return _foreign(request, kind, identifier)


def _foreign(request: Request, kind: str, identifier: str) -> dict[str, str]:
    stores = {
        "security-group": ("security_groups", "GroupId"),
        "subnet": ("subnets", "SubnetId"),
        "vpc": ("vpcs", "VpcId"),
    }
    if kind in stores:
        store, name = stores[kind]
        if identifier not in {one[name] for one in request.context.network.records(request.region, store)}:
            code = {"security-group": "InvalidGroup.NotFound", "subnet": "InvalidSubnetID.NotFound"}.get(
                kind, "InvalidVpcID.NotFound"
            )
            raise Ec2Error(code, f"The {kind} '{identifier}' does not exist")
    return request.context.network.tags(request.region, identifier)


def _set(request: Request, identifier: str, tags: dict[str, str]) -> None:
    records = request.records
    if identifier in records.instances:
        records.instances[identifier].tags = tags
    elif identifier in records.templates:
        records.templates[identifier].tags = tags
    elif identifier in records.fleets:
        records.fleets[identifier].tags = tags
    elif identifier.startswith("vol-"):
        next(one for one in records.instances.values() if one.volume.id == identifier).volume.tags = tags
    else:
        request.context.network.set_tags(request.region, identifier, tags)


HANDLERS: dict[str, Handler] = {"CreateTags": create, "DeleteTags": delete, "DescribeTags": describe}
