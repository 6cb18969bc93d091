"""CreateTags, DeleteTags and DescribeTags, over the records of this EC2 and over MiniStack's."""

from dataclasses import dataclass
from typing import Any

from localcloud.ec2.authorize import Resource, request_tags, resource_tags
from localcloud.ec2.context import Handler, Request
from localcloud.ec2.errors import Ec2Error, dry_run, missing
from localcloud.ec2.filters import page, select
from localcloud.ec2.launch_requests import MAX_TAGS, check_metadata_key, check_tag

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
# Kind -> (MiniStack's records, the name of the id, the error for an unknown id).
_MINISTACK_RECORDS = {
    "security-group": ("security_groups", "GroupId", "InvalidGroup.NotFound"),
    "subnet": ("subnets", "SubnetId", "InvalidSubnetID.NotFound"),
    "vpc": ("vpcs", "VpcId", "InvalidVpcID.NotFound"),
}


@dataclass(frozen=True)
class _Tag:
    resource: str
    kind: str
    key: str
    value: str


def create(request: Request) -> dict[str, Any]:
    """CreateTags."""
    new = {tag.get("Key", ""): tag.get("Value", "") for tag in request.params.get("Tags") or ()}
    if not new:
        raise missing("Tag")
    for key, value in new.items():
        check_tag(key, value)
    present = _authorized(request, new)
    for identifier, tags in present.items():
        if len(tags | new) > MAX_TAGS:
            raise Ec2Error("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
        instance = request.records.instances.get(identifier)
        if instance is not None and instance.metadata.get("InstanceMetadataTags") == "enabled":
            for key in new:
                check_metadata_key(key)
    for identifier, tags in present.items():
        _set(request, identifier, tags | new)
    request.save()
    return {}


def delete(request: Request) -> dict[str, Any]:
    """DeleteTags: the named tags, by key or by key and value; if none is named, all tags except `aws:` tags."""
    named = request.params.get("Tags") or ()
    values = {tag.get("Key", ""): tag.get("Value") for tag in named}
    for identifier, tags in _authorized(request, {}).items():
        deleted = set(tags)
        if values:
            deleted = {key for key in tags if key in values and values[key] in (None, tags[key])}
        kept = {key: value for key, value in tags.items() if key.startswith("aws:") or key not in deleted}
        _set(request, identifier, kept)
    request.save()
    return {}


def describe(request: Request) -> dict[str, Any]:
    """DescribeTags."""
    request.caller.require("ec2:DescribeTags")
    lines = []
    for identifier, tags in _all(request).items():
        lines += [_Tag(identifier, _kind(identifier), key, value) for key, value in sorted(tags.items())]
    found = select(
        lines,
        request.params.get("Filters"),
        {
            "resource-id": lambda tag: tag.resource,
            "resource-type": lambda tag: tag.kind,
            "key": lambda tag: tag.key,
            "value": lambda tag: tag.value,
        },
        tags=lambda tag: {tag.key: tag.value},
    )
    shown_page, next_token = page(found, request.params)
    shown = [
        {"ResourceId": tag.resource, "ResourceType": tag.kind, "Key": tag.key, "Value": tag.value} for tag in shown_page
    ]
    return {"Tags": shown, "NextToken": next_token}


def _authorized(request: Request, new: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return the tags of each resource that the request names. Raises Ec2Error unless the caller may change all of them."""
    identifiers = request.params.get("Resources")
    if not identifiers:
        raise missing("ResourceId")
    present = {identifier: _tags(request, identifier) for identifier in identifiers}
    resources = [
        Resource(request.caller.arn(_kind(identifier), identifier), resource_tags(tags) | request_tags(new))
        for identifier, tags in present.items()
    ]
    request.caller.require(f"ec2:{request.action}", resources)
    if request.params.get("DryRun"):
        raise dry_run()
    return present


def _kind(identifier: str) -> str:
    prefix = identifier.split("-", 1)[0]
    if prefix not in _KINDS:
        raise Ec2Error("InvalidID", f"The ID '{identifier}' is not valid")
    return _KINDS[prefix]


def _all(request: Request) -> dict[str, dict[str, str]]:
    records = request.records
    found = dict(request.context.network.all_tags(request.region))
    found |= {instance.id: instance.tags for instance in records.instances.values()}
    found |= {instance.volume.id: instance.volume.tags for instance in records.not_terminated()}
    found |= {template.id: template.tags for template in records.templates.values()}
    found |= {fleet.id: fleet.tags for fleet in records.fleets.values()}
    return {identifier: tags for identifier, tags in found.items() if identifier.split("-", 1)[0] in _KINDS}


def _tags(request: Request, identifier: str) -> dict[str, str]:
    kind, records = _kind(identifier), request.records
    if kind == "instance":
        if identifier not in records.instances:
            raise Ec2Error("InvalidInstanceID.NotFound", f"The instance ID '{identifier}' does not exist")
        return records.instances[identifier].tags
    if kind == "volume":
        for instance in records.not_terminated():
            if instance.volume.id == identifier:
                return instance.volume.tags
        raise Ec2Error("InvalidVolume.NotFound", f"The volume '{identifier}' does not exist.")
    if kind == "launch-template":
        if identifier not in records.templates:
            raise Ec2Error("InvalidLaunchTemplateId.NotFound", f"The launch template '{identifier}' does not exist.")
        return records.templates[identifier].tags
    if kind == "fleet":
        if identifier not in records.fleets:
            raise Ec2Error("InvalidFleetId.NotFound", f"The fleet ID '{identifier}' does not exist")
        return records.fleets[identifier].tags
    return _ministack_tags(request, kind, identifier)


def _ministack_tags(request: Request, kind: str, identifier: str) -> dict[str, str]:
    network = request.context.network
    if kind in _MINISTACK_RECORDS:
        records, name, code = _MINISTACK_RECORDS[kind]
        if identifier not in {record[name] for record in network.records(request.region, records)}:
            raise Ec2Error(code, f"The {kind} '{identifier}' does not exist")
    return network.tags(request.region, identifier)


def _set(request: Request, identifier: str, tags: dict[str, str]) -> None:
    records = request.records
    if identifier in records.instances:
        records.instances[identifier].tags = tags
    elif identifier in records.templates:
        records.templates[identifier].tags = tags
    elif identifier in records.fleets:
        records.fleets[identifier].tags = tags
    elif identifier.startswith("vol-"):
        volumes = {instance.volume.id: instance.volume for instance in records.instances.values()}
        volumes[identifier].tags = tags
    else:
        request.context.network.set_tags(request.region, identifier, tags)


HANDLERS: dict[str, Handler] = {"CreateTags": create, "DeleteTags": delete, "DescribeTags": describe}
