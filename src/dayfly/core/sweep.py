"""Which servers must end, decided for each server separately. Pure. The sweeper, `ps` and `doctor` use the same decisions.

Servers without the project's tag are not listed. cloud/fleet.py checks the tag again before it terminates one, and so does IAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from dayfly.core.facts import BadRunTags, NotStored, Server, Unreadable
from dayfly.core.intervals import NORMAL, Intervals
from dayfly.core.records import Elected, Election, Intent, NoServer
from dayfly.core.standing import must_arm

LATEST_END = timedelta(minutes=7)
"""The longest that a server lives after its deadline while one of the switch, the kill schedule and the sweeper works."""
SWEEP_OVERDUE = timedelta(minutes=15)
"""The sweeper runs every 5 minutes; after this long without a whole sweep its alarm goes off."""


@dataclass(frozen=True)
class ServerDecision:
    """What to do with a server, and why."""

    action: Literal["end", "leave"]
    reason: str


def by_tags(server: Server, now: datetime) -> ServerDecision:
    """Decide from the server's tags and state, which need no read of the bucket."""
    if server.gone or server.state == "shutting-down":
        return ServerDecision("leave", f"it is {server.state}")
    if server.deadline is None:
        return ServerDecision("end", "its deadline tag is missing or bad")
    if now >= server.deadline:
        return ServerDecision("end", "past its deadline")
    if server.state in ("stopped", "stopping"):
        return ServerDecision("end", f"it is {server.state}; only a running server can do its job")
    if isinstance(server.run_tags, BadRunTags):
        return ServerDecision("end", "its run or attempt tag is missing or bad")
    return ServerDecision("leave", "within its deadline")


def kill_at(server: Server, now: datetime, intervals: Intervals = NORMAL) -> datetime | None:
    """Return when the kill schedule of a server fires, by its deadline tag; None for a server that needs none now."""
    deadline = server.deadline
    if deadline is None or server.state == "shutting-down" or not must_arm(server, deadline, armed=False, now=now):
        return None
    return deadline + intervals.kill_after


def by_records(
    server: Server,
    intent: Intent | NotStored | Unreadable,
    election: Election | NotStored | Unreadable,
    now: datetime,
    intervals: Intervals = NORMAL,
) -> ServerDecision:
    """Decide from the run's records, for a server whose tags are valid."""
    match election:
        case Elected(server=elected) if elected != server.id:
            return ServerDecision("end", f"surplus: {elected} was elected for this attempt")
        case NoServer():
            return ServerDecision("end", "surplus: no server was elected for this attempt")
    if isinstance(intent, NotStored) and now - server.launched > intervals.without_intent:
        return ServerDecision("end", "its run has no intent for this attempt")
    if isinstance(election, NotStored):
        return ServerDecision("leave", "its election is open")
    for record in (intent, election):
        if isinstance(record, Unreadable):
            return ServerDecision("leave", str(record))
    return ServerDecision("leave", "elected")
