"""The networks that MiniStack's EC2 keeps: VPCs, subnets and security groups, with their tags.

Every function works on the account and region of the current request. Copies are returned, never MiniStack's own records.
"""

from typing import Any

from localcloud.ministack.requests import service

_STORES = {"vpcs": "_vpcs", "subnets": "_subnets", "security_groups": "_security_groups"}


def records(kind: str) -> list[dict[str, Any]]:
    """Return the records of "vpcs", "subnets" or "security_groups", in MiniStack's shape."""
    return [dict(one) for one in getattr(_ec2(), _STORES[kind]).values()]


def zone_id(zone: str) -> str:
    """Return the id of an availability zone, such as "use1-az1"."""
    found: str = service("ec2")._az_id_for_zone_name(zone)
    return found


def tags() -> dict[str, dict[str, str]]:
    """Return the tags of every tagged resource by its id."""
    return {resource: {tag["Key"]: tag["Value"] for tag in found} for resource, found in _ec2()._tags.items()}


def set_tags(resource: str, tags: dict[str, str]) -> None:
    """Replace the tags of a resource."""
    _ec2()._tags[resource] = [{"Key": key, "Value": value} for key, value in tags.items()]


def _ec2() -> Any:
    """Return MiniStack's EC2 with the default network of the current account and region in it."""
    module = service("ec2")
    module._ensure_defaults_initialized()
    return module
