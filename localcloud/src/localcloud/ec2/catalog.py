"""Describes what can be launched and where: images, instance types, prices, regions, zones, VPCs, subnets, security groups."""

import datetime
from dataclasses import dataclass
from typing import Any

from localcloud.ec2 import codec, types
from localcloud.ec2.context import Handler, Request, iso, tag_list
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


def describe_types(request: Request) -> Record:
    """DescribeInstanceTypes."""
    params = request.params
    request.caller.require("ec2:DescribeInstanceTypes")
    known = types.table()
    names = params.get("InstanceTypes") or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        text = f"The following supplied instance types do not exist: [{', '.join(unknown)}]"
        raise Ec2Error("InvalidInstanceType", text)
    chosen = [known[name] for name in names]
    getters: Getters[types.InstanceType] = {
        "instance-type": lambda instance_type: instance_type.name,
        "processor-info.supported-architecture": lambda instance_type: instance_type.architecture,
        "vcpu-info.default-vcpus": lambda instance_type: instance_type.cpus,
        "memory-info.size-in-mib": lambda instance_type: instance_type.memory,
        "current-generation": lambda _: True,
        "bare-metal": lambda _: False,
        "supported-usage-class": lambda _: ["on-demand", "spot"],
        "burstable-performance-supported": lambda instance_type: instance_type.name.startswith("t"),
        "instance-storage-supported": lambda _: False,
    }
    shown_page, next_token = page(select(chosen, params.get("Filters"), getters), params)
    return {"InstanceTypes": [_type(instance_type) for instance_type in shown_page], "NextToken": next_token}


def describe_offerings(request: Request) -> Record:
    """DescribeInstanceTypeOfferings: every zone offers every type."""
    params = request.params
    request.caller.require("ec2:DescribeInstanceTypeOfferings")
    location_type = params.get("LocationType") or "region"
    zones = request.context.network.zones(request.region)
    places = {
        "region": [request.region],
        "availability-zone": [name for name, _ in zones],
        "availability-zone-id": [identifier for _, identifier in zones],
    }
    if location_type not in places:
        raise Ec2Error("InvalidParameterValue", f"The location type {location_type} is not valid")
    lines: list[Record] = []
    for name in types.table():
        for place in places[location_type]:
            lines.append({"InstanceType": name, "LocationType": location_type, "Location": place})
    getters: Getters[Record] = {
        "instance-type": lambda line: line["InstanceType"],
        "location": lambda line: line["Location"],
    }
    shown_page, next_token = page(select(lines, params.get("Filters"), getters), params)
    return {"InstanceTypeOfferings": shown_page, "NextToken": next_token}


def describe_spot_prices(request: Request) -> Record:
    """DescribeSpotPriceHistory: one illustrative price per type and zone, which never changes."""
    params = request.params
    request.caller.require("ec2:DescribeSpotPriceHistory")
    chosen = [types.named(name) for name in params.get("InstanceTypes") or types.table()]
    products = params.get("ProductDescriptions") or ["Linux/UNIX"]
    since = str(params.get("StartTime") or iso(request.context.clock.now() - datetime.timedelta(hours=1)))
    zones = request.context.network.zones(request.region)
    if params.get("AvailabilityZone"):
        zones = [zone for zone in zones if zone[0] == params["AvailabilityZone"]]
    lines = []
    if any(product.startswith("Linux/UNIX") for product in products):
        for instance_type in chosen:
            lines += [_spot_price(instance_type, zone, zone_id, since) for zone, zone_id in zones]
    getters: Getters[Record] = {
        "availability-zone": lambda line: line["AvailabilityZone"],
        "instance-type": lambda line: line["InstanceType"],
        "product-description": lambda line: line["ProductDescription"],
        "spot-price": lambda line: line["SpotPrice"],
    }
    shown_page, next_token = page(select(lines, params.get("Filters"), getters), params, min_results=1)
    return {"SpotPriceHistory": shown_page, "NextToken": next_token or ""}


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


def _spot_price(instance_type: types.InstanceType, zone: str, zone_id: str, since: str) -> Record:
    return {
        "AvailabilityZone": zone,
        "AvailabilityZoneId": zone_id,
        "InstanceType": instance_type.name,
        "ProductDescription": "Linux/UNIX",
        "SpotPrice": f"{types.spot_dollars(instance_type, zone):.6f}",
        "Timestamp": since,
    }


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


def _type(instance_type: types.InstanceType) -> Record:
    return {
        "InstanceType": instance_type.name,
        "CurrentGeneration": True,
        "FreeTierEligible": False,
        "SupportedUsageClasses": ["on-demand", "spot"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": "nitro",
        "ProcessorInfo": {"SupportedArchitectures": [instance_type.architecture]},
        "VCpuInfo": {
            "DefaultVCpus": instance_type.cpus,
            "DefaultCores": instance_type.cores,
            "DefaultThreadsPerCore": instance_type.threads_per_core,
        },
        "MemoryInfo": {"SizeInMiB": instance_type.memory},
        "InstanceStorageSupported": False,
        "BurstablePerformanceSupported": instance_type.name.startswith("t"),
        "HibernationSupported": False,
        "AutoRecoverySupported": True,
    }


HANDLERS: dict[str, Handler] = {
    "DescribeImages": describe_images,
    "DescribeInstanceTypes": describe_types,
    "DescribeInstanceTypeOfferings": describe_offerings,
    "DescribeSpotPriceHistory": describe_spot_prices,
    "DescribeRegions": describe_regions,
    "DescribeAvailabilityZones": describe_zones,
    "DescribeSubnets": describe_subnets,
    "DescribeVpcs": describe_vpcs,
    "DescribeSecurityGroups": describe_groups,
}
