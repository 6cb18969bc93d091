"""What a launch does not see yet: a template, version, security group or instance profile that was made just now.

On AWS such a thing may be unknown to EC2 for some seconds after the call that made it was answered; the condition
`visible_after` says for how long. What Describe actions show does not depend on it.
"""

import datetime

from localcloud.ec2.context import Context, Request
from localcloud.ec2.errors import Ec2Error

# Times of creation are kept in whole seconds.
_ROUNDING = 1.0


def is_visible(request: Request, made: str) -> bool:
    """Whether a launch sees something that was made at that time (ISO 8601)."""
    age = request.context.clock.now() - datetime.datetime.fromisoformat(made)
    return _is_old(request, age.total_seconds() - _ROUNDING)


def note_groups(context: Context, region: str) -> None:
    """Remember since when EC2 knows each security group, because MiniStack's records do not say when they were made."""
    now = context.clock.now().timestamp()
    for record in context.network.records(region, "security_groups"):
        context.groups_known.setdefault((region, record["GroupId"]), now)


def check_groups(request: Request, groups: dict[str, str]) -> None:
    """Raise Ec2Error (InvalidGroup.NotFound) for a security group (id -> name) that a launch does not see yet."""
    now = request.context.clock.now().timestamp()
    for group, name in groups.items():
        known = request.context.groups_known.get((request.region, group), now)
        # The default group is as old as its VPC.
        if name != "default" and not _is_old(request, now - known):
            raise Ec2Error("InvalidGroup.NotFound", f"The security group '{group}' does not exist")


def _is_old(request: Request, age: float) -> bool:
    seconds = request.context.conditions.now.visible_after
    return not seconds or age >= seconds
