"""What EC2's answers mean for an attempt's election. Pure.

An attempt can get more than one server, when answers are lost. It elects one; only the elected server may run the job.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dayfly.core import refusals, request
from dayfly.core.facts import Attempt, Server
from dayfly.core.reasons import Cause, EndReason
from dayfly.core.records import Elected, FleetError, Intent, NextAsk, NoServer, SpotRefused
from dayfly.core.step import AskEc2

SPOT = "spot"
MOST_ASKS = 40
"""An attempt sends at most this many requests after its first ones. They reach 120 pools when EC2 tries three at a time."""


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


def after_refusal(asked: AskEc2, errors: tuple[FleetError, ...], now: datetime) -> NextAsk | SpotRefused | NoServer:
    """Return the record to write when EC2 launched nothing: the next request of this market, spot refused, or no server.

    Every pool of a market is asked before the next market is. The last market gives the reason; the detail names the errors of both.
    """
    if refusals.undecided(errors) and not any(error.type for error in errors):
        # EC2 made no fleet, so the same token may get a server.
        return _next_ask(asked, errors, asked.request, now)
    left = refusals.to_ask_again(request.overrides(asked.request), errors)
    if left and len(asked.asks) < MOST_ASKS:
        tried = tuple(error for error in errors if error.code != refusals.UNTRIED)
        return _next_ask(asked, tried, request.next_request(asked.request, left), now)
    in_market = (*said_in(asked.market, asked.asks), *errors)
    if asked.market != asked.intent.markets[-1]:
        return SpotRefused(at=now, errors=in_market)
    all_errors = (*asked.spot_errors, *in_market)
    return NoServer(
        at=now,
        cause=Cause.REFUSED,
        reason=refusals.reason(in_market),
        detail=refusals.text(all_errors),
        errors=all_errors,
    )


def is_repeated(asked: AskEc2, errors: tuple[FleetError, ...]) -> bool:
    """Return whether EC2 said the same to the request before, and the same token was sent again."""
    same = [ask for ask in asked.asks[-1:] if ask.request == asked.request and ask.errors == errors]
    return bool(same) and not any(error.type for error in errors)


def _next_ask(asked: AskEc2, errors: tuple[FleetError, ...], fleet: Mapping[str, Any], now: datetime) -> NextAsk:
    return NextAsk(at=now, number=len(asked.asks) + 2, market=asked.market, request=fleet, errors=errors)


def said_in(market: str, asks: Iterable[NextAsk]) -> tuple[FleetError, ...]:
    """Return the refusals in this market that were followed by another request."""
    return tuple(error for ask in asks if ask.market == market for error in ask.errors if refusals.is_final(error))


def heard(attempt: Attempt) -> tuple[FleetError, ...]:
    """Return all that EC2 has said in an attempt without a server: refusals, and at last what it does not see yet."""
    asks = attempt.asks
    if attempt.spot_errors:
        asks = tuple(ask for ask in asks if ask.market != SPOT)
    refused = [error for ask in asks for error in ask.errors if refusals.is_final(error)]
    last = [error for ask in asks[-1:] for error in refusals.undecided(ask.errors)]
    return (*attempt.spot_errors, *refused, *last)
