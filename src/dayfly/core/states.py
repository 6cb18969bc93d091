"""The states of a run as a table: what each needs, the step that is taken in it, and which states can follow.

docs/run-states.md is generated from TABLE. The kinds of step are in core/step.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where a run stands, by what it needs or waits for. The value is the phrase that screens and the diagram use."""

    NEEDS_SLOT = "open, without its job's slot"
    NEEDS_DECISION = "open, undecided"
    NEEDS_INTENT = "to run, no attempt intended"
    WAITS_FOR_SLOT = "to be retried or run later, another run holds the slot"
    NEEDS_SERVER = "intended, EC2 not asked"
    GETS_NO_SERVER = "no server will come"
    NEEDS_KILL_SCHEDULE = "a server without its kill schedule"
    NEEDS_ELECTION = "a server, none elected"
    NEEDS_JOB = "elected, its job not sent"
    RUNNING = "on its server"
    NEEDS_CANCEL = "cancelled, its server not told"
    MUST_END = "on a server that must end"
    NOT_SHOWN = "EC2 does not show its server"
    SERVER_GONE = "its server is gone"
    NEEDS_RECEIPT = "closed, no receipt"
    LATEST_IS_OLDER = "closed, `latest` is older"
    HOLDS_SLOT = "over, still holding the slot"
    NEEDS_MARKER = "over, not listed as done"
    NEEDS_NOTIFICATION = "over, nobody was told"
    NEEDS_RESULTS = "over, its result not copied"
    STILL_ARMED = "over, its kill schedule still there"
    WAITS_TO_TELL = "over, being told or to be told again"
    STILL_OPEN = "over, still listed as open"
    REMOVING = "finished, being removed"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True)
class Row:
    """The step that is taken in a state, what it writes, and which states can follow.

    `then`: the states after the step. `events`: the states after a change from outside: by EC2, time, a person, or another
    process. `at_most`: how often one walk takes this step for the same subject. A write to the bucket is repeated because another
    writer may be first. A call to EC2 is not, because EC2 shows its effect only later.
    """

    step: str
    writes: str = ""
    then: tuple[State, ...] = ()
    events: tuple[State, ...] = ()
    at_most: int = 3


TABLE: dict[State, Row] = {
    State.NEEDS_SLOT: Row(
        step="take the slot",
        writes="slots/JOB.json",
        then=(State.NEEDS_DECISION, State.NEEDS_INTENT),
        events=(State.WAITS_FOR_SLOT, State.NEEDS_MARKER),
    ),
    State.NEEDS_DECISION: Row(
        step="decide",
        writes="claim.json or backfill.json",
        then=(State.NEEDS_INTENT, State.HOLDS_SLOT, State.NEEDS_MARKER),
        events=(State.NEEDS_SLOT,),
    ),
    State.WAITS_FOR_SLOT: Row(step="wait", events=(State.NEEDS_SLOT, State.NEEDS_DECISION, State.NEEDS_MARKER)),
    State.NEEDS_INTENT: Row(step="intend", writes="N/intent.json", then=(State.NEEDS_SERVER, State.GETS_NO_SERVER)),
    State.NEEDS_SERVER: Row(
        step="ask EC2",
        writes="N/ask-K.json, N/spot-refused.json",
        then=(State.NEEDS_SERVER, State.NEEDS_KILL_SCHEDULE, State.SERVER_GONE),
        events=(State.GETS_NO_SERVER, State.NEEDS_ELECTION),
        at_most=1,
    ),
    State.GETS_NO_SERVER: Row(
        step="elect none",
        writes="N/server.json",
        then=(State.SERVER_GONE,),
        events=(State.NEEDS_KILL_SCHEDULE, State.NEEDS_ELECTION),
    ),
    State.NEEDS_KILL_SCHEDULE: Row(
        step="arm",
        writes="kill-INSTANCE",
        then=(State.NEEDS_ELECTION, State.NEEDS_JOB, State.NEEDS_CANCEL, State.RUNNING),
        events=(State.NEEDS_SERVER, State.GETS_NO_SERVER, State.MUST_END, State.SERVER_GONE),
        at_most=2,
    ),
    State.NEEDS_ELECTION: Row(
        step="elect",
        writes="N/server.json",
        then=(State.NEEDS_JOB, State.RUNNING, State.MUST_END, State.SERVER_GONE),
        events=(State.NEEDS_SERVER, State.GETS_NO_SERVER, State.NEEDS_KILL_SCHEDULE),
    ),
    State.NEEDS_JOB: Row(
        step="send the job",
        writes="go/ROLEID:INSTANCE/go.json, N/sent.json",
        then=(State.RUNNING,),
        events=(State.NEEDS_KILL_SCHEDULE, State.MUST_END, State.SERVER_GONE),
    ),
    State.RUNNING: Row(
        step="wait",
        events=(
            State.NEEDS_JOB,
            State.NEEDS_KILL_SCHEDULE,
            State.NEEDS_CANCEL,
            State.MUST_END,
            State.NOT_SHOWN,
            State.SERVER_GONE,
        ),
    ),
    State.NEEDS_CANCEL: Row(
        step="tell the server",
        writes="go/ROLEID:INSTANCE/cancel.json",
        then=(State.RUNNING,),
        events=(State.NEEDS_KILL_SCHEDULE, State.MUST_END, State.SERVER_GONE),
    ),
    State.MUST_END: Row(step="end the server", writes="N/end.json", then=(State.RUNNING, State.SERVER_GONE), at_most=1),
    State.NOT_SHOWN: Row(
        step="record its absence", writes="N/absent.json", then=(State.RUNNING,), events=(State.SERVER_GONE,), at_most=1
    ),
    State.SERVER_GONE: Row(
        step="close", writes="N/closed.json", then=(State.NEEDS_RECEIPT,), events=(State.RUNNING, State.NOT_SHOWN)
    ),
    State.NEEDS_RECEIPT: Row(
        step="write the receipt",
        writes="N/receipt.json",
        then=(State.LATEST_IS_OLDER, State.HOLDS_SLOT, State.NEEDS_MARKER),
    ),
    State.LATEST_IS_OLDER: Row(
        step="move `latest`", writes="latest/JOB.json", then=(State.HOLDS_SLOT, State.NEEDS_MARKER)
    ),
    State.HOLDS_SLOT: Row(
        step="free the slot",
        writes="slots/JOB.json",
        then=(State.NEEDS_MARKER, State.NEEDS_NOTIFICATION, State.NEEDS_RESULTS, State.FINISHED),
    ),
    State.NEEDS_MARKER: Row(
        step="mark done",
        writes="done/DATE/TICK~JOB~N~OUTCOME",
        then=(State.NEEDS_NOTIFICATION, State.NEEDS_RESULTS, State.STILL_ARMED, State.STILL_OPEN, State.FINISHED),
    ),
    State.NEEDS_NOTIFICATION: Row(
        step="tell",
        writes="N/telling.json, N/told.json, trouble/JOB.json",
        then=(State.NEEDS_RESULTS, State.STILL_ARMED, State.WAITS_TO_TELL),
        events=(State.HOLDS_SLOT, State.NEEDS_SLOT, State.WAITS_FOR_SLOT, State.NEEDS_INTENT, State.NEEDS_DECISION),
        at_most=1,
    ),
    State.NEEDS_RESULTS: Row(
        step="copy the result",
        writes="N/publishing.json, N/published.json",
        then=(State.STILL_ARMED, State.STILL_OPEN),
        events=(State.HOLDS_SLOT, State.NEEDS_SLOT, State.NEEDS_INTENT),
        at_most=1,
    ),
    State.WAITS_TO_TELL: Row(
        step="wait", events=(State.NEEDS_NOTIFICATION, State.STILL_OPEN, State.NEEDS_SLOT, State.NEEDS_INTENT)
    ),
    State.STILL_ARMED: Row(
        step="disarm",
        then=(State.WAITS_TO_TELL, State.STILL_OPEN, State.FINISHED),
        events=(State.NEEDS_SLOT, State.NEEDS_INTENT),
    ),
    State.STILL_OPEN: Row(step="remove the open key", then=(State.FINISHED,), events=(State.STILL_ARMED,)),
    State.REMOVING: Row(step="remove all its objects", then=(State.FINISHED,)),
    State.FINISHED: Row(
        step="nothing",
        events=(
            State.NEEDS_SLOT,
            State.NEEDS_DECISION,
            State.WAITS_FOR_SLOT,
            State.NEEDS_INTENT,
            State.HOLDS_SLOT,
            State.STILL_ARMED,
            State.REMOVING,
        ),
    ),
}

SWEEPER_ONLY = frozenset({State.NEEDS_NOTIFICATION, State.NEEDS_RESULTS, State.WAITS_TO_TELL})
"""The states of a run that is over and whose next step is the sweeper's: for everyone else it is finished."""

FIRST_STATES = (State.NEEDS_SLOT, State.NEEDS_DECISION, State.WAITS_FOR_SLOT)
"""The states in which a run begins: opened, with or without the need for a slot, which a tick that a person runs later waits for."""
