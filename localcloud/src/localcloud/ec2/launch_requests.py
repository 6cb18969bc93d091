"""A launch request made whole: the template's data and the request's own merged, every name looked up, every value checked.

Nothing is launched here and no capacity is asked.
"""

import base64
import binascii
import importlib
import re
from dataclasses import dataclass, field
from typing import Any

from localcloud.ec2 import supported, types
from localcloud.ec2.authorize import Caller, Resource
from localcloud.ec2.context import Context, Request
from localcloud.ec2.errors import Ec2Error, invalid, missing, not_supported
from localcloud.ec2.network import Subnet, own_address
from localcloud.ec2.records import ON_DEMAND, SPOT
from localcloud.ec2.volumes import root_volume
from localcloud.ministack import seams
from localcloud.services import images

_USER_DATA_LIMIT = 16384
_METADATA_KEY = re.compile(r"^[A-Za-z0-9+\-=.,_:@]{1,256}$")
_TAGGED = ("instance", "volume", "network-interface", "spot-instances-request", "fleet", "elastic-gpu")


@dataclass(frozen=True)
class Profile:
    """An instance profile and the role in it."""

    name: str
    arn: str
    id: str
    role: str
    role_arn: str


@dataclass(frozen=True)
class Draft:
    """An instance that may be launched: everything is known but its id and address."""

    image: images.Image
    kind: types.InstanceType
    subnet: Subnet
    groups: dict[str, str]
    market: str
    shutdown: str
    user_data: bytes
    profile: Profile | None
    metadata: dict[str, Any]
    volume: dict[str, Any]
    tags: dict[str, dict[str, str]]
    data: dict[str, Any]
    template: str = ""
    template_version: str = ""
    image_parameter: str = ""
    private_address: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Launch data `base` with the request's `over` it: a parameter of the request wins, tags and options are joined."""
    found = {**base, **over}
    for name in ("MetadataOptions", "Placement"):
        if name in base and name in over:
            found[name] = {**base[name], **over[name]}
    if "TagSpecifications" in base and "TagSpecifications" in over:
        found["TagSpecifications"] = [*base["TagSpecifications"], *over["TagSpecifications"]]
    return found


def tags_of(specifications: list[dict[str, Any]] | None) -> dict[str, dict[str, str]]:
    """Tags per resource type; a later value of a key wins. Raises Ec2Error for what AWS does not take as a tag."""
    found: dict[str, dict[str, str]] = {}
    for one in specifications or ():
        kind = one.get("ResourceType", "")
        if kind not in _TAGGED:
            raise Ec2Error(
                "InvalidParameterValue", f"'{kind}' is not a valid taggable resource type for this operation."
            )
        keys = [tag.get("Key", "") for tag in one.get("Tags", ())]
        for key in keys:
            if keys.count(key) > 1:
                raise Ec2Error("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
        for tag in one.get("Tags", ()):
            check_tag(tag.get("Key", ""), tag.get("Value", ""))
            found.setdefault(kind, {})[tag["Key"]] = tag.get("Value", "")
    for tags in found.values():
        if len(tags) > 50:
            raise Ec2Error("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
    return found


def check_tag(key: str, value: str) -> None:
    """Raise Ec2Error for a tag AWS would not take."""
    if not key or len(key) > 128 or len(value) > 256:
        raise Ec2Error("InvalidParameterValue", "Tag keys have 1 to 128 characters, values at most 256.")
    if key.lower().startswith("aws:"):
        raise Ec2Error("InvalidParameterValue", f"Tag keys starting with 'aws:' are reserved for internal use: {key}")


def draft(request: Request, data: dict[str, Any], market: str) -> Draft:
    """Check launch data for one market. Raises Ec2Error as RunInstances would."""
    context, region = request.context, request.region
    supported.check_launch(data)
    image, parameter = _image(request, data)
    kind = types.named(data.get("InstanceType", "m1.small"))
    if kind.architecture != image.architecture:
        text = (
            f"The architecture '{kind.architecture}' of the specified instance type does not match "
            f"the architecture '{image.architecture}' of the specified AMI. Specify an instance type and an AMI that "
            "have matching architectures, and try again."
        )
        raise Ec2Error("InvalidParameterValue", text)
    card = supported.card(data)
    subnet = _subnet(context, region, data, card)
    supported.check_spot(data, market)
    spot = (data.get("InstanceMarketOptions") or {}).get("SpotOptions") or {}
    supported.check_ceiling(spot.get("MaxPrice"), "SpotOptions.MaxPrice", kind, subnet.zone)
    groups = context.network.groups(
        region,
        [*data.get("SecurityGroupIds", ()), *card.get("Groups", ())],
        data.get("SecurityGroups", ()),
        subnet.vpc,
    )
    if data.get("KeyName"):
        # No action here makes key pairs, so there is none.
        raise Ec2Error("InvalidKeyPair.NotFound", f"The key pair '{data['KeyName']}' does not exist")
    tags = tags_of(data.get("TagSpecifications"))
    metadata = metadata_options(data.get("MetadataOptions") or {}, tags.get("instance", {}))
    return Draft(
        image=image,
        kind=kind,
        subnet=subnet,
        groups=groups,
        market=market,
        shutdown=_shutdown(data, market),
        user_data=_user_data(data),
        profile=_profile(request.caller, data),
        metadata=metadata,
        volume=root_volume(image, data),
        tags=tags,
        data=data,
        image_parameter=parameter,
        private_address=own_address(subnet, data.get("PrivateIpAddress") or card.get("PrivateIpAddress") or ""),
    )


def market_of(data: dict[str, Any]) -> str:
    """The market that RunInstances' or a template's InstanceMarketOptions ask for."""
    options = data.get("InstanceMarketOptions") or {}
    said = options.get("MarketType", ON_DEMAND)
    if said not in (SPOT, ON_DEMAND):
        raise not_supported(f"The market type {said}")
    return str(said)


def _image(request: Request, data: dict[str, Any]) -> tuple[images.Image, str]:
    said = data.get("ImageId", "")
    if not said:
        raise missing("ImageId")
    parameter = ""
    if said.startswith("resolve:ssm:"):
        parameter = said.removeprefix("resolve:ssm:")
        said = _parameter(request, parameter)
    if not re.fullmatch(r"ami-[0-9a-f]{8}(?:[0-9a-f]{9})?", said):
        raise Ec2Error("InvalidAMIID.Malformed", f'Invalid id: "{said}"')
    image = images.by_id(request.region, said)
    if image is None:
        raise Ec2Error("InvalidAMIID.NotFound", f"The image id '[{said}]' does not exist")
    return image, parameter


def _parameter(request: Request, name: str) -> str:
    """The value of an SSM parameter, a public one or one of the account, read as the caller."""
    plain = name.split(":")[0]
    region, account = request.region, request.caller.account
    public = images.parameters(region)
    owner = "" if plain.startswith("/aws/service/") else account
    request.caller.require(
        "ssm:GetParameters", [Resource(f"arn:aws:ssm:{region}:{owner}:parameter/{plain.lstrip('/')}")]
    )
    if plain in public:
        return public[plain]
    with importlib.import_module("ministack.core.responses").request_scope(account, region):
        kept = seams.module("ssm")._parameters.get(plain)
    if not kept:
        raise Ec2Error("InvalidParameterValue", f"The SSM parameter {name} does not exist")
    return str(kept["Value"])


def _subnet(context: Context, region: str, data: dict[str, Any], card: dict[str, Any]) -> Subnet:
    placement = data.get("Placement") or {}
    zone = placement.get("AvailabilityZone", "")
    if placement.get("AvailabilityZoneId"):
        names = {identifier: name for name, identifier in context.network.zones(region)}
        zone = names.get(placement["AvailabilityZoneId"], placement["AvailabilityZoneId"])
    identifier = data.get("SubnetId") or card.get("SubnetId")
    if not identifier:
        return context.network.default_subnet(region, zone)
    subnet = context.network.subnet(region, identifier)
    if zone and zone != subnet.zone:
        raise Ec2Error("InvalidParameterValue", f"The subnet {identifier} is not in the availability zone {zone}")
    return subnet


def _shutdown(data: dict[str, Any], market: str) -> str:
    said = data.get("InstanceInitiatedShutdownBehavior")
    if said not in (None, "stop", "terminate"):
        raise invalid(said, "instanceInitiatedShutdownBehavior")
    if market == SPOT:
        if said == "stop":
            text = "You can't specify the stop shutdown behavior for a one-time Spot Instance request."
            raise Ec2Error("InvalidParameterCombination", text)
        return "terminate"
    return said or "stop"


def _user_data(data: dict[str, Any]) -> bytes:
    try:
        found = base64.b64decode(data.get("UserData") or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise Ec2Error("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from error
    if len(found) > _USER_DATA_LIMIT:
        raise Ec2Error("InvalidParameterValue", "User data is limited to 16384 bytes")
    return found


def _profile(caller: Caller, data: dict[str, Any]) -> Profile | None:
    said = data.get("IamInstanceProfile") or {}
    name, arn = said.get("Name", ""), said.get("Arn", "")
    if not name and not arn:
        return None
    iam = seams.module("iam")
    with importlib.import_module("ministack.core.responses").request_scope(caller.account, caller.region):
        found = iam._lookup_instance_profile(name=name, arn=arn)
        role_name = next(iter(found.get("Roles") or ()), "") if found else ""
        role = iam._roles.get(role_name) if role_name else None
    if found is None:
        part, value = ("name", name) if name else ("arn", arn)
        raise invalid(value, f"iamInstanceProfile.{part}", f"Invalid IAM Instance Profile {part}")
    role_arn = role["Arn"] if role else ""
    return Profile(found["InstanceProfileName"], found["Arn"], found["InstanceProfileId"], role_name, role_arn)


def metadata_options(said: dict[str, Any], tags: dict[str, str]) -> dict[str, Any]:
    """The metadata options of an instance with these tags, the defaults filled in. Raises Ec2Error."""
    found = {
        "HttpTokens": said.get("HttpTokens", "required"),
        "HttpEndpoint": said.get("HttpEndpoint", "enabled"),
        "HttpPutResponseHopLimit": said.get("HttpPutResponseHopLimit", 2),
        "HttpProtocolIpv6": said.get("HttpProtocolIpv6", "disabled"),
        "InstanceMetadataTags": said.get("InstanceMetadataTags", "disabled"),
    }
    allowed = {"HttpTokens": ("optional", "required")} | dict.fromkeys(
        ("HttpEndpoint", "HttpProtocolIpv6", "InstanceMetadataTags"), ("enabled", "disabled")
    )
    for name, values in allowed.items():
        if found[name] not in values:
            raise invalid(found[name], name)
    if not 1 <= found["HttpPutResponseHopLimit"] <= 64:
        raise invalid(found["HttpPutResponseHopLimit"], "HttpPutResponseHopLimit")
    if found["InstanceMetadataTags"] == "enabled":
        for key in tags:
            check_metadata_key(key)
    return found


def check_metadata_key(key: str) -> None:
    """Raise Ec2Error for a tag key that cannot be a path of instance metadata."""
    if not _METADATA_KEY.match(key) or key in (".", "..", "_index"):
        text = (
            f"'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,256}}), "
            "and must not be a reserved name ('.', '..', '_index')"
        )
        raise Ec2Error("InvalidParameterValue", text)
