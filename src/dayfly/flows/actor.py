"""The actor of a flow: its project and region, its name in the records, and which steps it may take. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core.intervals import NORMAL, Intervals
from dayfly.core.notification import NOBODY, Receivers
from dayfly.core.states import SWEEPER_ONLY, State
from dayfly.core.ticks import Zones

SWEEPER_STATES = frozenset(State)
"""The sweeper may take every step."""
LAUNCHER_STATES = SWEEPER_STATES - {State.NEEDS_CANCEL, State.MUST_END, State.REMOVING} - SWEEPER_ONLY
"""The launcher never ends a server, nor its job, removes no results and tells nobody; its role could not."""
CLI_STATES = frozenset(
    {
        State.NEEDS_CANCEL,
        State.MUST_END,
        State.NOT_SHOWN,
        State.SERVER_GONE,
        State.NEEDS_RECEIPT,
        State.LATEST_IS_OLDER,
        State.HOLDS_SLOT,
        State.NEEDS_MARKER,
        State.STILL_ARMED,
        State.STILL_OPEN,
    }
)
"""The CLI never launches, so a person needs no permission to. It may end a server, and takes the steps after its end."""

DESTROY_STATES = SWEEPER_STATES - {State.NEEDS_SERVER, State.NEEDS_KILL_SCHEDULE, State.NEEDS_JOB}
"""A destroy launches, arms and sends nothing: it cancels every open run and closes it."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who runs a flow, and where. `who` goes into the records; `acts_in` are the states whose step it may take.

    `notify`: whom it tells; only the sweeper tells anybody. `process`: differs between any two processes that may work at once.
    """

    project: str
    bucket: str
    region: str
    who: str
    acts_in: frozenset[State]
    zones: Zones
    intervals: Intervals = NORMAL
    notify: Receivers = NOBODY
    process: str = ""
