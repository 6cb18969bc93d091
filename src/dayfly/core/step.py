"""The states of a run as a table, and the kinds of step: one frozen type per state, with all that the step needs.

Which step comes next is core/advance.py; how a step is done is flows/steps.py. docs/run-states.md is generated from TABLE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from dayfly.core.facts import Attempt, Kept, NotStored, Server
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
    """Where a run stands. The value is the phrase that screens and the diagram use."""

    UNSLOTTED = "open, without its job's slot"
    UNDECIDED = "open, undecided"
    UNINTENDED = "to run, no attempt intended"
    WAITING = "to be retried, another run holds the slot"
    UNASKED = "intended, EC2 not asked"
    SERVERLESS = "no server will come"
    UNARMED = "a server without its kill schedule"
    UNELECTED = "a server, none elected"
    UNSENT = "elected, its job not sent"
    RUNNING = "on its server"
    UNWANTED = "on a server that must end"
    UNSEEN = "EC2 does not show its server"
    SERVER_GONE = "its server is gone"
    UNRECEIPTED = "closed, no receipt"
    LATEST_BEHIND = "closed, `latest` is older"
    SLOT_HELD = "over, still holding the slot"
    UNMARKED = "over, not listed as done"
    STILL_ARMED = "over, its kill schedule still there"
    STILL_OPEN = "over, still listed as open"
    FINISHED = "finished"


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is done in a state, what it writes, and which states can follow.

    `then`: the states after the step. `events`: the states after a change that the step did not make: by EC2, by time, by a
    person, or by another process. `at_most`: how often one walk takes this step for the same subject. Steps in the bucket
    repeat only after another writer was first; what EC2 has not shown yet is not asked again in the same walk.
    """

    step: str
    writes: str = ""
    then: tuple[State, ...] = ()
    events: tuple[State, ...] = ()
    at_most: int = 3


TABLE: dict[State, Row] = {
    State.UNSLOTTED: Row(
        step="take the slot",
        writes="slots/JOB.json",
        then=(State.UNDECIDED, State.UNINTENDED),
        events=(State.WAITING,),
    ),
    State.UNDECIDED: Row(
        step="decide",
        writes="claim.json",
        then=(State.UNINTENDED, State.SLOT_HELD, State.UNMARKED),
        events=(State.UNSLOTTED,),
    ),
    State.WAITING: Row(step="wait", events=(State.UNSLOTTED,)),
    State.UNINTENDED: Row(step="intend", writes="N/intent.json", then=(State.UNASKED, State.SERVERLESS)),
    State.UNASKED: Row(
        step="ask EC2",
        writes="N/spot-refused.json",
        then=(State.UNASKED, State.UNARMED, State.SERVER_GONE),
        events=(State.SERVERLESS, State.UNELECTED),
        at_most=1,
    ),
    State.SERVERLESS: Row(
        step="elect none", writes="N/server.json", then=(State.SERVER_GONE,), events=(State.UNARMED, State.UNELECTED)
    ),
    State.UNARMED: Row(
        step="arm",
        writes="kill-INSTANCE",
        then=(State.UNELECTED, State.UNSENT, State.RUNNING),
        events=(State.UNASKED, State.SERVERLESS, State.UNWANTED, State.SERVER_GONE),
        at_most=2,
    ),
    State.UNELECTED: Row(
        step="elect",
        writes="N/server.json",
        then=(State.UNSENT, State.RUNNING, State.UNWANTED, State.SERVER_GONE),
        events=(State.UNASKED, State.SERVERLESS, State.UNARMED),
    ),
    State.UNSENT: Row(
        step="go",
        writes="go/ROLEID:INSTANCE/go.json",
        then=(State.RUNNING,),
        events=(State.UNARMED, State.UNWANTED, State.SERVER_GONE),
    ),
    State.RUNNING: Row(
        step="wait",
        events=(State.UNSENT, State.UNARMED, State.UNWANTED, State.UNSEEN, State.SERVER_GONE),
    ),
    State.UNWANTED: Row(step="end the server", writes="N/end.json", then=(State.RUNNING, State.SERVER_GONE), at_most=1),
    State.UNSEEN: Row(
        step="look again", writes="N/absent.json", then=(State.RUNNING,), events=(State.SERVER_GONE,), at_most=1
    ),
    State.SERVER_GONE: Row(
        step="close", writes="N/closed.json", then=(State.UNRECEIPTED,), events=(State.RUNNING, State.UNSEEN)
    ),
    State.UNRECEIPTED: Row(
        step="write the receipt",
        writes="N/receipt.json",
        then=(State.LATEST_BEHIND, State.SLOT_HELD, State.UNMARKED),
    ),
    State.LATEST_BEHIND: Row(step="move `latest`", writes="latest/JOB.json", then=(State.SLOT_HELD, State.UNMARKED)),
    State.SLOT_HELD: Row(step="free the slot", writes="slots/JOB.json", then=(State.UNMARKED, State.FINISHED)),
    State.UNMARKED: Row(
        step="mark done",
        writes="done/DATE/TICK~JOB~N~OUTCOME",
        then=(State.STILL_ARMED, State.STILL_OPEN, State.FINISHED),
    ),
    State.STILL_ARMED: Row(step="disarm", then=(State.STILL_OPEN, State.FINISHED)),
    State.STILL_OPEN: Row(step="remove the open key", then=(State.FINISHED,)),
    State.FINISHED: Row(
        step="nothing",
        events=(State.UNSLOTTED, State.WAITING, State.UNINTENDED, State.SLOT_HELD, State.STILL_ARMED),
    ),
}

FIRST = (State.UNSLOTTED, State.UNDECIDED, State.UNMARKED)
"""The first state of a run: opened, while its job's slot is free, taken or not needed; or claimed as missed by the sweeper."""


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state.name}" for state in FIRST]
    for state, row in TABLE.items():
        lines.append(f"    {state.name}: {state.value}")
        lines += [f"    {state.name} --> {after.name}: {row.step}" for after in row.then]
        lines += [f"    {state.name} --> {after.name}: event" for after in row.events]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What comes next for a run, and why. `attempt` is the attempt it is about; 0 when there is none."""

    state: ClassVar[State]
    reason: str
    attempt: int = 0

    @property
    def row(self) -> Row:
        return TABLE[self.state]

    @property
    def subject(self) -> str:
        """What the step is about, beside its state and attempt: a market or a server."""
        return ""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do now."""
        return isinstance(self, (Wait, WaitForSlot, Finished))


@dataclass(frozen=True, kw_only=True)
class TakeSlot(Step):
    """Make this run the holder. `free`: the slot as it is, without holder, if the job has one yet."""

    state = State.UNSLOTTED
    free: Kept[Slot] | NotStored


@dataclass(frozen=True, kw_only=True)
class Decide(Step):
    """Write this claim."""

    state = State.UNDECIDED
    claim: Claim


@dataclass(frozen=True, kw_only=True)
class WaitForSlot(Step):
    """Wait until the run that holds the slot is over."""

    state = State.WAITING


@dataclass(frozen=True, kw_only=True)
class Intend(Step):
    """Write the intent of an attempt with this version of the job. `request`: the idempotency key behind it."""

    state = State.UNINTENDED
    version: str
    request: str


@dataclass(frozen=True, kw_only=True)
class AskEc2(Step):
    """Send this request. `spot_errors`: why spot was refused, when this market is asked after spot."""

    state = State.UNASKED
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

    state = State.SERVERLESS
    record: NoServer


@dataclass(frozen=True, kw_only=True)
class Arm(Step):
    """Create the server's kill schedule, to fire at `at`."""

    state = State.UNARMED
    server: Server
    at: datetime

    @property
    def subject(self) -> str:
        return self.server.id


@dataclass(frozen=True, kw_only=True)
class Elect(Step):
    """Record that this server may run the job."""

    state = State.UNELECTED
    server: Server
    record: Elected


@dataclass(frozen=True, kw_only=True)
class Go(Step):
    """Send the job to the elected server. `env`: values for this run only."""

    state = State.UNSENT
    server: Server
    intent: Intent
    env: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Wait(Step):
    """Nothing to do until time passes or the server changes."""

    state = State.RUNNING


@dataclass(frozen=True, kw_only=True)
class End(Step):
    """Terminate the server."""

    state = State.UNWANTED
    server: Server


@dataclass(frozen=True, kw_only=True)
class LookAgain(Step):
    """Record that EC2 does not show the server. `expired`: an older such record, if there is one; it is too old to count."""

    state = State.UNSEEN
    server: str
    expired: Kept[Absent] | NotStored


@dataclass(frozen=True, kw_only=True)
class Close(Step):
    """Decide how the attempt ended. `console_of`: the server whose console may say why, if its agent did not; or empty."""

    state = State.SERVER_GONE
    ended: Attempt
    election: Election
    cancel: Cancel | NotStored
    console_of: str


@dataclass(frozen=True, kw_only=True)
class WriteReceipt(Step):
    """Write this receipt."""

    state = State.UNRECEIPTED
    receipt: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class MoveLatest(Step):
    """Make this result the job's last good one, in place of `before`."""

    state = State.LATEST_BEHIND
    latest: Latest
    before: Kept[Latest] | NotStored


@dataclass(frozen=True, kw_only=True)
class FreeSlot(Step):
    """Remove this run as the holder of the slot."""

    state = State.SLOT_HELD
    slot: Kept[Slot]


@dataclass(frozen=True, kw_only=True)
class MarkDone(Step):
    """Write the marker under done/ that names this outcome."""

    state = State.UNMARKED
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
    opened: Kept[Opened]


@dataclass(frozen=True, kw_only=True)
class Finished(Step):
    """Nothing is left to do."""

    state = State.FINISHED
