"""The kinds of step: one frozen type per state (core/states.py), with all that the step needs.

Which step comes next is core/advance.py; how a step is done is flows/steps.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from dayfly.core.facts import Attempt, NotStored, Server, Unreadable, WithEtag
from dayfly.core.reasons import Notice
from dayfly.core.records import (
    Absent,
    Cancel,
    Claim,
    Elected,
    Election,
    FleetError,
    Intent,
    Latest,
    NextAsk,
    NoServer,
    Opened,
    Slot,
)
from dayfly.core.states import SWEEPER_ONLY, TABLE, Row, State


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
        """Return the request or the server that the step is about; empty when it is about neither."""
        return ""

    @property
    def settled(self) -> bool:
        """Return whether nothing is left to do but what only the sweeper does."""
        return self.state in SWEEPER_ONLY or isinstance(self, Finished)

    @property
    def idle(self) -> bool:
        """Return whether there is nothing to do now."""
        return isinstance(self, (Wait, WaitForSlot, WaitToTell, AwaitRemoval, Finished))


@dataclass(frozen=True, kw_only=True)
class TakeSlot(Step):
    """Make this run the holder of its job's slot, which is free."""

    state = State.NEEDS_SLOT


@dataclass(frozen=True, kw_only=True)
class Decide(Step):
    """Write this claim. `again`: a first one says not to run, and a person asked for the tick later."""

    state = State.NEEDS_DECISION
    claim: Claim
    again: bool = False


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
    """Send the CreateFleet request for this market: the newest of `asks`, or else the intent's. `spot_errors`: how EC2 refused spot."""

    state = State.NEEDS_SERVER
    intent: Intent
    market: str
    spot_errors: tuple[FleetError, ...] = ()
    asks: tuple[NextAsk, ...] = ()

    @property
    def request(self) -> Mapping[str, Any]:
        first: Mapping[str, Any] = self.intent.requests[self.market]
        requests = [first, *(ask.request for ask in self.asks if ask.market == self.market)]
        return requests[-1]

    @property
    def subject(self) -> str:
        return f"{self.market} {len(self.asks)}"


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
class SendCancel(Step):
    """Tell the server that its job is cancelled: its agent ends the command, stores what it wrote and powers off."""

    state = State.NEEDS_CANCEL
    server: Server
    intent: Intent

    @property
    def subject(self) -> str:
        return self.server.id


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
class Tell(Step):
    """Tell the project's addresses about the run."""

    state = State.NEEDS_NOTIFICATION
    notice: Notice


@dataclass(frozen=True, kw_only=True)
class Publish(Step):
    """Copy the attempt's result to where the job's `results` says."""

    state = State.NEEDS_RESULTS
    results: str
    publishing: Attempt
    prefix: str


@dataclass(frozen=True, kw_only=True)
class WaitToTell(Step):
    """Do nothing: another process tells it now, or an address did not take the message and gets it again later."""

    state = State.WAITS_TO_TELL


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
