"""What the run does about its records that cannot be read: what is taken instead, and how a run ends that cannot go on. Pure.

docs/records.md has the table for all kinds of objects. A run without a readable claim, intent, election, version or closing record
is broken: nothing more is launched or sent, its servers end as always, and then it closes as failed, unknown.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dayfly.core import names
from dayfly.core.facts import NOT_STORED, Server, Unreadable
from dayfly.core.reasons import EndReason, Outcome
from dayfly.core.records import Closed, EndOrder, FleetError, Intent, SpotRefused

UNKNOWN = "unknown"


def intent(run: names.RunName, number: int, servers: tuple[Server, ...]) -> Intent:
    """Return what the tags of an attempt's servers say about its launch. Where they say nothing it has no time and no request."""
    deadlines = [server.deadline for server in servers if server.deadline]
    roles = [server.tags.get(names.TAG_ROLE, "") for server in servers]
    return Intent(
        attempt=number,
        version="",
        at=run.tick,
        launch=min((server.launched for server in servers), default=run.tick),
        launch_until=run.tick,
        deadline=max(deadlines, default=run.tick),
        time_limit_s=0,
        margin_s=0,
        markets=(),
        requests={},
        role_id=next(iter(roles), ""),
    )


def instead(kind: type[Any], found: Unreadable, now: datetime) -> Any:
    """Return what is taken instead of a record of this kind: what the mere existence of the object says."""
    text = str(found)
    if kind is SpotRefused:
        return SpotRefused(at=now, errors=(FleetError(code="Unreadable", message=text),))
    if kind is EndOrder:
        return EndOrder(at=now, by=UNKNOWN, why=text, server="")
    if kind is Closed:
        return closed(text, now)
    return NOT_STORED


def closed(detail: str, now: datetime, by: str = UNKNOWN, *, server: str = "", gone: bool = False) -> Closed:
    """Return the end of an attempt that cannot be known. `gone`: EC2 shows its server as terminated."""
    return Closed(
        at=now,
        by=by,
        outcome=Outcome.FAILED,
        reason=EndReason.UNKNOWN,
        detail=detail,
        server=server or None,
        gone=None,
        ended_by=UNKNOWN,
        terminated=gone,
    )
