"""The networks that MiniStack's EC2 keeps: VPCs, subnets, security groups, route tables and endpoints, with their tags.

Every function works on the account and region of the current request. Copies are returned, never MiniStack's own records.
"""

from typing import Any

from localcloud.ministack.requests import service

_STORES = {
    "vpcs": "_vpcs",
    "subnets": "_subnets",
    "security_groups": "_security_groups",
    "route_tables": "_route_tables",
    "vpc_endpoints": "_vpc_endpoints",
}
_DEFAULT_ROUTE = "0.0.0.0/0"


def records(kind: str) -> list[dict[str, Any]]:
    """Return the records of one of these kinds, in MiniStack's shape."""
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
    _give_default_route(module)
    return module


def _give_default_route(module: Any) -> None:
    """Route the default VPC to its internet gateway, as AWS does. MiniStack makes the gateway and no route to it.

    This is done once for a table, so a route that a caller deletes stays away.
    """
    for table in module._route_tables.values():
        if table["VpcId"] != module._DEFAULT_VPC_ID or table.get("HasHadDefaultRoute"):
            continue
        table["HasHadDefaultRoute"] = True
        if not any(route.get("DestinationCidrBlock") == _DEFAULT_ROUTE for route in table["Routes"]):
            route = {"DestinationCidrBlock": _DEFAULT_ROUTE, "GatewayId": module._DEFAULT_IGW_ID}
            table["Routes"].append({**route, "State": "active", "Origin": "CreateRoute"})
