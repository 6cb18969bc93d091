"""The heart: `next_step(facts, now)` says what comes next for a run, and why. Pure; a table of states.

Whoever comes by does the step: launcher, sweeper, a human's CLI. So every step must be safe to do twice, safe to lose and safe
beside another who does it at the same time; how a step is done is flows/steps.py. docs/run-states.md is generated from TABLE.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from dayfly.core import claim
from dayfly.core.facts import Attempt, Facts, Server
from dayfly.core.names import run_name

ABSENT_AFTER = timedelta(hours=1)
"""EC2 shows a terminated server for about an hour; absence before that means nothing (aws-facts: stale describes were seen)."""
BETWEEN_LOOKS = timedelta(minutes=4)
"""Two looks that far apart are two sweeps (one every 5 minutes)."""
LOOK_HOLDS = timedelta(minutes=15)
"""A look that no second one followed in that time counts no more: EC2 showed the server in between, or nobody looked."""


class State(StrEnum):
    """Where a run stands. The value is the phrase that screens and the diagram use."""

    UNSLOTTED = "open, without its job's slot"
    UNDECIDED = "open, undecided"
    UNINTENDED = "to run, nothing asked yet"
    WAITING = "to be retried, the slot is another's"
    UNASKED = "intended, EC2 to be asked"
    SERVERLESS = "no server will come"
    UNARMED = "a server without its kill schedule"
    UNELECTED = "a server, none elected"
    UNSENT = "elected, its job not yet sent"
    RUNNING = "on its server"
    UNWANTED = "on a server that should go"
    UNSEEN = "EC2 does not know its server"
    SERVER_GONE = "its server is gone"
    UNRECEIPTED = "closed, no receipt"
    LATEST_BEHIND = "closed, `latest` is older"
    SLOT_HELD = "over, still holding the slot"
    UNMARKED = "over, not listed as done"
    STILL_ARMED = "over, its kill schedule still there"
    STILL_OPEN = "over, still listed as open"
    FINISHED = "finished"


@dataclass(frozen=True)
class Row:
    """What is done in a state, what it writes, and which states can follow when it was done."""

    step: str
    writes: str
    then: tuple[State, ...]


_AFTER_DECIDE = (State.UNINTENDED, State.SLOT_HELD, State.UNMARKED)
_EFFECTS = (State.LATEST_BEHIND, State.SLOT_HELD, State.UNMARKED)

TABLE: dict[State, Row] = {
    State.UNSLOTTED: Row("take the slot", "slots/JOB.json", (State.UNDECIDED,)),
    State.UNDECIDED: Row("decide", "claim.json", _AFTER_DECIDE),
    State.WAITING: Row("wait", "", (State.UNSLOTTED,)),
    State.UNINTENDED: Row("intend", "N/intent.json", (State.UNASKED,)),
    State.UNASKED: Row("ask EC2", "N/spot-refused.json", (State.UNASKED, State.SERVERLESS, State.UNARMED)),
    State.SERVERLESS: Row("elect none", "N/server.json", (State.SERVER_GONE,)),
    State.UNARMED: Row("arm", "kill-INSTANCE", (State.UNELECTED, State.UNSENT, State.RUNNING)),
    State.UNELECTED: Row("elect", "N/server.json", (State.UNSENT, State.SERVER_GONE)),
    State.UNSENT: Row("go", "go/ROLEID:INSTANCE/go.json", (State.RUNNING,)),
    State.RUNNING: Row("wait", "", (State.UNWANTED, State.UNSEEN, State.SERVER_GONE)),
    State.UNWANTED: Row("end the server", "N/end.json", (State.SERVER_GONE,)),
    State.UNSEEN: Row("look again", "N/absent.json", (State.RUNNING, State.SERVER_GONE)),
    State.SERVER_GONE: Row("close", "N/closed.json", (State.UNRECEIPTED,)),
    State.UNRECEIPTED: Row("write the receipt", "N/receipt.json", _EFFECTS),
    State.LATEST_BEHIND: Row("move `latest`", "latest/JOB.json", (State.SLOT_HELD, State.UNMARKED)),
    State.SLOT_HELD: Row("free the slot", "slots/JOB.json", (State.UNMARKED,)),
    State.UNMARKED: Row("mark done", "done/DATE/TICK~JOB~N~OUTCOME", (State.STILL_ARMED, State.STILL_OPEN)),
    State.STILL_ARMED: Row("disarm", "", (State.STILL_OPEN,)),
    State.STILL_OPEN: Row("forget", "", (State.FINISHED,)),
    State.FINISHED: Row("nothing", "", ()),
}


@dataclass(frozen=True)
class Step:
    """What to do next: the state found, the verb of its row, why, and what it is about."""

    state: State
    reason: str
    market: str = ""
    server: Server | None = None
    attempt: int = 0

    @property
    def verb(self) -> str:
        return TABLE[self.state].step


def next_step(facts: Facts, now: datetime) -> Step:
    """The step that comes next for this run. A run that is neither open nor claimed is finished: nothing was ever begun."""
    if facts.claim is None:
        return _before_claim(facts, now)
    if facts.claim.decision != "run":
        return _over(facts, 0, f"{facts.claim.decision}: {facts.claim.why}")
    attempt = facts.attempt
    if attempt is None:
        return Step(State.UNINTENDED, "claimed, to run", attempt=1)
    if attempt.closed is not None:
        return _after_close(facts, attempt, now)
    if attempt.elected is not None:
        return _after_election(attempt, facts, now)
    return _before_election(attempt, facts, now)


def _before_claim(facts: Facts, now: datetime) -> Step:
    if facts.opened is None:
        if _holder(facts) == str(facts.run):
            return Step(State.SLOT_HELD, "never opened, and yet it holds the slot")
        return Step(State.FINISHED, "never opened")
    if _wants_slot(facts, now) and _holder(facts) is None:
        return Step(State.UNSLOTTED, "runs of this job do not overlap")
    return Step(State.UNDECIDED, "open, and nobody decided yet")


def _wants_slot(facts: Facts, now: datetime) -> bool:
    version = claim.version_for(facts, now)
    return version is not None and version.job is not None and version.job.overlap == "skip"


def _holder(facts: Facts) -> str | None:
    return facts.slot.record.holder if facts.slot else None


def _before_election(attempt: Attempt, facts: Facts, now: datetime) -> Step:
    number = attempt.number
    if attempt.servers:
        first = min(attempt.servers, key=lambda server: (server.launched, server.id))
        if _to_arm(attempt, first, now):
            return Step(
                State.UNARMED, "no job starts on a server without its kill schedule", server=first, attempt=number
            )
        return Step(State.UNELECTED, "a server is there", server=first, attempt=number)
    if facts.cancel is not None:
        return Step(State.SERVERLESS, "cancelled", attempt=number)
    if now > attempt.intent.launch_until:
        return Step(State.SERVERLESS, "unanswered", attempt=number)
    market = _market(attempt)
    if market is None:
        return Step(State.SERVERLESS, "refused", attempt=number)
    return Step(State.UNASKED, f"no {market} server yet", market=market, attempt=number)


def _market(attempt: Attempt) -> str | None:
    """The market to ask: on-demand only when spot was definitely refused. (On-demand's refusal is written as the election.)"""
    left = [market for market in attempt.intent.markets if not (market == "spot" and attempt.spot_refused)]
    return left[0] if left else None


def _to_arm(attempt: Attempt, server: Server, now: datetime) -> bool:
    # A one-shot schedule in the past is refused by Scheduler; a server past its deadline is the sweeper's to end at once.
    return server.id not in attempt.armed and not server.gone and now < attempt.intent.deadline


def _after_election(attempt: Attempt, facts: Facts, now: datetime) -> Step:
    assert attempt.elected is not None
    number, server = attempt.number, attempt.server
    if attempt.elected.server is None:
        return Step(State.SERVER_GONE, f"there never was one: {attempt.elected.reason}", attempt=number)
    if server is None:
        return _unseen(attempt, now)
    if server.gone:
        return Step(State.SERVER_GONE, f"{server.id} is terminated", server=server, attempt=number)
    if server.state == "shutting-down":
        return Step(State.RUNNING, f"{server.id} is shutting down", server=server, attempt=number)
    if facts.cancel is not None:
        return Step(State.UNWANTED, "cancelled", server=server, attempt=number)
    if server.state in ("stopped", "stopping"):
        return Step(State.UNWANTED, f"it is {server.state}", server=server, attempt=number)
    if _to_arm(attempt, server, now):
        return Step(State.UNARMED, "its kill schedule is missing", server=server, attempt=number)
    if not attempt.go_sent and server.state in ("pending", "running") and now < attempt.intent.deadline:
        return Step(State.UNSENT, f"{server.id} is elected and armed", server=server, attempt=number)
    return Step(State.RUNNING, f"{server.id} is {server.state}", server=server, attempt=number)


def _unseen(attempt: Attempt, now: datetime) -> Step:
    assert attempt.elected is not None
    launched = attempt.elected.launched or attempt.intent.launch
    name = attempt.elected.server
    if now - launched <= ABSENT_AFTER:
        return Step(State.RUNNING, f"EC2 does not show {name}: unknown, not gone", attempt=attempt.number)
    looked = attempt.absent.record.at if attempt.absent else None
    if looked is None or now - looked > LOOK_HOLDS:
        return Step(State.UNSEEN, f"EC2 does not show {name}, {ABSENT_AFTER} after its launch", attempt=attempt.number)
    if now - looked < BETWEEN_LOOKS:
        return Step(State.RUNNING, f"EC2 did not show {name} once; one more look", attempt=attempt.number)
    return Step(State.SERVER_GONE, f"EC2 did not show {name} in two looks", attempt=attempt.number)


def _after_close(facts: Facts, attempt: Attempt, now: datetime) -> Step:
    assert attempt.closed is not None
    if not attempt.receipt:
        return Step(
            State.UNRECEIPTED, f"closed: {attempt.closed.outcome}", server=attempt.server, attempt=attempt.number
        )
    if moves_latest(facts, attempt):
        return Step(State.LATEST_BEHIND, "a newer good result, whole", attempt=attempt.number)
    if _retry_asked(facts, attempt):
        return _retry(facts, attempt, now)
    return _over(facts, attempt.number, f"closed: {attempt.closed.outcome}")


def _retry_asked(facts: Facts, attempt: Attempt) -> bool:
    return facts.opened is not None and facts.opened.record.retry == attempt.number + 1


def _retry(facts: Facts, attempt: Attempt, now: datetime) -> Step:
    version = claim.in_force(facts.versions, now)
    alone = version is not None and version.job is not None and version.job.overlap == "skip"
    if alone and _holder(facts) is None:
        return Step(State.UNSLOTTED, "a retry of a job that does not overlap", attempt=attempt.number + 1)
    if alone and _holder(facts) != str(facts.run):
        return Step(State.WAITING, f"the slot is held by {_holder(facts)}", attempt=attempt.number + 1)
    return Step(State.UNINTENDED, "a retry was asked for", attempt=attempt.number + 1)


def _over(facts: Facts, attempt: int, reason: str) -> Step:
    """The effects that every finished run has: slot, marker, schedule, and the open key last of all."""
    if _holder(facts) == str(facts.run):
        return Step(State.SLOT_HELD, reason, attempt=attempt)
    if not any(name.attempt == attempt for name in facts.done):
        return Step(State.UNMARKED, reason, attempt=attempt)
    spent = [server for each in facts.attempts for server in to_disarm(each)]
    if spent:
        return Step(State.STILL_ARMED, f"{spent[0]} is gone", attempt=attempt)
    if facts.opened is not None:
        return Step(State.STILL_OPEN, "nothing is left to do", attempt=attempt)
    return Step(State.FINISHED, reason, attempt=attempt)


def to_disarm(attempt: Attempt) -> tuple[str, ...]:
    """Servers whose kill schedule has nothing left to do: the elected one of a closed attempt, and those seen gone.

    A surplus server that still lives keeps its own, whoever else is alive to end it.
    """
    elected = attempt.elected.server if attempt.elected and attempt.closed else None
    gone = {server.id for server in attempt.servers if server.gone}
    return tuple(sorted(name for name in attempt.armed if name == elected or name in gone))


def moves_latest(facts: Facts, attempt: Attempt) -> bool:
    """Whether this attempt's result is to become the job's last good one: only forward, only whole."""
    assert facts.claim is not None
    if attempt.closed is None or attempt.closed.outcome != "succeeded" or attempt.ended is None:
        return False
    if facts.claim.source == "hand" and not facts.claim.publish:
        return False
    if facts.latest is None:
        return True
    there = facts.latest.record
    return (run_name(there.run).tick, there.attempt) < (facts.run.tick, attempt.number)


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.UNSLOTTED.name}: open/JOB@TICK"]
    for state, row in TABLE.items():
        lines.append(f"    {state.name}: {state.value}")
        lines += [f"    {state.name} --> {after.name}: {row.step}" for after in row.then]
    return "\n".join(lines) + "\n"
