"""Where an elected server stands that EC2 shows: the state of its run, and why. Pure.

A short visit to a run (flows/visit.py) and the whole walk (core/advance.py) both use this rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from dayfly.core.facts import Attempt, Facts, NotStored, Server
from dayfly.core.intervals import Intervals
from dayfly.core.records import Cancel, Started
from dayfly.core.states import State


class Cancelling(StrEnum):
    """What a person's cancel asks for now. A job that has started may end by itself for a while; else its server is ended."""

    NONE = "not cancelled"
    TELL = "the server is to be told"
    AWAIT = "the server was told"
    END = "the server is to be ended"


def cancelling(facts: Facts, attempt: Attempt, now: datetime, intervals: Intervals) -> Cancelling:
    """Return what the cancel of this attempt asks for now."""
    match facts.cancel, attempt.started:
        case NotStored(), _:
            return Cancelling.NONE
        case Cancel(at=at), Started() if now - at >= intervals.after_cancel:
            return Cancelling.END
        case Cancel(), Started() if attempt.cancel_sent:
            return Cancelling.AWAIT
        case Cancel(), Started():
            return Cancelling.TELL
    return Cancelling.END


@dataclass(frozen=True)
class Standing:
    """The state of a run on its elected server, with the reason."""

    state: State
    reason: str


def standing(
    server: Server, deadline: datetime, *, armed: bool, sent: bool, cancel: Cancelling, now: datetime
) -> Standing:
    """Return where the server stands. `armed`: it has a kill schedule. `sent`: its go.json is written. `cancel`: by a person."""
    if server.gone:
        return Standing(State.SERVER_GONE, f"{server.id} is terminated")
    if server.state == "shutting-down":
        return Standing(State.RUNNING, f"{server.id} is shutting down")
    if not server.project:
        return Standing(
            State.RUNNING, f"{server.id} lost its project tag: dayfly may not end it, and waits for its end"
        )
    if cancel == Cancelling.END:
        return Standing(State.MUST_END, "cancelled")
    if now >= deadline:
        return Standing(State.MUST_END, "past its deadline")
    if server.state in ("stopped", "stopping"):
        return Standing(State.MUST_END, f"it is {server.state}")
    if must_arm(server, deadline, armed=armed, now=now):
        return Standing(State.NEEDS_KILL_SCHEDULE, "its kill schedule is missing")
    if not sent:
        return Standing(State.NEEDS_JOB, f"{server.id} is elected and armed")
    if cancel == Cancelling.TELL:
        return Standing(State.NEEDS_CANCEL, "cancelled, and its command has started")
    if cancel == Cancelling.AWAIT:
        return Standing(State.RUNNING, f"{server.id} was told that its command is to end, and to store what it wrote")
    return Standing(State.RUNNING, f"{server.id} is {server.state}")


def must_arm(server: Server, deadline: datetime, *, armed: bool, now: datetime) -> bool:
    """Return whether a server needs its kill schedule now.

    Scheduler refuses a one-shot schedule in the past; the sweeper ends a server past its deadline at once.
    """
    return not armed and not server.gone and now < deadline
