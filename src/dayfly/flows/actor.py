"""The actor of a flow: its project and region, its name in the records, and the steps that it may take. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core.step import State
from dayfly.core.ticks import Zones

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
"""A person needs no right to launch: the CLI takes only the steps from the agent's end on."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who runs a flow, and where. `who` goes into the records; `may` are the states whose step it may take."""

    project: str
    bucket: str
    region: str
    who: str
    may: frozenset[State]
    zones: Zones
