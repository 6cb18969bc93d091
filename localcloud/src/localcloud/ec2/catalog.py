"""Describes what can be launched and where: images, regions, zones, VPCs, subnets, security groups.

Instance types are described in describe_types.py.
"""

from dataclasses import dataclass
from typing import Any

from localcloud.ec2 import codec
from localcloud.ec2.context import Handler, Request, tag_list
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.filters import Getters, page, select
from localcloud.ec2.network import REGIONS
from localcloud.services import images

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
_GROUPS = _MiniStackRecords(
    "security_groups",
    "GroupId",
    "InvalidGroup.NotFound",
    "SecurityGroups",
    "SecurityGroup",
    ("GroupId", "GroupName", "Description", "VpcId", "OwnerId", "IpPermissions", "IpPermissionsEgress"),
)


def describe_images(request: Request) -> Record:
    """DescribeImages: the stock images; their tags tell what runs in a guest."""
    params = request.params
    request.caller.require("ec2:DescribeImages")
    found = images.images(request.region)
    for identifier in params.get("ImageIds") or ():
        if images.by_id(request.region, identifier) is None:
            raise Ec2Error("InvalidAMIID.NotFound", f"The image id '[{identifier}]' does not exist")
    if params.get("ImageIds"):
        found = [image for image in found if image.id in params["ImageIds"]]
    if params.get("Owners"):
        found = [image for image in found if {image.owner, image.owner_alias} & set(params["Owners"])]
    tags = {f"localcloud:{key}": value for key, value in request.context.guest_facts.items()}
    getters: Getters[images.Image] = {
        "architecture": lambda image: image.architecture,
        "image-id": lambda image: image.id,
        "image-type": lambda _: "machine",
        "is-public": lambda _: True,
        "name": lambda image: image.name,
        "description": lambda image: image.description,
        "owner-id": lambda image: image.owner,
        "owner-alias": lambda image: image.owner_alias or None,
        "root-device-name": lambda image: image.root_device,
        "root-device-type": lambda _: "ebs",
        "state": lambda _: "available",
        "virtualization-type": lambda _: "hvm",
        "creation-date": lambda image: image.created,
    }
    shown_page, next_token = page(select(found, params.get("Filters"), getters, tags=lambda _: tags), params)
    return {"Images": [_image(image, tags) for image in shown_page], "NextToken": next_token}


def describe_regions(request: Request) -> Record:
    """DescribeRegions."""
    request.caller.require("ec2:DescribeRegions")
    names = request.params.get("RegionNames") or REGIONS
    for name in names:
        if name not in REGIONS:
            raise Ec2Error("InvalidParameterValue", f"Invalid region name: {name}")
    lines = [
        {"RegionName": name, "Endpoint": f"ec2.{name}.amazonaws.com", "OptInStatus": "opt-in-not-required"}
        for name in names
    ]
    getters: Getters[Record] = {
        "region-name": lambda line: line["RegionName"],
        "endpoint": lambda line: line["Endpoint"],
        "opt-in-status": lambda line: line["OptInStatus"],
    }
    return {"Regions": select(lines, request.params.get("Filters"), getters)}


def describe_zones(request: Request) -> Record:
    """DescribeAvailabilityZones."""
    request.caller.require("ec2:DescribeAvailabilityZones")
    lines = [
        {
            "ZoneName": name,
            "ZoneId": identifier,
            "State": "available",
            "RegionName": request.region,
            "GroupName": f"{request.region}-zg-1",
            "NetworkBorderGroup": request.region,
            "OptInStatus": "opt-in-not-required",
            "ZoneType": "availability-zone",
            "Messages": [],
        }
        for name, identifier in request.context.network.zones(request.region)
    ]
    for parameter, field in (("ZoneNames", "ZoneName"), ("ZoneIds", "ZoneId")):
        if request.params.get(parameter):
            lines = _zones_named(lines, field, request.params[parameter])
    getters: Getters[Record] = {
        "zone-name": lambda line: line["ZoneName"],
        "zone-id": lambda line: line["ZoneId"],
        "zone-type": lambda line: line["ZoneType"],
        "state": lambda line: line["State"],
        "region-name": lambda line: line["RegionName"],
        "group-name": lambda line: line["GroupName"],
        "opt-in-status": lambda line: line["OptInStatus"],
    }
    return {"AvailabilityZones": select(lines, request.params.get("Filters"), getters)}


def _zones_named(lines: list[Record], field: str, values: list[str]) -> list[Record]:
    known = {line[field] for line in lines}
    for value in values:
        if value not in known:
            raise Ec2Error("InvalidParameterValue", f"Invalid availability zone: [{value}]")
    return [line for line in lines if line[field] in values]


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


def _image(image: images.Image, tags: dict[str, str]) -> Record:
    disk = {"DeleteOnTermination": True, "Encrypted": False, "VolumeSize": image.size, "VolumeType": "gp3"}
    return {
        "ImageId": image.id,
        "ImageLocation": f"{image.owner_alias or image.owner}/{image.name}",
        "Name": image.name,
        "Description": image.description,
        "Architecture": image.architecture,
        "CreationDate": image.created,
        "OwnerId": image.owner,
        "ImageOwnerAlias": image.owner_alias or None,
        "Public": True,
        "State": "available",
        "ImageType": "machine",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "RootDeviceName": image.root_device,
        "RootDeviceType": "ebs",
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "EnaSupport": True,
        "ImdsSupport": "v2.0",
        "BlockDeviceMappings": [{"DeviceName": image.root_device, "Ebs": disk}],
        "Tags": tag_list(tags),
    }


HANDLERS: dict[str, Handler] = {
    "DescribeImages": describe_images,
    "DescribeRegions": describe_regions,
    "DescribeAvailabilityZones": describe_zones,
    "DescribeSubnets": describe_subnets,
    "DescribeVpcs": describe_vpcs,
    "DescribeSecurityGroups": describe_groups,
}
