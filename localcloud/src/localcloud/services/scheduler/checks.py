"""What the Scheduler API refuses, and a schedule's fields with what a request leaves out filled in.

IAM has authorized the action before; that the caller may pass the target's role is checked here.
"""

import re
from collections.abc import Callable
from typing import Any

from localcloud.cloud.clock import Clock
from localcloud.services.iam import roles
from localcloud.services.scheduler.delivery import SERVICE, refused_target, trust_keys
from localcloud.services.scheduler.engine import expression_of
from localcloud.services.scheduler.expressions import At, BadExpression
from localcloud.services.scheduler.store import Fields

PassRole = Callable[[str], str | None]
"""Why the caller may not pass a role, by its ARN; None when they may."""

_NAME = r"[0-9a-zA-Z\-_.]{1,64}"
_DEFAULTS = {
    "ScheduleExpressionTimezone": "UTC",
    "State": "ENABLED",
    "ActionAfterCompletion": "NONE",
    "Description": None,
    "StartDate": None,
    "EndDate": None,
    "KmsKeyArn": None,
}
_REQUIRED = ("ScheduleExpression", "FlexibleTimeWindow", "Target")


class Refused(Exception):
    """A request that the API refuses."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def invalid(message: str) -> Refused:
    """Return a ValidationException."""
    return Refused(400, "ValidationException", message)


def missing(what: str) -> Refused:
    """Return a ResourceNotFoundException; `what` is e.g. "Schedule kill-1"."""
    return Refused(404, "ResourceNotFoundException", f"{what} does not exist.")


def conflict(what: str) -> Refused:
    """Return a ConflictException; `what` is e.g. "Schedule kill-1"."""
    return Refused(409, "ConflictException", f"{what} already exists.")


def check_name(name: str) -> None:
    """Raise Refused for what cannot be the name of a schedule or a group."""
    if not re.fullmatch(_NAME, name):
        raise invalid(f"Value '{name}' at 'name' failed to satisfy constraint: {_NAME}")


def checked(
    request: Fields, arn: str, name: str, group: str, created: float, clock: Clock, pass_role: PassRole
) -> Fields:
    """Return the fields of a schedule that a request describes. Raises Refused."""
    for field in _REQUIRED:
        if not request.get(field):
            raise invalid(f"Value null at '{field}' failed to satisfy constraint: Member must not be null")
    fields = {
        "Arn": arn,
        "Name": name,
        "GroupName": group,
        **{field: request[field] for field in _REQUIRED},
        **{field: request.get(field, default) for field, default in _DEFAULTS.items()},
        "CreationDate": created,
        "LastModificationDate": clock.now().timestamp(),
    }
    _check_time(fields, clock)
    _check_target(fields, pass_role)
    return fields


def _check_time(fields: Fields, clock: Clock) -> None:
    window = fields["FlexibleTimeWindow"]
    if window.get("Mode") != "OFF" and not window.get("MaximumWindowInMinutes"):
        raise invalid("FlexibleTimeWindow is OFF, or FLEXIBLE with MaximumWindowInMinutes.")
    if fields["State"] not in ("ENABLED", "DISABLED"):
        raise invalid(f"Value '{fields['State']}' at 'state' failed to satisfy constraint: ENABLED or DISABLED")
    try:
        expression = expression_of(fields)
    except BadExpression as bad:
        raise invalid(str(bad)) from bad
    if isinstance(expression, At) and expression.moment <= clock.now():
        raise invalid(f"Invalid Schedule Expression {fields['ScheduleExpression']}: the time is in the past.")


def _check_target(fields: Fields, pass_role: PassRole) -> None:
    target: dict[str, Any] = fields["Target"]
    role, arn = target.get("RoleArn"), target.get("Arn")
    if not arn or not role:
        raise invalid("A target has an Arn and a RoleArn.")
    if reason := refused_target(arn):
        raise invalid(reason)
    retry = target.get("RetryPolicy") or {}
    if not 60 <= int(retry.get("MaximumEventAgeInSeconds", 60)) <= 86400:
        raise invalid("MaximumEventAgeInSeconds is between 60 and 86400.")
    if not 0 <= int(retry.get("MaximumRetryAttempts", 0)) <= 185:
        raise invalid("MaximumRetryAttempts is between 0 and 185.")
    if denied := pass_role(role):
        raise Refused(403, "AccessDeniedException", denied)
    if not roles.trusts(role, SERVICE, trust_keys(fields)):
        raise invalid("The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
