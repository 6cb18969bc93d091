"""Describes networks, which MiniStack keeps: VPCs, subnets, security groups, route tables and endpoints."""

from dataclasses import dataclass
from typing import Any

from localcloud.ec2 import codec
from localcloud.ec2.context import Handler, Request, tag_list
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.filters import Getters, page, select

Record = dict[str, Any]


@dataclass(frozen=True)
class _MiniStackRecords:
    """A kind of records that MiniStack keeps, and how an answer shows them.

    `name` is the kind's name in MiniStack, `key` the field of the id, `error` the code for an unknown id. In the answer
    `member` is the list, `shape` the SDK's shape of its items, and `shown` the fields of an item.
    """

    name: str
    key: str
    error: str
    member: str
    shape: str
    shown: tuple[str, ...]


_SUBNETS = _MiniStackRecords(
    "subnets",
    "SubnetId",
    "InvalidSubnetID.NotFound",
    "Subnets",
    "Subnet",
    (
        "SubnetId",
        "VpcId",
        "CidrBlock",
        "AvailabilityZone",
        "AvailabilityZoneId",
        "State",
        "DefaultForAz",
        "MapPublicIpOnLaunch",
        "OwnerId",
        "AvailableIpAddressCount",
    ),
)
_VPCS = _MiniStackRecords(
    "vpcs",
    "VpcId",
    "InvalidVpcID.NotFound",
    "Vpcs",
    "Vpc",
    ("VpcId", "CidrBlock", "State", "IsDefault", "DhcpOptionsId", "InstanceTenancy", "OwnerId"),
)
_ROUTES = _MiniStackRecords(
    "route_tables",
    "RouteTableId",
    "InvalidRouteTableID.NotFound",
    "RouteTables",
    "RouteTable",
    ("RouteTableId", "VpcId", "OwnerId", "Routes", "Associations"),
)
_ENDPOINTS = _MiniStackRecords(
    "vpc_endpoints",
    "VpcEndpointId",
    "InvalidVpcEndpointId.NotFound",
    "VpcEndpoints",
    "VpcEndpoint",
    ("VpcEndpointId", "VpcEndpointType", "VpcId", "ServiceName", "State", "RouteTableIds", "SubnetIds", "OwnerId"),
)
_GROUPS = _MiniStackRecords(
    "security_groups",
    "GroupId",
    "InvalidGroup.NotFound",
    "SecurityGroups",
    "SecurityGroup",
    ("GroupId", "GroupName", "Description", "VpcId", "OwnerId", "IpPermissions", "IpPermissionsEgress"),
)


def describe_subnets(request: Request) -> Record:
    """DescribeSubnets."""
    getters: Getters[Record] = {
        "subnet-id": lambda subnet: subnet["SubnetId"],
        "vpc-id": lambda subnet: subnet["VpcId"],
        "availability-zone": lambda subnet: subnet["AvailabilityZone"],
        "availabilityZone": lambda subnet: subnet["AvailabilityZone"],
        "availability-zone-id": lambda subnet: subnet.get("AvailabilityZoneId"),
        "default-for-az": lambda subnet: bool(subnet.get("DefaultForAz")),
        "defaultForAz": lambda subnet: bool(subnet.get("DefaultForAz")),
        "cidr-block": lambda subnet: subnet["CidrBlock"],
        "state": lambda subnet: subnet["State"],
        "map-public-ip-on-launch": lambda subnet: bool(subnet.get("MapPublicIpOnLaunch")),
        "owner-id": lambda subnet: subnet["OwnerId"],
    }
    return _describe_ministack(request, _SUBNETS, getters)


def describe_vpcs(request: Request) -> Record:
    """DescribeVpcs."""
    getters: Getters[Record] = {
        "vpc-id": lambda vpc: vpc["VpcId"],
        "is-default": lambda vpc: bool(vpc.get("IsDefault")),
        "isDefault": lambda vpc: bool(vpc.get("IsDefault")),
        "cidr": lambda vpc: vpc["CidrBlock"],
        "cidr-block": lambda vpc: vpc["CidrBlock"],
        "state": lambda vpc: vpc["State"],
        "owner-id": lambda vpc: vpc["OwnerId"],
        "dhcp-options-id": lambda vpc: vpc.get("DhcpOptionsId"),
    }
    return _describe_ministack(request, _VPCS, getters)


def describe_groups(request: Request) -> Record:
    """DescribeSecurityGroups."""
    getters: Getters[Record] = {
        "group-id": lambda group: group["GroupId"],
        "group-name": lambda group: group["GroupName"],
        "vpc-id": lambda group: group.get("VpcId"),
        "description": lambda group: group.get("Description"),
        "owner-id": lambda group: group["OwnerId"],
    }
    if request.params.get("GroupNames"):
        request.params.setdefault("Filters", []).append({"Name": "group-name", "Values": request.params["GroupNames"]})
    return _describe_ministack(request, _GROUPS, getters)


def describe_route_tables(request: Request) -> Record:
    """DescribeRouteTables. A subnet without an association of its own uses the main table of its VPC."""
    getters: Getters[Record] = {
        "route-table-id": lambda table: table["RouteTableId"],
        "vpc-id": lambda table: table["VpcId"],
        "owner-id": lambda table: table["OwnerId"],
        "association.main": lambda table: any(each.get("Main") for each in table["Associations"]),
        "association.subnet-id": lambda table: [each.get("SubnetId", "") for each in table["Associations"]],
        "route.destination-cidr-block": lambda table: [
            each.get("DestinationCidrBlock", "") for each in table["Routes"]
        ],
    }
    return _describe_ministack(request, _ROUTES, getters)


def describe_endpoints(request: Request) -> Record:
    """DescribeVpcEndpoints."""
    getters: Getters[Record] = {
        "vpc-endpoint-id": lambda endpoint: endpoint["VpcEndpointId"],
        "vpc-endpoint-type": lambda endpoint: endpoint["VpcEndpointType"],
        "vpc-id": lambda endpoint: endpoint["VpcId"],
        "service-name": lambda endpoint: endpoint["ServiceName"],
        "vpc-endpoint-state": lambda endpoint: endpoint["State"],
    }
    return _describe_ministack(request, _ENDPOINTS, getters)


def _describe_ministack(request: Request, source: _MiniStackRecords, getters: Getters[Record]) -> Record:
    """Describe records that MiniStack keeps."""
    params, region, network = request.params, request.region, request.context.network
    request.caller.require(f"ec2:{request.action}")
    found = network.records(region, source.name)
    identifiers = params.get(f"{source.key}s")
    if identifiers:
        known = {record[source.key] for record in found}
        for identifier in identifiers:
            if identifier not in known:
                kind = source.key.removesuffix("Id").lower()
                raise Ec2Error(source.error, f"The {kind} ID '{identifier}' does not exist")
        found = [record for record in found if record[source.key] in identifiers]
    chosen = select(found, params.get("Filters"), getters, tags=lambda record: network.tags(region, record[source.key]))
    shown_page, next_token = page(chosen, params)
    shown = []
    for record in shown_page:
        values = {name: record[name] for name in source.shown if name in record}
        tags = tag_list(network.tags(region, record[source.key]))
        shown.append(codec.project(source.shape, values) | {"Tags": tags})
    return {source.member: shown, "NextToken": next_token}


HANDLERS: dict[str, Handler] = {
    "DescribeSubnets": describe_subnets,
    "DescribeVpcs": describe_vpcs,
    "DescribeSecurityGroups": describe_groups,
    "DescribeRouteTables": describe_route_tables,
    "DescribeVpcEndpoints": describe_endpoints,
}
