"""Where an elected server stands that EC2 shows: the state of its run, and why. Pure.

A short visit to a run (flows/visit.py) and the whole walk (core/advance.py) both use this rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dayfly.core.facts import Server
from dayfly.core.states import State


@dataclass(frozen=True)
class Standing:
    """The state of a run on its elected server, with the reason."""

    state: State
    reason: str


def standing(
    server: Server, deadline: datetime, *, armed: bool, sent: bool, cancelled: bool, now: datetime
) -> Standing:
    """Return where the server stands. `armed`: it has a kill schedule. `sent`: its go.json is written. `cancelled`: by a person."""
    if server.gone:
        return Standing(State.SERVER_GONE, f"{server.id} is terminated")
    if server.state == "shutting-down":
        return Standing(State.RUNNING, f"{server.id} is shutting down")
    if not server.project:
        return Standing(
            State.RUNNING, f"{server.id} lost its project tag: dayfly may not end it, and waits for its end"
        )
    if cancelled:
        return Standing(State.MUST_END, "cancelled")
    if now >= deadline:
        return Standing(State.MUST_END, "past its deadline")
    if server.state in ("stopped", "stopping"):
        return Standing(State.MUST_END, f"it is {server.state}")
    if must_arm(server, deadline, armed=armed, now=now):
        return Standing(State.NEEDS_KILL_SCHEDULE, "its kill schedule is missing")
    if not sent:
        return Standing(State.NEEDS_JOB, f"{server.id} is elected and armed")
    return Standing(State.RUNNING, f"{server.id} is {server.state}")


def must_arm(server: Server, deadline: datetime, *, armed: bool, now: datetime) -> bool:
    """Return whether a server needs its kill schedule now.

    Scheduler refuses a one-shot schedule in the past; the sweeper ends a server past its deadline at once.
    """
    return not armed and not server.gone and now < deadline
