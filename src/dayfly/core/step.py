"""The states of a run as a table, and the kinds of step: one frozen type per state, with all that the step needs.

Which step comes next is core/advance.py; how a step is done is flows/steps.py. docs/run-states.md is generated from TABLE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from dayfly.core.facts import Attempt, NotStored, Server, Unreadable, WithEtag
from dayfly.core.records import (
    Absent,
    Cancel,
    Claim,
    Elected,
    Election,
    FleetError,
    Intent,
    Latest,
    NoServer,
    Opened,
    Slot,
)


class State(StrEnum):
    """Where a run stands, by what it needs or waits for. The value is the phrase that screens and the diagram use."""

    NEEDS_SLOT = "open, without its job's slot"
    NEEDS_DECISION = "open, undecided"
    NEEDS_INTENT = "to run, no attempt intended"
    WAITS_FOR_SLOT = "to be retried, another run holds the slot"
    NEEDS_SERVER = "intended, EC2 not asked"
    GETS_NO_SERVER = "no server will come"
    NEEDS_KILL_SCHEDULE = "a server without its kill schedule"
    NEEDS_ELECTION = "a server, none elected"
    NEEDS_JOB = "elected, its job not sent"
    RUNNING = "on its server"
    MUST_END = "on a server that must end"
    NOT_SHOWN = "EC2 does not show its server"
    SERVER_GONE = "its server is gone"
    NEEDS_RECEIPT = "closed, no receipt"
    LATEST_IS_OLDER = "closed, `latest` is older"
    HOLDS_SLOT = "over, still holding the slot"
    NEEDS_MARKER = "over, not listed as done"
    STILL_ARMED = "over, its kill schedule still there"
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
        events=(State.WAITS_FOR_SLOT,),
    ),
    State.NEEDS_DECISION: Row(
        step="decide",
        writes="claim.json",
        then=(State.NEEDS_INTENT, State.HOLDS_SLOT, State.NEEDS_MARKER),
        events=(State.NEEDS_SLOT,),
    ),
    State.WAITS_FOR_SLOT: Row(step="wait", events=(State.NEEDS_SLOT,)),
    State.NEEDS_INTENT: Row(step="intend", writes="N/intent.json", then=(State.NEEDS_SERVER, State.GETS_NO_SERVER)),
    State.NEEDS_SERVER: Row(
        step="ask EC2",
        writes="N/spot-refused.json",
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
        then=(State.NEEDS_ELECTION, State.NEEDS_JOB, State.RUNNING),
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
        events=(State.NEEDS_JOB, State.NEEDS_KILL_SCHEDULE, State.MUST_END, State.NOT_SHOWN, State.SERVER_GONE),
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
    State.HOLDS_SLOT: Row(step="free the slot", writes="slots/JOB.json", then=(State.NEEDS_MARKER, State.FINISHED)),
    State.NEEDS_MARKER: Row(
        step="mark done",
        writes="done/DATE/TICK~JOB~N~OUTCOME",
        then=(State.STILL_ARMED, State.STILL_OPEN, State.FINISHED),
    ),
    State.STILL_ARMED: Row(
        step="disarm", then=(State.STILL_OPEN, State.FINISHED), events=(State.NEEDS_SLOT, State.NEEDS_INTENT)
    ),
    State.STILL_OPEN: Row(step="remove the open key", then=(State.FINISHED,)),
    State.REMOVING: Row(step="remove all its objects", then=(State.FINISHED,)),
    State.FINISHED: Row(
        step="nothing",
        events=(
            State.NEEDS_SLOT,
            State.WAITS_FOR_SLOT,
            State.NEEDS_INTENT,
            State.HOLDS_SLOT,
            State.STILL_ARMED,
            State.REMOVING,
        ),
    ),
}

FIRST_STATES = (State.NEEDS_SLOT, State.NEEDS_DECISION, State.NEEDS_MARKER)
"""The states in which a run begins: opened, with or without the need for a slot; or claimed as missed by the sweeper."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What comes next for a run, and why. `attempt` is the number of the attempt that it is about; 0 when there is none."""

    state: ClassVar[State]
    reason: str
    attempt: int = 0

    @property
    def row(self) -> Row:
        return TABLE[self.state]

    @property
    def subject(self) -> str:
        """Return the market or the server that the step is about; empty when it is about neither."""
        return ""

    @property
    def idle(self) -> bool:
        """Return whether there is nothing to do now."""
        return isinstance(self, (Wait, WaitForSlot, AwaitRemoval, Finished))


@dataclass(frozen=True, kw_only=True)
class TakeSlot(Step):
    """Make this run the holder of its job's slot, which is free."""

    state = State.NEEDS_SLOT


@dataclass(frozen=True, kw_only=True)
class Decide(Step):
    """Write this claim."""

    state = State.NEEDS_DECISION
    claim: Claim


@dataclass(frozen=True, kw_only=True)
class WaitForSlot(Step):
    """Wait until the run that holds the slot is over."""

    state = State.WAITS_FOR_SLOT


@dataclass(frozen=True, kw_only=True)
class Intend(Step):
    """Write the intent of an attempt with this version of the job. `request`: the idempotency key behind it."""

    state = State.NEEDS_INTENT
    version: str
    request: str


@dataclass(frozen=True, kw_only=True)
class AskEc2(Step):
    """Send the CreateFleet request for this market. `spot_errors`: with which EC2 refused spot before."""

    state = State.NEEDS_SERVER
    intent: Intent
    market: str
    spot_errors: tuple[FleetError, ...] = ()

    @property
    def request(self) -> Mapping[str, Any]:
        request: Mapping[str, Any] = self.intent.requests[self.market]
        return request

    @property
    def subject(self) -> str:
        return self.market


@dataclass(frozen=True, kw_only=True)
class ElectNone(Step):
    """Record that this attempt has no server."""

    state = State.GETS_NO_SERVER
    record: NoServer


@dataclass(frozen=True, kw_only=True)
class Arm(Step):
    """Create the server's kill schedule, to fire at `at`."""

    state = State.NEEDS_KILL_SCHEDULE
    server: Server
    at: datetime

    @property
    def subject(self) -> str:
        return self.server.id


@dataclass(frozen=True, kw_only=True)
class Elect(Step):
    """Record that this server may run the job."""

    state = State.NEEDS_ELECTION
    server: Server
    record: Elected


@dataclass(frozen=True, kw_only=True)
class SendJob(Step):
    """Send the job to the elected server. `env`: values for this run only."""

    state = State.NEEDS_JOB
    server: Server
    intent: Intent
    env: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Wait(Step):
    """Do nothing until time passes or the server changes."""

    state = State.RUNNING


@dataclass(frozen=True, kw_only=True)
class End(Step):
    """Terminate the server."""

    state = State.MUST_END
    server: Server


@dataclass(frozen=True, kw_only=True)
class RecordAbsence(Step):
    """Record that EC2 does not show the server. `expired`: an earlier such record to replace, if there is one."""

    state = State.NOT_SHOWN
    server: str
    expired: WithEtag[Absent] | WithEtag[Unreadable] | NotStored


@dataclass(frozen=True, kw_only=True)
class Close(Step):
    """Decide how the attempt ended. `console_of`: the server whose console may say why; empty if the agent said it.

    `declared`: the job's patterns of outputs. `outputs_at`: the prefix of what the server stored, to be listed; empty if it did
    not report success.
    """

    state = State.SERVER_GONE
    closing: Attempt
    election: Election
    cancel: Cancel | NotStored | Unreadable
    console_of: str
    declared: tuple[str, ...] = ()
    outputs_at: str = ""


@dataclass(frozen=True, kw_only=True)
class CloseUnknown(Step):
    """Record that it is unknown how the attempt ended. `detail` names the record that cannot be read."""

    state = State.SERVER_GONE
    closing: Attempt
    detail: str


@dataclass(frozen=True, kw_only=True)
class WriteReceipt(Step):
    """Write this receipt."""

    state = State.NEEDS_RECEIPT
    receipt: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MoveLatest(Step):
    """Make this result the job's last good one, in place of `before`."""

    state = State.LATEST_IS_OLDER
    latest: Latest
    before: WithEtag[Latest] | WithEtag[Unreadable] | NotStored


@dataclass(frozen=True, kw_only=True)
class FreeSlot(Step):
    """Remove this run as the holder of the slot."""

    state = State.HOLDS_SLOT
    slot: WithEtag[Slot] | WithEtag[Unreadable]


@dataclass(frozen=True, kw_only=True)
class MarkDone(Step):
    """Write the marker under done/ that names this outcome."""

    state = State.NEEDS_MARKER
    outcome: str


@dataclass(frozen=True, kw_only=True)
class Disarm(Step):
    """Remove the kill schedules of these servers."""

    state = State.STILL_ARMED
    servers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RemoveOpen(Step):
    """Remove the run from the list of open runs."""

    state = State.STILL_OPEN
    opened: WithEtag[Opened] | WithEtag[Unreadable]


@dataclass(frozen=True, kw_only=True)
class RemoveRun(Step):
    """Remove everything that the bucket holds of the run."""

    state = State.REMOVING
    opened: WithEtag[Opened] | WithEtag[Unreadable]


@dataclass(frozen=True, kw_only=True)
class AwaitRemoval(Step):
    """Do nothing: another sweep may still be removing the run."""

    state = State.REMOVING


@dataclass(frozen=True, kw_only=True)
class Finished(Step):
    """Do nothing: nothing is left to do."""

    state = State.FINISHED
