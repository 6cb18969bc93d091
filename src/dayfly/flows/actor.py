"""Where a flow runs and as whom: the arguments that every flow shares. Values only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dayfly.core.advance import State

SWEEPER_MAY = frozenset(State)
LAUNCHER_MAY = SWEEPER_MAY - {State.UNWANTED}
"""The launcher never ends a server; its role could not."""
CLI_MAY = frozenset(
    {
        State.UNWANTED,
        State.UNSEEN,
        State.SERVER_GONE,
        State.UNRECEIPTED,
        State.LATEST_BEHIND,
        State.SLOT_HELD,
        State.UNMARKED,
        State.STILL_ARMED,
        State.STILL_OPEN,
    }
)
"""A person needs no right to launch: the CLI walks only from the agent's end on."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One project in one region, and who walks there (`who` goes into the records)."""

    project: str
    bucket: str
    region: str
    who: str
    may: frozenset[State]
    zones: Callable[[str], ZoneInfo]
