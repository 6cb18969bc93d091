"""IAM for launches: the resources that a launch needs permissions on, and their condition keys.

Source: "Service Authorization Reference", Actions, resources, and condition keys for Amazon EC2, RunInstances.
"""

from localcloud.ec2.authorize import Keys, Resource, request_tags, resource_tags
from localcloud.ec2.context import Request
from localcloud.ec2.launch_requests import LaunchRequest
from localcloud.ec2.records import SPOT

_TAGGED_AT_LAUNCH = ("instance", "volume", "network-interface", "spot-instances-request")


def authorize_launch(request: Request, launch: LaunchRequest, create_action: str) -> None:
    """Raise Ec2Error unless the caller may launch: RunInstances on each resource, CreateTags for the tags, PassRole.

    `create_action` is the value of ec2:CreateAction: RunInstances or CreateFleet.
    """
    request.caller.require("ec2:RunInstances", _resources(request, launch))
    for kind, tags in launch.tags.items():
        if tags and kind in _TAGGED_AT_LAUNCH:
            keys = request_tags(tags) | {"ec2:CreateAction": create_action}
            request.caller.require("ec2:CreateTags", [Resource(request.caller.arn(kind, "*"), keys)])
    if launch.profile is not None and launch.profile.role_arn:
        request.caller.pass_role(launch.profile.role_arn)


def _resources(request: Request, launch: LaunchRequest) -> list[Resource]:
    arn = request.caller.arn
    common = _template_keys(request, launch)
    found = [
        Resource(arn("instance", "*"), _instance_keys(launch)),
        Resource(arn("image", launch.image.id), _image_keys(launch)),
        Resource(arn("subnet", launch.subnet.id), _subnet_keys(request, launch)),
        Resource(arn("network-interface", "*"), _interface_keys(request, launch)),
        Resource(arn("volume", "*"), _volume_keys(launch)),
    ]
    for group in launch.groups:
        tags = request.context.network.tags(request.region, group)
        keys = _vpc_keys(request, launch) | {"ec2:SecurityGroupID": group} | resource_tags(tags)
        found.append(Resource(arn("security-group", group), keys))
    if launch.template:
        tags = request.records.templates[launch.template].tags
        found.append(Resource(arn("launch-template", launch.template), resource_tags(tags)))
    if launch.data.get("KeyName"):
        name = launch.data["KeyName"]
        found.append(Resource(arn("key-pair", name), {"ec2:KeyPairName": name}))
    found = [Resource(resource.arn, resource.keys | common) for resource in found]
    if launch.market == SPOT and launch.tags.get("spot-instances-request"):
        keys = request_tags(launch.tags["spot-instances-request"])
        found.append(Resource(arn("spot-instances-request", "*"), keys))
    return found


def _template_keys(request: Request, launch: LaunchRequest) -> Keys:
    if not launch.template:
        return {}
    return {
        "ec2:LaunchTemplate": request.caller.arn("launch-template", launch.template),
        "ec2:IsLaunchTemplateResource": "true",
    }


def _zone_keys(launch: LaunchRequest) -> Keys:
    return {"ec2:AvailabilityZone": launch.subnet.zone}


def _vpc_keys(request: Request, launch: LaunchRequest) -> Keys:
    return {"ec2:Vpc": request.caller.arn("vpc", launch.subnet.vpc)}


def _instance_keys(launch: LaunchRequest) -> Keys:
    keys = {
        "ec2:InstanceType": launch.instance_type.name,
        "ec2:InstanceMarketType": launch.market,
        "ec2:InstanceProfile": None,
        "ec2:MetadataHttpTokens": launch.metadata["HttpTokens"],
        "ec2:MetadataHttpEndpoint": launch.metadata["HttpEndpoint"],
        "ec2:MetadataHttpPutResponseHopLimit": str(launch.metadata["HttpPutResponseHopLimit"]),
        "ec2:RootDeviceType": "ebs",
        "ec2:Tenancy": "default",
        "ec2:EbsOptimized": str(bool(launch.data.get("EbsOptimized"))).lower(),
    }
    if launch.profile is not None:
        keys["ec2:InstanceProfile"] = launch.profile.arn
    return keys | _zone_keys(launch) | request_tags(launch.tags.get("instance", {}))


def _image_keys(launch: LaunchRequest) -> Keys:
    return {
        "ec2:ImageID": launch.image.id,
        "ec2:ImageType": "machine",
        # "amazon" for Amazon's images, otherwise the owner's account ("Service Authorization Reference").
        "ec2:Owner": launch.image.owner_alias or launch.image.owner,
        "ec2:Public": "true",
        "ec2:RootDeviceType": "ebs",
    }


def _subnet_keys(request: Request, launch: LaunchRequest) -> Keys:
    tags = request.context.network.tags(request.region, launch.subnet.id)
    keys = _zone_keys(launch) | _vpc_keys(request, launch)
    return keys | {"ec2:SubnetID": launch.subnet.id} | resource_tags(tags)


def _interface_keys(request: Request, launch: LaunchRequest) -> Keys:
    keys = _zone_keys(launch) | _vpc_keys(request, launch)
    subnet = {"ec2:Subnet": request.caller.arn("subnet", launch.subnet.id)}
    return keys | subnet | request_tags(launch.tags.get("network-interface", {}))


def _volume_keys(launch: LaunchRequest) -> Keys:
    keys = {
        "ec2:VolumeSize": str(launch.volume.size),
        "ec2:VolumeType": launch.volume.volume_type,
        "ec2:Encrypted": str(launch.volume.encrypted).lower(),
    }
    return _zone_keys(launch) | keys | request_tags(launch.tags.get("volume", {}))
