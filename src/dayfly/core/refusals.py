"""What EC2's error codes mean when it launched no server: a refusal with its reason, no decision yet, or pools to ask for again. Pure.

An error that says "in progress" or "not visible yet" is no refusal: the request is sent again, until `launch_until`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dayfly.core.reasons import EndReason
from dayfly.core.records import FleetError

_IN_PROGRESS = {"IdempotentCallInProgress"}
"""Another process sent the same request, and EC2 has not answered it yet. It may launch a server."""
NOT_VISIBLE_YET = {
    "InvalidLaunchTemplateId.NotFound",
    "InvalidLaunchTemplateId.VersionNotFound",
    "InvalidLaunchTemplateName.NotFoundException",
    "InvalidGroup.NotFound",
    "InvalidSecurityGroupID.NotFound",
}
"""What a deploy has just created can be invisible for a while."""
_YOUNG_PROFILE = "iaminstanceprofile"
"""EC2 calls an instance profile that it does not see yet a wrong parameter; only the message names it."""

_BY_REASON = {
    EndReason.IMAGE_GONE: ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed"),
    EndReason.NO_RIGHTS: (
        "UnauthorizedOperation",
        "AccessDenied",
        "AccessDeniedException",
        "SsmAccessDenied",  # of the parameter that names the image
        "AuthFailure",
        "OptInRequired",
        "Blocked",
        "PendingVerification",
        "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
    ),
    EndReason.FREE_PLAN: (),  # EC2 has no code of its own for it
    EndReason.QUOTA: (
        "MaxSpotInstanceCountExceeded",
        "VcpuLimitExceeded",
        "InstanceLimitExceeded",
        "MaxSpotFleetRequestCountExceeded",
        "MaxFleetCountExceeded",
    ),
    EndReason.NO_CAPACITY: (
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientReservedInstanceCapacity",
        "ReservationCapacityExceeded",
        "UnfulfillableCapacity",
        "InsufficientFreeAddressesInSubnet",
        "SpotMaxPriceTooLow",
        "Unsupported",
    ),
    EndReason.NOT_OFFERED: ("InvalidFleetConfiguration", "InvalidInstanceType"),
}
"""Checked in this order. The first reason that applies is the one whose remedy is surest."""
_BY_CODE = {code: reason for reason, codes in _BY_REASON.items() for code in codes}
_OF_POOLS = {EndReason.NO_CAPACITY, EndReason.NOT_OFFERED, EndReason.QUOTA}
"""Reasons whose messages differ between pools only in the names of type and zone."""
_MOST_POOLS = 6
UNTRIED = "UnfulfillableCapacity"
"""What EC2 says of a pool that it did not try: an instant fleet tries about three."""


def in_progress(errors: Iterable[FleetError]) -> bool:
    """Return whether EC2 has not answered an earlier call with the same token: only that token may be sent again."""
    return any(error.code in _IN_PROGRESS for error in errors)


def undecided(errors: Iterable[FleetError]) -> tuple[FleetError, ...]:
    """Return the errors that are no refusal. With one of them the request may still get a server, now or when it is repeated."""
    return tuple(error for error in errors if _is_undecided(error))


def is_final(error: FleetError) -> bool:
    """Return whether an error is a refusal."""
    return not _is_undecided(error)


def _is_undecided(error: FleetError) -> bool:
    if error.code == "InvalidParameterValue":
        return _YOUNG_PROFILE in error.message.lower()
    return error.code in _IN_PROGRESS or error.code in NOT_VISIBLE_YET


def to_ask_again(
    overrides: Iterable[Mapping[str, Any]], errors: tuple[FleetError, ...]
) -> tuple[Mapping[str, Any], ...]:
    """Return the pools of a refused request that another request may get a server from; empty if there are none.

    EC2 made a fleet for the refused request, so its token brings no server any more. It tried some of the pools and had no capacity
    there; it did not try the others, whether it says so or says nothing.
    """
    if not all(error.type and error.subnet for error in errors):
        return ()
    tried = {(error.type, error.subnet): error for error in errors if error.code != UNTRIED}
    if not all(_is_undecided(error) or _reason_of(error) in _OF_POOLS for error in tried.values()):
        return ()
    final = {pool for pool, error in tried.items() if not _is_undecided(error)}
    left = tuple(one for one in overrides if (one.get("InstanceType"), one.get("SubnetId")) not in final)
    if not tried or not left:
        return ()
    return left


def reason(errors: Iterable[FleetError]) -> EndReason:
    """Return the reason for a definite refusal with these errors."""
    found = {_reason_of(error) for error in errors}
    for known in _BY_REASON:
        if known in found:
            return known
    return EndReason.UNKNOWN


def _reason_of(error: FleetError) -> EndReason:
    if error.code == "InvalidParameterCombination" and "free tier" in error.message.lower():
        return EndReason.FREE_PLAN
    return _BY_CODE.get(error.code, EndReason.UNKNOWN)


def lines(errors: Iterable[FleetError]) -> tuple[str, ...]:
    """Return what EC2 said without repeats: `c8g.large eu-west-1a, c7g.large eu-west-1a: CODE: message`."""
    said: dict[tuple[str, str], list[FleetError]] = {}
    for error in errors:
        message = error.message
        if _reason_of(error) in _OF_POOLS:
            message = ""
        said.setdefault((error.code, message), []).append(error)
    return tuple(_line(code, same) for (code, _), same in said.items())


def _line(code: str, errors: list[FleetError]) -> str:
    """Return one line for errors with this code, with the message of the first."""
    pools = list(dict.fromkeys(error.pool for error in errors if error.pool))
    shown = ", ".join(pools[:_MOST_POOLS])
    if len(pools) > _MOST_POOLS:
        shown += f" and {len(pools) - _MOST_POOLS} more"
    return ": ".join(part for part in (shown, code, errors[0].message) if part)


def text(errors: Iterable[FleetError]) -> str:
    """Return what EC2 said as one text."""
    return "; ".join(lines(errors))
