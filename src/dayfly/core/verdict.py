"""The end of an attempt, judged from what is known: its outcome, one reason, and what ended the server.

True or unknown, never hopeful: `succeeded` needs the agent's word, exit 0 and every declared output stored.
"""

from __future__ import annotations

from datetime import datetime

from dayfly.core.facts import Attempt, Server
from dayfly.core.records import Cancel, Closed, FleetError

SWITCH_LINE = "dayfly switch: powering off:"

_QUOTA = {
    "MaxSpotInstanceCountExceeded",
    "VcpuLimitExceeded",
    "InstanceLimitExceeded",
    "MaxSpotFleetRequestCountExceeded",
}
_RIGHTS = {"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure", "OptInRequired", "Blocked",
           "PendingVerification", "AuthFailure.ServiceLinkedRoleCreationNotPermitted"}  # fmt: skip
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


def refused_because(errors: tuple[FleetError, ...]) -> str:
    """One reason for a definite refusal, the one whose remedy helps most: image, rights, quota, capacity; else unknown."""
    codes = {error.code for error in errors}
    if codes & _IMAGE:
        return "image-gone"
    if codes & _RIGHTS:
        return "no-rights"
    if codes & _QUOTA:
        return "quota"
    return "no-capacity" if codes & _CAPACITY else "unknown"


def errors_text(errors: tuple[FleetError, ...]) -> str:
    """`c8g.large eu-west-1a: InsufficientInstanceCapacity; ...`, each once."""
    texts = [f"{error.pool}: {error.code}" if error.pool else error.code for error in errors]
    return "; ".join(dict.fromkeys(texts))


def close(attempt: Attempt, cancel: Cancel | None, console: tuple[str, ...], now: datetime, by: str) -> Closed:
    """The closing record of an attempt whose server is gone or was never there."""
    server = attempt.server
    outcome, reason, detail = _outcome(attempt, cancel, console)
    return Closed(
        at=now,
        by=by,
        outcome=outcome,
        reason=reason,
        detail=detail,
        server=attempt.elected.server if attempt.elected else None,
        gone=server.changed if server and server.gone else None,
        ended_by=_ended_by(attempt, cancel, console),
        exit=attempt.ended.exit if attempt.ended else None,
        console=console,
    )


def _outcome(attempt: Attempt, cancel: Cancel | None, console: tuple[str, ...]) -> tuple[str, str, str]:
    elected, ended = attempt.elected, attempt.ended
    assert elected is not None
    if elected.server is None:
        if elected.reason == "cancelled":
            return "cancelled", "cancelled", "before a server was there"
        return "failed", elected.reason, elected.detail
    if ended is not None:
        whole = ended.exit == 0 and not ended.missing
        if ended.outcome == "succeeded" and not whole:
            return "failed", "not-saved", "the agent's own word does not hold: exit or outputs"
        if ended.outcome == "failed" and cancel is not None and ended.signal:
            return "cancelled", "cancelled", ended.detail
        return ended.outcome, ended.reason, ended.detail
    if cancel is not None:
        return "cancelled", "cancelled", "its server was ended; the log so far is kept"
    return _without_last_word(attempt, console)


def _without_last_word(attempt: Attempt, console: tuple[str, ...]) -> tuple[str, str, str]:
    server = attempt.server
    if server is None or not server.reason_code:
        return "failed", "unknown", "its server went without a last word; EC2 does not say why"
    if server.reason_code in ("Server.SpotInstanceTermination", "Server.SpotInstanceShutdown"):
        return "failed", "interrupted", "EC2 took the spot server back"
    began = "the job had started" if attempt.started else "the job had not started"
    return "failed", "lost", f"its server went without a last word ({_ended_by(attempt, None, console)}); {began}"


def _ended_by(attempt: Attempt, cancel: Cancel | None, console: tuple[str, ...]) -> str:
    server = attempt.server
    if attempt.elected is None or attempt.elected.server is None:
        return "there was no server"
    if attempt.end_order is not None:
        return f"{attempt.end_order.by}: {attempt.end_order.why}"
    if server is None:
        return "unknown: EC2 no longer shows it"
    if server.reason_code.startswith("Server.Spot"):
        return "EC2: spot capacity was taken back"
    if server.reason_code == "Client.UserInitiatedShutdown":
        return _from_outside(attempt, server, cancel)
    if server.reason_code == "Client.InstanceInitiatedShutdown":
        return _from_inside(attempt, console)
    return f"EC2: {server.reason_code}" if server.reason_code else "unknown: EC2 gives no reason"


def _from_outside(attempt: Attempt, server: Server, cancel: Cancel | None) -> str:
    if cancel is not None:
        return "cancel"
    if server.changed is not None and server.changed >= attempt.intent.deadline:
        return "kill schedule: past its deadline"
    return "someone's TerminateInstances, not by dayfly"


def _from_inside(attempt: Attempt, console: tuple[str, ...]) -> str:
    switch = next((line for line in reversed(console) if SWITCH_LINE in line), None)
    if attempt.ended is not None:
        return "agent: the job's time limit" if attempt.ended.outcome == "timed-out" else "agent: the job was over"
    if switch is not None:
        return f"switch: {switch.split(SWITCH_LINE, 1)[1].strip()}"
    return "the server itself powered off; its console does not say why"
