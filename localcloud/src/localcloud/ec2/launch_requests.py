"""Resolves launch requests: merges the data of template and request, looks up every name, checks every value.

Nothing here launches an instance or asks for capacity.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from localcloud.ec2 import codec, supported, types, visibility
from localcloud.ec2.authorize import Resource
from localcloud.ec2.context import Request
from localcloud.ec2.errors import Ec2Error, invalid, missing, not_supported
from localcloud.ec2.network import Subnet, check_address
from localcloud.ec2.records import ON_DEMAND, SPOT
from localcloud.ec2.volumes import RootVolume, root_volume
from localcloud.ministack import identities, parameters, requests
from localcloud.services import images

USER_DATA_LIMIT = 16384
"""Bytes of user data before base64."""
SSM_DENIED = "SsmAccessDenied"
"""The code for an image's SSM parameter that the caller may not read; it fails the whole call, also of a fleet."""
MAX_TAGS = 50
"""Tags of one resource."""
_METADATA_KEY = re.compile(r"^[A-Za-z0-9+\-=.,_:@]{1,256}$")
_TAGGABLE = ("instance", "volume", "network-interface", "spot-instances-request", "fleet", "elastic-gpu")


_METADATA_DEFAULTS: dict[str, Any] = {
    "HttpTokens": "required",
    "HttpEndpoint": "enabled",
    "HttpPutResponseHopLimit": 2,
    "HttpProtocolIpv6": "disabled",
    "InstanceMetadataTags": "disabled",
}
_METADATA_VALUES = {
    "HttpTokens": ("optional", "required"),
    "HttpEndpoint": ("enabled", "disabled"),
    "HttpProtocolIpv6": ("enabled", "disabled"),
    "InstanceMetadataTags": ("enabled", "disabled"),
}


@dataclass(frozen=True)
class Profile:
    """An instance profile and its role; `role` and `role_arn` are "" if it has none."""

    name: str
    arn: str
    id: str
    role: str
    role_arn: str


@dataclass(frozen=True)
class LaunchRequest:
    """A checked launch: everything about the instance but its id and address.

    `groups` maps ids of security groups to names, `tags` maps resource types to tags, `data` is the merged launch data.
    """

    image: images.Image
    instance_type: types.InstanceType
    subnet: Subnet
    groups: dict[str, str]
    market: str
    shutdown: str
    profile: Profile | None
    metadata: dict[str, Any]
    volume: RootVolume
    tags: dict[str, dict[str, str]]
    data: dict[str, Any]
    template: str = ""
    template_version: str = ""
    private_address: str = ""


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return launch data `base` overridden by `over`; options are merged and tags are joined."""
    found = {**base, **over}
    for name in ("MetadataOptions", "Placement"):
        if name in base and name in over:
            found[name] = {**base[name], **over[name]}
    if "TagSpecifications" in base and "TagSpecifications" in over:
        found["TagSpecifications"] = [*base["TagSpecifications"], *over["TagSpecifications"]]
    return found


def tags_of(specifications: list[dict[str, Any]] | None) -> dict[str, dict[str, str]]:
    """Return the tags per resource type; the last value of a key wins. Raises Ec2Error for tags that AWS refuses."""
    found: dict[str, dict[str, str]] = {}
    for specification in specifications or ():
        kind, tags = specification.get("ResourceType", ""), specification.get("Tags", ())
        if kind not in _TAGGABLE:
            text = f"'{kind}' is not a valid taggable resource type for this operation."
            raise Ec2Error("InvalidParameterValue", text)
        keys = [tag.get("Key", "") for tag in tags]
        for key in keys:
            if keys.count(key) > 1:
                raise Ec2Error("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
        for tag in tags:
            check_tag(tag.get("Key", ""), tag.get("Value", ""))
            found.setdefault(kind, {})[tag["Key"]] = tag.get("Value", "")
    for tags in found.values():
        if len(tags) > MAX_TAGS:
            raise Ec2Error("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
    return found


def check_tag(key: str, value: str) -> None:
    """Raise Ec2Error for a tag that AWS refuses."""
    if not key or len(key) > 128 or len(value) > 256:
        raise Ec2Error("InvalidParameterValue", "Tag keys have 1 to 128 characters, values at most 256.")
    if codec.NOT_XML.search(key + value):
        raise Ec2Error("InvalidParameterValue", "A tag has a character that XML 1.0 cannot hold.")
    if key.lower().startswith("aws:"):
        raise Ec2Error("InvalidParameterValue", f"Tag keys starting with 'aws:' are reserved for internal use: {key}")


def resolve(request: Request, data: dict[str, Any], market: str) -> LaunchRequest:
    """Return the checked launch of launch data in one market. Raises Ec2Error as RunInstances does."""
    context, region = request.context, request.region
    supported.check_launch(data)
    image = _image(request, data)
    instance_type = types.named(data.get("InstanceType", "m1.small"))
    _check_architecture(instance_type, image)
    interface = supported.network_interface(data)
    subnet = _subnet(request, data, interface, lambda one: types.sells(one.zone_id, instance_type, market))
    supported.check_spot(data, market)
    spot = (data.get("InstanceMarketOptions") or {}).get("SpotOptions") or {}
    supported.check_max_price(spot.get("MaxPrice"), "SpotOptions.MaxPrice", instance_type, subnet.zone)
    group_ids = [*data.get("SecurityGroupIds", ()), *interface.get("Groups", ())]
    groups = context.network.groups(region, group_ids, data.get("SecurityGroups", ()), subnet.vpc)
    visibility.check_groups(request, groups)
    if data.get("KeyName"):
        # No action here makes key pairs, so there are none.
        raise Ec2Error("InvalidKeyPair.NotFound", f"The key pair '{data['KeyName']}' does not exist")
    tags = tags_of(data.get("TagSpecifications"))
    metadata = metadata_options(data.get("MetadataOptions") or {}, tags.get("instance", {}))
    shutdown = _shutdown(data, market)
    check_user_data(data)
    address = data.get("PrivateIpAddress") or interface.get("PrivateIpAddress") or ""
    return LaunchRequest(
        image=image,
        instance_type=instance_type,
        subnet=subnet,
        groups=groups,
        market=market,
        shutdown=shutdown,
        profile=_profile(request, data),
        metadata=metadata,
        volume=root_volume(image, data),
        tags=tags,
        data=data,
        private_address=check_address(subnet, address),
    )


def market_of(data: dict[str, Any]) -> str:
    """Return the market in the InstanceMarketOptions of launch data."""
    options = data.get("InstanceMarketOptions") or {}
    market = options.get("MarketType", ON_DEMAND)
    if market not in (SPOT, ON_DEMAND):
        raise not_supported(f"The market type {market}")
    return str(market)


def check_user_data(data: dict[str, Any]) -> None:
    """Raise Ec2Error for user data that is not base64, or too large."""
    try:
        decoded = base64.b64decode(data.get("UserData") or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Ec2Error("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from error
    if len(decoded) > USER_DATA_LIMIT:
        raise Ec2Error("InvalidParameterValue", f"User data is limited to {USER_DATA_LIMIT} bytes")


def _image(request: Request, data: dict[str, Any]) -> images.Image:
    identifier = data.get("ImageId", "")
    if not identifier:
        raise missing("ImageId")
    if identifier.startswith("resolve:ssm:"):
        identifier = _parameter(request, identifier.removeprefix("resolve:ssm:"))
    if not re.fullmatch(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?", identifier):
        raise Ec2Error("InvalidAMIID.Malformed", f'Invalid id: "{identifier}"')
    image = images.by_id(request.region, identifier)
    if image is None:
        raise Ec2Error("InvalidAMIID.NotFound", f"The image id '[{identifier}]' does not exist")
    return image


def _check_architecture(instance_type: types.InstanceType, image: images.Image) -> None:
    if image.architecture not in instance_type.architectures:
        text = (
            f"The architecture '{','.join(instance_type.architectures)}' of the specified instance type does not match "
            f"the architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that "
            "have matching architectures, and try again."
        )
        raise Ec2Error("InvalidParameterValue", text)


def _parameter(request: Request, name: str) -> str:
    """Return the value of an SSM parameter, a public one or one of the account. The caller must be allowed to read it."""
    plain = name.split(":")[0]
    region, account = request.region, request.caller.account
    public = images.parameters(region)
    owner = "" if plain.startswith("/aws/service/") else account
    arn = f"arn:aws:ssm:{region}:{owner}:parameter/{plain.lstrip('/')}"
    try:
        for action in request.context.conditions.now.image_rights:
            request.caller.require(action, [Resource(arn)])
    except Ec2Error as error:
        raise Ec2Error(SSM_DENIED, "Access denied to SSM") from error
    if plain in public:
        return public[plain]
    with requests.scope(account, region):
        kept = parameters.value(plain)
    if kept is None:
        raise Ec2Error("InvalidParameterValue", f"The SSM parameter {name} does not exist")
    return kept


def _subnet(
    request: Request, data: dict[str, Any], interface: dict[str, Any], is_suitable: Callable[[Subnet], bool]
) -> Subnet:
    """Return the subnet that the launch names, or a default one; a suitable one unless the launch names a zone."""
    network, region = request.context.network, request.region
    placement = data.get("Placement") or {}
    zone = placement.get("AvailabilityZone", "")
    zone_id = placement.get("AvailabilityZoneId")
    if zone_id:
        names = {identifier: name for name, identifier in network.zones(region)}
        zone = names.get(zone_id, zone_id)
    identifier = data.get("SubnetId") or interface.get("SubnetId")
    if not identifier:
        return network.default_subnet(region, zone, is_suitable)
    subnet = network.subnet(region, identifier)
    if zone and zone != subnet.zone:
        raise Ec2Error("InvalidParameterValue", f"The subnet {identifier} is not in the availability zone {zone}")
    return subnet


def _shutdown(data: dict[str, Any], market: str) -> str:
    behavior = data.get("InstanceInitiatedShutdownBehavior")
    if behavior not in (None, "stop", "terminate"):
        raise invalid(behavior, "instanceInitiatedShutdownBehavior")
    if market == SPOT:
        if behavior == "stop":
            text = "You can't specify the stop shutdown behavior for a one-time Spot Instance request."
            raise Ec2Error("InvalidParameterCombination", text)
        return "terminate"
    return behavior or "stop"


def _profile(request: Request, data: dict[str, Any]) -> Profile | None:
    caller = request.caller
    wanted = data.get("IamInstanceProfile") or {}
    name, arn = wanted.get("Name", ""), wanted.get("Arn", "")
    if not name and not arn:
        return None
    with requests.scope(caller.account, caller.region):
        found = identities.instance_profile(name=name, arn=arn)
        if found is None or not visibility.is_visible(request, found["CreateDate"]):
            part = "name" if name else "arn"
            raise invalid(name or arn, f"iamInstanceProfile.{part}", f"Invalid IAM Instance Profile {part}")
        role_name = next(iter(found.get("Roles") or ()), "")
        role = identities.role(role_name) or {}
    arn, identifier = found["Arn"], found["InstanceProfileId"]
    return Profile(found["InstanceProfileName"], arn, identifier, role_name, role.get("Arn", ""))


def metadata_options(chosen: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    """Return the chosen metadata options with all defaults, for an instance with these tags. Raises Ec2Error."""
    found = {name: chosen.get(name, default) for name, default in _METADATA_DEFAULTS.items()}
    for name, values in _METADATA_VALUES.items():
        if found[name] not in values:
            raise invalid(found[name], name)
    if not 1 <= found["HttpPutResponseHopLimit"] <= 64:
        raise invalid(found["HttpPutResponseHopLimit"], "HttpPutResponseHopLimit")
    if found["InstanceMetadataTags"] == "enabled":
        for key in tags:
            check_metadata_key(key)
    return found


def check_metadata_key(key: str) -> None:
    """Raise Ec2Error for a tag key that cannot be a path in the instance metadata."""
    if not _METADATA_KEY.match(key) or key in (".", "..", "_index"):
        text = (
            f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,256}}), "
            "and must not be a reserved name ('.', '..', '_index')"
        )
        raise Ec2Error("InvalidParameterValue", text)
