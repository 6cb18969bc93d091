"""What EC2's answers mean for an attempt's election. Pure.

An attempt can get more than one server, when answers are lost. It elects one; only the elected server may run the job.
"""

from __future__ import annotations

from datetime import datetime

from dayfly.core.facts import Server
from dayfly.core.reasons import Cause, EndReason
from dayfly.core.records import Elected, FleetError, Intent, NoServer, SpotRefused
from dayfly.core.step import AskEc2

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


def elect(server: Server, intent: Intent, now: datetime) -> Elected:
    """Return the record that elects a server. What EC2 does not say is None, never an empty string."""
    return Elected(
        at=now,
        server=server.id,
        launched=server.launched,
        deadline=intent.deadline,
        type=server.type or None,
        zone=server.zone or None,
        market=server.market or None,
        image=server.image or None,
    )


def elect_none(cause: Cause, errors: tuple[FleetError, ...], now: datetime) -> NoServer:
    """Return the record that an attempt has no server."""
    match cause:
        case Cause.CANCELLED:
            reason, detail = EndReason.CANCELLED, "cancelled before it had a server"
        case Cause.UNANSWERED:
            reason, detail = EndReason.UNKNOWN, "EC2 gave no clear answer in time; it is not asked again"
        case Cause.REFUSED:
            reason, detail = refusal_reason(errors), errors_text(errors)
    return NoServer(at=now, cause=cause, reason=reason, detail=detail, errors=errors)


def after_refusal(asked: AskEc2, errors: tuple[FleetError, ...], now: datetime) -> SpotRefused | NoServer:
    """Return the record to write after a definite refusal: spot refused, or no server if this was the last market.

    The last market gives the reason; the detail names the errors of both markets.
    """
    if asked.market != asked.intent.markets[-1]:
        return SpotRefused(at=now, errors=errors)
    all_errors = (*asked.spot_errors, *errors)
    return NoServer(
        at=now, cause=Cause.REFUSED, reason=refusal_reason(errors), detail=errors_text(all_errors), errors=all_errors
    )


def refusal_reason(errors: tuple[FleetError, ...]) -> EndReason:
    """Return the reason for a definite refusal with these errors."""
    codes = {error.code for error in errors}
    for known, reason in _REASONS:
        if codes & known:
            return reason
    return EndReason.UNKNOWN


def errors_text(errors: tuple[FleetError, ...]) -> str:
    """Return the errors as text without repeats: `c8g.large eu-west-1a: InsufficientInstanceCapacity; ...`."""
    texts = [f"{error.pool}: {error.code}".removeprefix(": ") for error in errors]
    return "; ".join(dict.fromkeys(texts))
