"""What can be launched and where: images, instance types, prices, regions, zones, VPCs, subnets, security groups. Reading only."""

import datetime
from typing import Any

from localcloud.ec2 import codec, types
from localcloud.ec2.context import Handler, Request, iso, tag_list
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.filters import Getters, page, select
from localcloud.ec2.network import REGIONS
from localcloud.services import images

Record = dict[str, Any]


def describe_images(request: Request) -> Record:
    """DescribeImages: the stock images; their tags say what really runs in a guest."""
    params = request.params
    request.caller.require("ec2:DescribeImages")
    found = images.images(request.region)
    for identifier in params.get("ImageIds") or ():
        if images.by_id(request.region, identifier) is None:
            raise Ec2Error("InvalidAMIID.NotFound", f"The image id '[{identifier}]' does not exist")
    if params.get("ImageIds"):
        found = [one for one in found if one.id in params["ImageIds"]]
    if params.get("Owners"):
        found = [one for one in found if {one.owner, one.owner_alias} & set(params["Owners"])]
    tags = {f"localcloud:{key}": value for key, value in request.context.facts.items()}
    getters: Getters[images.Image] = {
        "architecture": lambda one: one.architecture,
        "image-id": lambda one: one.id,
        "image-type": lambda _: "machine",
        "is-public": lambda _: True,
        "name": lambda one: one.name,
        "description": lambda one: one.description,
        "owner-id": lambda one: one.owner,
        "owner-alias": lambda one: one.owner_alias or None,
        "root-device-name": lambda one: one.root_device,
        "root-device-type": lambda _: "ebs",
        "state": lambda _: "available",
        "virtualization-type": lambda _: "hvm",
        "creation-date": lambda one: one.created,
    }
    part, following = page(select(found, params.get("Filters"), getters, tags=lambda _: tags), params)
    return {"Images": [_image(one, tags) for one in part], "NextToken": following}


def describe_types(request: Request) -> Record:
    """DescribeInstanceTypes."""
    params = request.params
    request.caller.require("ec2:DescribeInstanceTypes")
    known = types.table()
    wrong = [name for name in params.get("InstanceTypes") or () if name not in known]
    if wrong:
        text = f"The following supplied instance types do not exist: [{', '.join(wrong)}]"
        raise Ec2Error("InvalidInstanceType", text)
    chosen = [known[name] for name in params["InstanceTypes"]] if params.get("InstanceTypes") else list(known.values())
    getters: Getters[types.InstanceType] = {
        "instance-type": lambda one: one.name,
        "processor-info.supported-architecture": lambda one: one.architecture,
        "vcpu-info.default-vcpus": lambda one: one.cpus,
        "memory-info.size-in-mib": lambda one: one.memory,
        "current-generation": lambda _: True,
        "bare-metal": lambda _: False,
        "supported-usage-class": lambda _: ["on-demand", "spot"],
        "burstable-performance-supported": lambda one: one.name.startswith("t"),
        "instance-storage-supported": lambda _: False,
    }
    part, following = page(select(chosen, params.get("Filters"), getters), params)
    return {"InstanceTypes": [_type(one) for one in part], "NextToken": following}


def describe_offerings(request: Request) -> Record:
    """DescribeInstanceTypeOfferings: every type in every zone."""
    params = request.params
    request.caller.require("ec2:DescribeInstanceTypeOfferings")
    kind = params.get("LocationType") or "region"
    zones = request.context.network.zones(request.region)
    places = {
        "region": [request.region],
        "availability-zone": [name for name, _ in zones],
        "availability-zone-id": [identifier for _, identifier in zones],
    }
    if kind not in places:
        raise Ec2Error("InvalidParameterValue", f"The location type {kind} is not valid")
    lines = [
        {"InstanceType": name, "LocationType": kind, "Location": place}
        for name in types.table()
        for place in places[kind]
    ]
    getters: Getters[Record] = {
        "instance-type": lambda one: one["InstanceType"],
        "location": lambda one: one["Location"],
    }
    part, following = page(select(lines, params.get("Filters"), getters), params)
    return {"InstanceTypeOfferings": part, "NextToken": following}


def describe_spot_prices(request: Request) -> Record:
    """DescribeSpotPriceHistory: one illustrative price per type and zone, the same at all times."""
    params = request.params
    request.caller.require("ec2:DescribeSpotPriceHistory")
    chosen = [types.named(name) for name in params.get("InstanceTypes") or types.table()]
    products = params.get("ProductDescriptions") or ["Linux/UNIX"]
    since = str(params.get("StartTime") or iso(request.context.clock.now() - datetime.timedelta(hours=1)))
    lines = [
        {
            "AvailabilityZone": zone,
            "AvailabilityZoneId": zone_id,
            "InstanceType": kind.name,
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": f"{types.spot_dollars(kind, zone):.6f}",
            "Timestamp": since,
        }
        for kind in chosen
        for zone, zone_id in request.context.network.zones(request.region)
        if params.get("AvailabilityZone") in (None, zone)
        and any(product.startswith("Linux/UNIX") for product in products)
    ]
    getters: Getters[Record] = {
        "availability-zone": lambda one: one["AvailabilityZone"],
        "instance-type": lambda one: one["InstanceType"],
        "product-description": lambda one: one["ProductDescription"],
        "spot-price": lambda one: one["SpotPrice"],
    }
    part, following = page(select(lines, params.get("Filters"), getters), params, least=1)
    return {"SpotPriceHistory": part, "NextToken": following or ""}


def describe_regions(request: Request) -> Record:
    """DescribeRegions."""
    request.caller.require("ec2:DescribeRegions")
    asked = request.params.get("RegionNames") or REGIONS
    for name in asked:
        if name not in REGIONS:
            raise Ec2Error("InvalidParameterValue", f"Invalid region name: {name}")
    lines = [
        {"RegionName": name, "Endpoint": f"ec2.{name}.amazonaws.com", "OptInStatus": "opt-in-not-required"}
        for name in asked
    ]
    getters: Getters[Record] = {
        "region-name": lambda one: one["RegionName"],
        "endpoint": lambda one: one["Endpoint"],
        "opt-in-status": lambda one: one["OptInStatus"],
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
    for key, field in (("ZoneNames", "ZoneName"), ("ZoneIds", "ZoneId")):
        if request.params.get(key):
            known = {line[field] for line in lines}
            for said in request.params[key]:
                if said not in known:
                    raise Ec2Error("InvalidParameterValue", f"Invalid availability zone: [{said}]")
            lines = [line for line in lines if line[field] in request.params[key]]
    getters: Getters[Record] = {
        "zone-name": lambda one: one["ZoneName"],
        "zone-id": lambda one: one["ZoneId"],
        "zone-type": lambda one: one["ZoneType"],
        "state": lambda one: one["State"],
        "region-name": lambda one: one["RegionName"],
        "group-name": lambda one: one["GroupName"],
        "opt-in-status": lambda one: one["OptInStatus"],
    }
    return {"AvailabilityZones": select(lines, request.params.get("Filters"), getters)}


def describe_subnets(request: Request) -> Record:
    """DescribeSubnets."""
    getters: Getters[Record] = {
        "subnet-id": lambda one: one["SubnetId"],
        "vpc-id": lambda one: one["VpcId"],
        "availability-zone": lambda one: one["AvailabilityZone"],
        "availabilityZone": lambda one: one["AvailabilityZone"],
        "availability-zone-id": lambda one: one.get("AvailabilityZoneId"),
        "default-for-az": lambda one: bool(one.get("DefaultForAz")),
        "defaultForAz": lambda one: bool(one.get("DefaultForAz")),
        "cidr-block": lambda one: one["CidrBlock"],
        "state": lambda one: one["State"],
        "map-public-ip-on-launch": lambda one: bool(one.get("MapPublicIpOnLaunch")),
        "owner-id": lambda one: one["OwnerId"],
    }
    names = (
        "SubnetId VpcId CidrBlock AvailabilityZone AvailabilityZoneId State DefaultForAz MapPublicIpOnLaunch OwnerId"
        " AvailableIpAddressCount"
    )
    return _kept(request, "subnets", "SubnetId", "InvalidSubnetID.NotFound", getters, names.split())


def describe_vpcs(request: Request) -> Record:
    """DescribeVpcs."""
    getters: Getters[Record] = {
        "vpc-id": lambda one: one["VpcId"],
        "is-default": lambda one: bool(one.get("IsDefault")),
        "isDefault": lambda one: bool(one.get("IsDefault")),
        "cidr": lambda one: one["CidrBlock"],
        "cidr-block": lambda one: one["CidrBlock"],
        "state": lambda one: one["State"],
        "owner-id": lambda one: one["OwnerId"],
        "dhcp-options-id": lambda one: one.get("DhcpOptionsId"),
    }
    names = ["VpcId", "CidrBlock", "State", "IsDefault", "DhcpOptionsId", "InstanceTenancy", "OwnerId"]
    return _kept(request, "vpcs", "VpcId", "InvalidVpcID.NotFound", getters, names)


def describe_groups(request: Request) -> Record:
    """DescribeSecurityGroups."""
    getters: Getters[Record] = {
        "group-id": lambda one: one["GroupId"],
        "group-name": lambda one: one["GroupName"],
        "vpc-id": lambda one: one.get("VpcId"),
        "description": lambda one: one.get("Description"),
        "owner-id": lambda one: one["OwnerId"],
    }
    names = ["GroupId", "GroupName", "Description", "VpcId", "OwnerId", "IpPermissions", "IpPermissionsEgress"]
    if request.params.get("GroupNames"):
        request.params.setdefault("Filters", []).append({"Name": "group-name", "Values": request.params["GroupNames"]})
    return _kept(request, "security_groups", "GroupId", "InvalidGroup.NotFound", getters, names)


def _kept(request: Request, store: str, key: str, code: str, getters: Getters[Record], names: list[str]) -> Record:
    """Describe one of MiniStack's stores."""
    params, region, network = request.params, request.region, request.context.network
    request.caller.require(f"ec2:{request.action}")
    member = {"subnets": "Subnets", "vpcs": "Vpcs", "security_groups": "SecurityGroups"}[store]
    shape = {"subnets": "Subnet", "vpcs": "Vpc", "security_groups": "SecurityGroup"}[store]
    found = network.records(region, store)
    asked = params.get(f"{key}s")
    if asked:
        for identifier in asked:
            if identifier not in {one[key] for one in found}:
                raise Ec2Error(code, f"The {key.removesuffix('Id').lower()} ID '{identifier}' does not exist")
        found = [one for one in found if one[key] in asked]
    chosen = select(found, params.get("Filters"), getters, tags=lambda one: network.tags(region, one[key]))
    part, following = page(chosen, params)
    shown = [
        codec.fitting(shape, {name: one[name] for name in names if name in one})
        | {"Tags": tag_list(network.tags(region, one[key]))}
        for one in part
    ]
    return {member: shown, "NextToken": following}


def _image(one: images.Image, tags: dict[str, str]) -> Record:
    disk = {"DeleteOnTermination": True, "Encrypted": False, "VolumeSize": one.size, "VolumeType": "gp3"}
    return {
        "ImageId": one.id,
        "ImageLocation": f"{one.owner_alias or one.owner}/{one.name}",
        "Name": one.name,
        "Description": one.description,
        "Architecture": one.architecture,
        "CreationDate": one.created,
        "OwnerId": one.owner,
        "ImageOwnerAlias": one.owner_alias or None,
        "Public": True,
        "State": "available",
        "ImageType": "machine",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "RootDeviceName": one.root_device,
        "RootDeviceType": "ebs",
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "EnaSupport": True,
        "ImdsSupport": "v2.0",
        "BlockDeviceMappings": [{"DeviceName": one.root_device, "Ebs": disk}],
        "Tags": tag_list(tags),
    }


def _type(one: types.InstanceType) -> Record:
    return {
        "InstanceType": one.name,
        "CurrentGeneration": True,
        "FreeTierEligible": False,
        "SupportedUsageClasses": ["on-demand", "spot"],
        "SupportedRootDeviceTypes": ["ebs"],
        "SupportedVirtualizationTypes": ["hvm"],
        "BareMetal": False,
        "Hypervisor": "nitro",
        "ProcessorInfo": {"SupportedArchitectures": [one.architecture]},
        "VCpuInfo": {
            "DefaultVCpus": one.cpus,
            "DefaultCores": one.cores,
            "DefaultThreadsPerCore": max(1, one.cpus // one.cores),
        },
        "MemoryInfo": {"SizeInMiB": one.memory},
        "InstanceStorageSupported": False,
        "BurstablePerformanceSupported": one.name.startswith("t"),
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
