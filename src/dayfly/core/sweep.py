"""Which servers must end: each server of the project is judged alone. Pure. The sweeper, `ps` and `doctor` use the same decisions.

A server without the project's tag is not listed; cloud/fleet.py checks the tag again before it terminates, and so does IAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from dayfly.core.facts import BadTags, NotStored, Server
from dayfly.core.records import Elected, Election, Intent, NoServer

WITHOUT_INTENT = timedelta(minutes=15)
"""Grace period for a server that has no intent record: longer than any launch takes."""


@dataclass(frozen=True)
class Decision:
    """What to do with a server, and why."""

    action: Literal["end", "leave"]
    reason: str


def by_tags(server: Server, now: datetime) -> Decision:
    """The decision from the server's tags and state; needs nothing but EC2."""
    if server.gone or server.state == "shutting-down":
        return Decision("leave", f"it is {server.state}")
    if server.deadline is None:
        return Decision("end", "its deadline tag is missing or bad")
    if now >= server.deadline:
        return Decision("end", "past its deadline")
    if server.state in ("stopped", "stopping"):
        return Decision("end", f"it is {server.state}; only a running server is of use")
    if isinstance(server.tagged, BadTags):
        return Decision("end", "its run or attempt tag is missing or bad")
    return Decision("leave", "within its deadline")


def by_records(server: Server, intent: Intent | NotStored, election: Election | NotStored, now: datetime) -> Decision:
    """The decision from the run's records, for a server whose tags are in order."""
    match election:
        case Elected(server=elected) if elected != server.id:
            return Decision("end", f"surplus: {elected} was elected for this attempt")
        case NoServer():
            return Decision("end", "surplus: no server was elected for this attempt")
    if isinstance(intent, NotStored) and now - server.launched > WITHOUT_INTENT:
        return Decision("end", "its run has no intent for this attempt")
    if isinstance(election, NotStored):
        return Decision("leave", "its election is open")
    return Decision("leave", "elected")
