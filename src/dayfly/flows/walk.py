"""Walk a run: gather, ask core what comes next, take that step, again, until there is nothing more to do here now.

Nobody owns a run: launcher, sweeper and CLI all walk by this one flow; place.may says which steps are theirs.
"""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.core.advance import State, Step, next_step
from dayfly.core.facts import Facts, Server
from dayfly.core.names import RunName, run_name
from dayfly.flows.calls import Flow, Now, Say, ask
from dayfly.flows.gather import gather
from dayfly.flows.place import Place
from dayfly.flows.steps import take

STEPS = 40
"""More steps than the table has states: a walk that is still going then goes round in a circle."""


@dataclass(frozen=True)
class Walked:
    """Where a walk ended: the facts as last seen and the step that is another's, or time's."""

    facts: Facts
    step: Step


def walk(run: RunName, place: Place) -> Flow[Walked]:
    """Walks one run as far as it goes now. Raises Unclear when EC2 or S3 gave no clear answer."""
    seen: tuple[Server, ...] = ()
    for _ in range(STEPS):
        facts = yield from gather(run, seen)
        now = yield from ask(Now())
        step = next_step(facts, now)
        if step.verb in ("wait", "nothing") or step.state not in place.may:
            return Walked(facts, step)
        if step.state is State.UNDECIDED and (yield from _other_moved(facts, place)):
            continue
        yield from ask(
            Say(f"{run}: {step.verb}", {"state": step.state.name, "why": step.reason, "attempt": step.attempt})
        )
        seen = (*seen, *(yield from take(step, facts, place, now)))
    raise RuntimeError(f"{run}: {STEPS} steps and no end; last state {step.state.name}: {step.reason}")


def _other_moved(facts: Facts, place: Place) -> Flow[bool]:
    """Before a tick is skipped for the run that holds the slot: take that run's due steps. It may be over and not yet closed."""
    holder = facts.slot.record.holder if facts.slot else None
    if holder is None or holder == str(facts.run):
        return False
    there = yield from walk(run_name(holder), place)
    return there.step.state is State.FINISHED
