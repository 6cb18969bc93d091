"""IAM for EC2 requests: judges each action on the resources that it names, with the condition keys of AWS.

MiniStack judges an EC2 request once, on a resource guessed from its parameters; for the actions that are ours that
judgement is replaced by these. What the policies say is evaluated by MiniStack.
"""

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from localcloud.ec2.errors import Ec2Error

Keys = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A resource on which an action is judged: its ARN and its condition keys (any case)."""

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
            keys = {key.lower(): value for key, value in resource.keys.items()} | {"ec2:region": self.region}
            service = action.split(":", 1)[0]
            denied = _enforce()(
                self._access_key, action, service, self.region, resource_arn=resource.arn, service_context=keys
            )
            if denied is not None:
                raise _refusal(denied, action, resource.arn)

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


def install(ours: frozenset[str]) -> None:
    """Let MiniStack's own check only authenticate requests for the actions in `ours`, and say ec2:RegionRecords for the rest."""
    evaluator = importlib.import_module("ministack.core.iam_evaluator")
    asked = evaluator.enforce

    def enforce(
        access_key: str,
        action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: dict[str, Any] | None = None,
    ) -> Any:
        if service == "ec2" and not _inside.active:
            if action.split(":", 1)[-1] in ours:
                return evaluator.check_credentials(access_key, service)
            service_context = {**(service_context or {}), "ec2:region": region}
        return asked(access_key, action, service, region, resource_arn=resource_arn, service_context=service_context)

    evaluator.__dict__["enforce"] = enforce


class _Inside:
    """Whether the question comes from our own judgement; all of it happens on the event loop's thread, without a pause."""

    active = False


_inside = _Inside()


def _enforce() -> Callable[..., Any]:
    evaluator = importlib.import_module("ministack.core.iam_evaluator")

    def ask(*arguments: Any, **named: Any) -> Any:
        _inside.active = True
        try:
            return evaluator.enforce(*arguments, **named)
        finally:
            _inside.active = False

    return ask


def _refusal(denied: Any, action: str, arn: str) -> Ec2Error:
    if isinstance(denied, importlib.import_module("ministack.core.iam_evaluator").AuthError):
        return Ec2Error("AuthFailure", denied.message, 401)
    explicit = getattr(denied, "decision", "") == "Deny"
    why = "with an explicit deny" if explicit else f"because no identity-based policy allows the {action} action"
    who = getattr(denied, "principal_arn", "") or "the caller"
    return Ec2Error(
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. "
        f"User: {who} is not authorized to perform: {action} on resource: {arn} {why}",
        403,
    )
