"""Walks a run: gathers its facts, asks core for the next step and takes it, until there is nothing to do now.

Launcher, sweeper and CLI all use this flow; `actor.acts_in` says which steps each of them may take.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dayfly.core import advance
from dayfly.core.facts import Facts, Server
from dayfly.core.names import RunName
from dayfly.core.step import TABLE, Step
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Log, Now, ask
from dayfly.flows.gather import gather
from dayfly.flows.steps import take

STEPS = 3 * len(TABLE)
"""Three times the number of states: a walk with more steps is a bug."""


@dataclass(frozen=True)
class Walked:
    """Where a walk ended: the facts it saw last, and the next step, which this actor may not take or which must wait."""

    facts: Facts
    step: Step


def walk(run: RunName, actor: Actor) -> Flow[Walked]:
    """Walks one run as far as possible now. Raises Unclear when EC2 or S3 gave no clear answer."""
    seen: tuple[Server, ...] = ()
    taken: Counter[tuple[object, ...]] = Counter()
    while taken.total() < STEPS:
        facts = yield from gather(run, seen)
        now = yield from ask(Now())
        step = advance.next_step(facts, now)
        first = advance.run_in_the_way(facts, step)
        if first is not None and (yield from _left_the_slot(first, actor)):
            continue
        same = (step.state, step.attempt, step.subject)
        if step.idle or step.state not in actor.acts_in or taken[same] >= step.row.at_most:
            return Walked(facts, step)
        taken[same] += 1
        fields = {"state": step.state.name, "why": step.reason, "attempt": step.attempt}
        yield from ask(Log(f"{run}: {step.row.step}", fields))
        seen = (*seen, *(yield from take(step, facts, actor, now)))
    raise RuntimeError(f"{run}: {STEPS} steps and no end; last state {step.state.name}: {step.reason}")


def _left_the_slot(run: RunName, actor: Actor) -> Flow[bool]:
    """Walks the run that holds the slot; true when it is over and no longer holds it."""
    there = yield from walk(run, actor)
    return advance.has_left_the_slot(there.facts, there.step)
