"""What EC2's answers mean for an attempt's election. Pure.

An attempt can get more than one server, when answers are lost. It elects one; only the elected server may run the job.
"""

from __future__ import annotations

from datetime import datetime

from dayfly.core import refusals
from dayfly.core.facts import Server
from dayfly.core.reasons import Cause, EndReason
from dayfly.core.records import Elected, FleetError, Intent, NoServer, SpotRefused
from dayfly.core.step import AskEc2


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
            reason, detail = refusals.reason(errors), refusals.text(errors)
    return NoServer(at=now, cause=cause, reason=reason, detail=detail, errors=errors)


def after_refusal(asked: AskEc2, errors: tuple[FleetError, ...], now: datetime) -> SpotRefused | NoServer:
    """Return the record to write after a definite refusal: spot refused, or no server if this was the last market.

    The last market gives the reason; the detail names the errors of both markets.
    """
    if asked.market != asked.intent.markets[-1]:
        return SpotRefused(at=now, errors=errors)
    all_errors = (*asked.spot_errors, *errors)
    return NoServer(
        at=now, cause=Cause.REFUSED, reason=refusals.reason(errors), detail=refusals.text(all_errors), errors=all_errors
    )
