"""What EC2's error codes mean when it launched no server: a refusal with its reason, or no decision yet. Pure.

An error that says "in progress" or "not visible yet" is no refusal: the same request is sent again, with the same token.
"""

from __future__ import annotations

from collections.abc import Iterable

from dayfly.core.reasons import EndReason
from dayfly.core.records import FleetError

_IN_PROGRESS = {"IdempotentCallInProgress"}
"""Another process sent the same request, and EC2 has not answered it yet. It may launch a server."""
_NOT_VISIBLE_YET = {
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.VersionNotFound",
    "InvalidLaunchTemplateName.NotFoundException",
    "InvalidGroup.NotFound",
    "InvalidSecurityGroupID.NotFound",
}
"""What a deploy has just created can be invisible for a while."""
_YOUNG_PROFILE = "iaminstanceprofile"
"""EC2 calls an instance profile that it does not see yet a wrong parameter; only the message names it."""

_QUOTA = {
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "MaxSpotFleetRequestCountExceeded",
}
_RIGHTS = {
    "UnauthorizedOperation",
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "OptInRequired",
    "Blocked",
    "PendingVerification",
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
}
_CAPACITY = {
    "InsufficientInstanceCapacity",
    "InsufficientHostCapacity",
    "InsufficientReservedInstanceCapacity",
    "ReservationCapacityExceeded",
    "UnfulfillableCapacity",
    "InsufficientFreeAddressesInSubnet",
    "SpotMaxPriceTooLow",
    "Unsupported",
}
_IMAGE = {"InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed"}
_REASONS = (
    (_IMAGE, EndReason.IMAGE_GONE),
    (_RIGHTS, EndReason.NO_RIGHTS),
    (_QUOTA, EndReason.QUOTA),
    (_CAPACITY, EndReason.NO_CAPACITY),
)
"""Checked in this order. The first reason that applies is the one whose remedy is surest."""


def undecided(errors: Iterable[FleetError]) -> tuple[FleetError, ...]:
    """Return the errors that are no refusal. With one of them the request may still get a server, now or when it is repeated."""
    return tuple(error for error in errors if _is_undecided(error))


def _is_undecided(error: FleetError) -> bool:
    if error.code == "InvalidParameterValue":
        return _YOUNG_PROFILE in error.message.lower()
    return error.code in _IN_PROGRESS or error.code in _NOT_VISIBLE_YET


def reason(errors: Iterable[FleetError]) -> EndReason:
    """Return the reason for a definite refusal with these errors."""
    codes = {error.code for error in errors}
    for known, found in _REASONS:
        if codes & known:
            return found
    return EndReason.UNKNOWN


def text(errors: Iterable[FleetError]) -> str:
    """Return the errors as text without repeats: `c8g.large eu-west-1a: InsufficientInstanceCapacity; ...`."""
    texts = [f"{error.pool}: {error.code}".removeprefix(": ") for error in errors]
    return "; ".join(dict.fromkeys(texts))
