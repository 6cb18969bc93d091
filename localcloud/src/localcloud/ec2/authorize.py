"""IAM for EC2 requests: authorizes each action on the resources that it names, with the condition keys of AWS.

MiniStack would authorize a request once, on a resource that it guesses from the parameters. For the actions of this EC2 it
only authenticates the caller; the actions authorize the request here. Policies are evaluated in localcloud.services.iam.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from localcloud.ec2.errors import Ec2Error
from localcloud.ministack.authorization import BadCredentials, Refused
from localcloud.services.iam.authorization import authorize

Keys = dict[str, Any]
"""Condition keys by name, in any case."""


@dataclass(frozen=True)
class Resource:
    """A resource that an action needs a permission on: its ARN and its condition keys."""

    arn: str
    keys: Keys = field(default_factory=dict)


class Caller:
    """The sender of a request; asks IAM what the sender may do."""

    def __init__(self, access_key: str, region: str, account: str) -> None:
        self._access_key = access_key
        self.region = region
        self.account = account

    def arn(self, kind: str, identifier: str) -> str:
        """Return the ARN of an EC2 resource of this account; the ARNs of images and snapshots have no account."""
        account = self.account
        if kind in ("image", "snapshot"):
            account = ""
        return f"arn:aws:ec2:{self.region}:{account}:{kind}/{identifier}"

    def require(self, action: str, resources: Iterable[Resource] = (Resource("*"),)) -> None:
        """Raise Ec2Error (UnauthorizedOperation) unless `action`, such as "ec2:RunInstances", is allowed on all resources."""
        for resource in resources:
            keys = {**resource.keys, "ec2:Region": self.region}
            refused = authorize(self._access_key, action, self.region, resource.arn, keys)
            if refused is not None:
                raise _refusal(refused, action, resource.arn)

    def pass_role(self, role_arn: str) -> None:
        """Raise Ec2Error unless the caller may pass this role to EC2."""
        self.require("iam:PassRole", [Resource(role_arn, {"iam:PassedToService": "ec2.amazonaws.com"})])


def request_tags(tags: dict[str, str]) -> Keys:
    """Return the condition keys of a request with tags."""
    keys: Keys = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if tags:
        keys["aws:TagKeys"] = list(tags)
    return keys


def resource_tags(tags: dict[str, str]) -> Keys:
    """Return the condition keys of a resource with tags."""
    keys: Keys = {}
    for key, value in tags.items():
        keys[f"aws:ResourceTag/{key}"] = value
        keys[f"ec2:ResourceTag/{key}"] = value
    return keys


def _refusal(refused: Refused, action: str, arn: str) -> Ec2Error:
    if isinstance(refused, BadCredentials):
        return Ec2Error("AuthFailure", refused.message, 401)
    why = f"because no identity-based policy allows the {action} action"
    if refused.explicit:
        why = "with an explicit deny"
    return Ec2Error(
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. "
        f"User: {refused.principal or 'the caller'} is not authorized to perform: {action} on resource: {arn} {why}",
        403,
    )
