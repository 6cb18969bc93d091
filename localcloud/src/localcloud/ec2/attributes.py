"""Attributes of instances: DescribeInstanceAttribute, ModifyInstanceAttribute, ModifyInstanceMetadataOptions."""

from typing import Any

from localcloud.ec2.context import Handler, Request
from localcloud.ec2.errors import Ec2Error, invalid, not_supported
from localcloud.ec2.instances import incorrect_state, single
from localcloud.ec2.launch_requests import metadata_options
from localcloud.ec2.records import SPOT, TERMINATED, Instance
from localcloud.ec2.supported import require_supported

_PARAMETERS = (
    "Attribute",
    "DisableApiTermination",
    "DryRun",
    "InstanceId",
    "InstanceInitiatedShutdownBehavior",
    "Value",
)
_METADATA_OPTIONS = (
    "HttpTokens",
    "HttpEndpoint",
    "HttpPutResponseHopLimit",
    "HttpProtocolIpv6",
    "InstanceMetadataTags",
)


def describe_attribute(request: Request) -> dict[str, Any]:
    """DescribeInstanceAttribute."""
    instance = single(request)
    attribute = request.params.get("Attribute") or ""
    user_data: dict[str, Any] = {}
    if instance.user_data:
        user_data = {"Value": instance.user_data}
    values: dict[str, dict[str, Any]] = {
        "userData": {"UserData": user_data},
        "instanceInitiatedShutdownBehavior": {"InstanceInitiatedShutdownBehavior": {"Value": instance.shutdown}},
        "disableApiTermination": {"DisableApiTermination": {"Value": instance.api_termination_disabled}},
        "instanceType": {"InstanceType": {"Value": instance.instance_type}},
        "rootDeviceName": {"RootDeviceName": {"Value": instance.volume.device}},
        "ebsOptimized": {"EbsOptimized": {"Value": instance.ebs_optimized}},
        "sourceDestCheck": {"SourceDestCheck": {"Value": True}},
        "groupSet": {"Groups": [{"GroupId": group} for group in instance.groups]},
    }
    if attribute not in values:
        raise invalid(attribute, "attribute", "Unknown attribute.")
    return {"InstanceId": instance.id, **values[attribute]}


def modify_attribute(request: Request) -> dict[str, Any]:
    """ModifyInstanceAttribute: shutdown behavior and termination protection."""
    instance = single(request)
    behavior, protection = _new_values(request.params)
    if instance.state == TERMINATED:
        raise incorrect_state(instance, "modified")
    if behavior is not None:
        _set_shutdown(instance, behavior)
    if protection is not None:
        _set_protection(instance, protection)
    request.save()
    return {}


def modify_metadata(request: Request) -> dict[str, Any]:
    """ModifyInstanceMetadataOptions: options that are not named stay as they are."""
    instance = single(request)
    if instance.state == TERMINATED:
        raise incorrect_state(instance, "modified")
    changed = {name: request.params[name] for name in _METADATA_OPTIONS if name in request.params}
    instance.metadata = metadata_options(instance.metadata | changed, instance.tags)
    request.save()
    return {"InstanceId": instance.id, "InstanceMetadataOptions": {"State": "applied", **instance.metadata}}


def _set_shutdown(instance: Instance, behavior: str) -> None:
    allowed = ("terminate",) if instance.market == SPOT else ("stop", "terminate")
    if behavior not in allowed:
        raise invalid(behavior, "instanceInitiatedShutdownBehavior")
    instance.shutdown = behavior


def _set_protection(instance: Instance, protection: bool) -> None:
    if protection and instance.market == SPOT:
        raise Ec2Error("UnsupportedOperation", "Spot instances cannot be protected from termination.")
    instance.api_termination_disabled = protection


def _new_values(params: dict[str, Any]) -> tuple[str | None, bool | None]:
    """Return (shutdown behavior, termination protection); one call changes one of them. Raises Ec2Error."""
    require_supported(params, _PARAMETERS, "The attribute")
    behavior = (params.get("InstanceInitiatedShutdownBehavior") or {}).get("Value")
    protection = (params.get("DisableApiTermination") or {}).get("Value")
    name, value = params.get("Attribute"), params.get("Value")
    if sum(part is not None for part in (behavior, protection, name)) > 1:
        raise Ec2Error("InvalidParameterCombination", "Fields for multiple attribute types specified")
    if name == "instanceInitiatedShutdownBehavior":
        behavior = value
    elif name == "disableApiTermination":
        if value not in ("true", "false"):
            raise invalid(value, "disableApiTermination")
        protection = value == "true"
    elif name is not None:
        raise not_supported(f"Modifying the attribute {name}")
    if behavior is None and protection is None:
        raise not_supported("This attribute")
    return behavior, protection


HANDLERS: dict[str, Handler] = {
    "DescribeInstanceAttribute": describe_attribute,
    "ModifyInstanceAttribute": modify_attribute,
    "ModifyInstanceMetadataOptions": modify_metadata,
}
