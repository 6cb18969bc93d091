"""What EC2's answers mean for the election of an attempt: a server, no server, or spot refused. Pure."""

from __future__ import annotations

from datetime import datetime

from dayfly.core.facts import Server
from dayfly.core.records import Cause, Elected, EndReason, FleetError, NoServer, SpotRefused
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
"""By how much their remedy helps, best first."""


def elect(server: Server, now: datetime) -> Elected:
    """The record that elects a server. What EC2 does not say is None, never an empty text."""
    return Elected(
        at=now,
        server=server.id,
        launched=server.launched,
        type=server.type or None,
        zone=server.zone or None,
        market=server.market or None,
        image=server.image or None,
    )


def elect_none(cause: Cause, errors: tuple[FleetError, ...], now: datetime) -> NoServer:
    """The record that an attempt has no server."""
    match cause:
        case Cause.CANCELLED:
            reason, detail = EndReason.CANCELLED, "cancelled before it had a server"
        case Cause.UNANSWERED:
            reason, detail = EndReason.UNKNOWN, "EC2 gave no clear answer within 5 minutes; it is not asked again"
        case Cause.REFUSED:
            reason, detail = refused_because(errors), errors_text(errors)
    return NoServer(at=now, cause=cause, reason=reason, detail=detail, errors=errors)


def after_refusal(asked: AskEc2, errors: tuple[FleetError, ...], now: datetime) -> SpotRefused | NoServer:
    """What a definite refusal writes: the next market may be asked, or the attempt has no server.

    The last market that was asked gives the reason; the detail names the errors of both.
    """
    if asked.market != asked.intent.markets[-1]:
        return SpotRefused(at=now, errors=errors)
    every = (*asked.spot_errors, *errors)
    return NoServer(
        at=now, cause=Cause.REFUSED, reason=refused_because(errors), detail=errors_text(every), errors=every
    )


def refused_because(errors: tuple[FleetError, ...]) -> EndReason:
    """The reason for a definite refusal whose remedy helps most."""
    codes = {error.code for error in errors}
    for known, reason in _REASONS:
        if codes & known:
            return reason
    return EndReason.UNKNOWN


def errors_text(errors: tuple[FleetError, ...]) -> str:
    """`c8g.large eu-west-1a: InsufficientInstanceCapacity; ...`, each once."""
    return "; ".join(dict.fromkeys(f"{error.pool}: {error.code}".removeprefix(": ") for error in errors))
