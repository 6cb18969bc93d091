"""Walks a run: asks core for the next step and takes it, until there is nothing to do now.

Launcher, sweeper and CLI all use this flow; `actor.acts_in` says which steps each may take. A walk carries what it wrote: it
gathers the facts again only when another process wrote first, or when EC2 decides what comes next.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dayfly.core import advance, election
from dayfly.core.facts import Facts, Server
from dayfly.core.names import RunName
from dayfly.core.states import TABLE
from dayfly.core.step import Step
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Log, Now, ask
from dayfly.flows.gather import gather
from dayfly.flows.outcome import Outdated
from dayfly.flows.steps import TAKE

MAX_STEPS = 3 * len(TABLE) + election.MOST_ASKS
"""Three times the number of states, and each request to EC2: a walk with more steps is a bug."""


@dataclass(frozen=True)
class WalkResult:
    """Where a walk stopped: the facts it read last, and the next step, which must wait or which this actor may not take."""

    facts: Facts
    step: Step

    @property
    def run(self) -> RunName:
        """Return the run that was walked."""
        return self.facts.run


def walk(run: RunName, actor: Actor) -> Flow[WalkResult]:
    """Walk one run as far as possible now. Raises Unclear when EC2 or S3 gave no clear answer."""
    return (yield from walk_from((yield from gather(run)), actor))


def walk_from(facts: Facts, actor: Actor, seen: tuple[Server, ...] = ()) -> Flow[WalkResult]:
    """Walk one run from facts that are at hand. `seen`: servers that EC2 named and may not list yet. Raises as `walk`."""
    taken: Counter[tuple[object, ...]] = Counter()
    while taken.total() < MAX_STEPS:
        now = yield from ask(Now())
        step = advance.next_step(facts, now, actor.intervals)
        blocking = advance.blocking_run(facts, step)
        if blocking is not None and (yield from _walk_slot_holder(blocking, actor)):
            taken["slot", blocking] += 1
            facts = yield from gather(facts.run, seen)
            continue
        same = (step.state, step.attempt, step.subject)
        if step.idle or step.state not in actor.acts_in or taken[same] >= step.row.at_most:
            return WalkResult(facts, step)
        taken[same] += 1
        fields = {"state": step.state.name, "why": step.reason, "attempt": step.attempt}
        yield from ask(Log(f"{facts.run}: {step.row.step}", fields))
        match (yield from TAKE[type(step)](step, facts, actor, now)):
            case Facts() as facts:
                seen = (*seen, *facts.servers)
            case Outdated():
                facts = yield from gather(facts.run, seen)
    raise RuntimeError(f"{facts.run}: not at rest after {MAX_STEPS} steps; last state {step.state.name}: {step.reason}")


def _walk_slot_holder(run: RunName, actor: Actor) -> Flow[bool]:
    """Walk the run that holds the slot. Return whether it has freed the slot now."""
    result = yield from walk(run, actor)
    return advance.has_freed_slot(result.facts, result.step)
