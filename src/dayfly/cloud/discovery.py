"""Answer the calls about things in the account that dayfly uses and does not create: subnets, server types, images, public
parameters, and AWS's roles.

project/deploy decides which of them are acceptable.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of
from dayfly.cloud.context import Context
from dayfly.flows import calls

_MOST_VALUES = 200
"""EC2 takes no more values in one filter."""


def subnets(context: Context, call: calls.FindSubnets) -> tuple[calls.Subnet, ...]:
    """Return these subnets, or the default ones if no id is given. Without the filter, one unknown id fails the whole request."""
    wanted = {"Name": "subnet-id", "Values": list(call.ids)}
    if not call.ids:
        wanted = {"Name": "default-for-az", "Values": ["true"]}
    pages = context.aws.client("ec2").get_paginator("describe_subnets").paginate(Filters=[wanted])
    found = [each for page in pages for each in page["Subnets"]]
    return tuple(
        calls.Subnet(id=each["SubnetId"], vpc=each["VpcId"], zone=each["AvailabilityZoneId"]) for each in found
    )


def offers(context: Context, call: calls.FindOffers) -> tuple[calls.Offer, ...]:
    """Return the zones that offer these types. With a filter EC2 leaves out a type that it does not know; there is no error."""
    found: list[calls.Offer] = []
    for start in range(0, len(call.types), _MOST_VALUES):
        wanted = {"Name": "instance-type", "Values": list(call.types[start : start + _MOST_VALUES])}
        shown = _offerings(context, LocationType="availability-zone-id", Filters=[wanted])
        found += (calls.Offer(type=each["InstanceType"], zone=each["Location"]) for each in shown)
    return tuple(found)


def types(context: Context, _call: calls.ListTypes) -> tuple[str, ...]:
    """Return all types that the region offers."""
    return tuple(each["InstanceType"] for each in _offerings(context, LocationType="region"))


def _offerings(context: Context, **request: Any) -> list[dict[str, Any]]:
    pages = context.aws.client("ec2").get_paginator("describe_instance_type_offerings").paginate(**request)
    return [each for page in pages for each in page["InstanceTypeOfferings"]]


def parameter(context: Context, call: calls.FindParameter) -> str | None:
    """Return the value of a public parameter of Systems Manager; None if it does not exist."""
    try:
        answer = context.aws.client("ssm").get_parameter(Name=call.name)
    except ClientError as error:
        if code_of(error) == "ParameterNotFound":
            return None
        raise
    return str(answer["Parameter"]["Value"])


def image(context: Context, call: calls.FindImage) -> calls.Ec2Image | None:
    """Return one image; None if its id is unknown or malformed."""
    try:
        images = context.aws.client("ec2").describe_images(ImageIds=[call.ami])["Images"]
    except ClientError as error:
        if code_of(error).startswith("InvalidAMIID"):
            return None
        raise
    return _image(images[0]) if images else None


def _image(shown: dict[str, Any]) -> calls.Ec2Image:
    return calls.Ec2Image(
        architecture=shown["Architecture"],
        root_device=shown["RootDeviceName"],
        owner=shown["OwnerId"],
        alias=shown.get("ImageOwnerAlias") or "",
        tags={tag["Key"]: tag["Value"] for tag in shown.get("Tags", [])},
    )


def has_policy(context: Context, call: calls.HasPolicy) -> bool:
    """Return whether the policy exists."""
    try:
        context.aws.client("iam").get_policy(PolicyArn=call.arn)
    except ClientError as error:
        if code_of(error) == "NoSuchEntity":
            return False
        raise
    return True


def has_linked_role(context: Context, call: calls.HasLinkedRole) -> bool:
    """Return whether the account has the service-linked role. It is found by path, because the service chooses its name."""
    roles = context.aws.client("iam").list_roles(PathPrefix=f"/aws-service-role/{call.service}/")["Roles"]
    return bool(roles)


def make_linked_role(context: Context, call: calls.CreateLinkedRole) -> None:
    """Create the service-linked role unless it exists."""
    try:
        context.aws.client("iam").create_service_linked_role(AWSServiceName=call.service)
    except ClientError as error:
        # IAM answers with either code if the role exists.
        if code_of(error) not in ("InvalidInput", "EntityAlreadyExists"):
            raise
