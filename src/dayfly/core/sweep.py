"""Which servers must go: each server of this project, judged alone. Pure; the sweeper, `ps` and `doctor` see the same decisions.

A server without this project's tag never gets here, and is refused again at the hand that ends (cloud/interpreter.py) and by IAM.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from dayfly.core.facts import Server
from dayfly.core.records import Elected, Intent

WITHOUT_INTENT = timedelta(minutes=15)
"""So long may a server live whose intent is not there: longer than any launch is under way, shorter than any job worth a server."""


@dataclass(frozen=True)
class Decision:
    """What to do with a server, and why."""

    action: Literal["end", "leave"]
    reason: str


def by_tags(server: Server, now: datetime) -> Decision:
    """What the server's own tags and state say; needs nothing but EC2."""
    if server.gone or server.state == "shutting-down":
        return Decision("leave", f"it is {server.state}")
    if server.deadline is None:
        return Decision("end", "its deadline tag is missing or bad")
    if now >= server.deadline:
        return Decision("end", "past its deadline")
    if server.state in ("stopped", "stopping"):
        return Decision("end", f"it is {server.state}; only running servers are of use")
    if not server.run or server.attempt is None:
        return Decision("end", "its run or attempt tag is missing or bad")
    return Decision("leave", "within its deadline")


def by_records(server: Server, intent: Intent | None, elected: Elected | None, now: datetime) -> Decision:
    """What the run's records say of a server that its tags let live."""
    if elected is not None and elected.server != server.id:
        return Decision("end", f"surplus: {elected.server or 'no server'} was elected for this attempt")
    if intent is None and now - server.launched > WITHOUT_INTENT:
        return Decision("end", "nobody intended it: its run has no intent for this attempt")
    return Decision("leave", "elected" if elected else "its election is open")
