"""Describes what can be launched and where: images, regions and zones.

Instance types are described in describe_types.py, networks in networks.py.
"""

from typing import Any

from localcloud.ec2.context import Handler, Request, tag_list
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.filters import Getters, page, select
from localcloud.ec2.network import REGIONS
from localcloud.services import images

Record = dict[str, Any]


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
}
