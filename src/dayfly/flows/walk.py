"""Walk a run: gather, ask core what comes next, take that step, again, until there is nothing more to do here now.

Nobody owns a run: launcher, sweeper and CLI all walk by this one flow; actor.may says which steps are theirs.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dayfly.core.advance import State, Step, next_step
from dayfly.core.facts import Facts, Server
from dayfly.core.names import RunName, run_name
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Log, Now, ask
from dayfly.flows.gather import gather
from dayfly.flows.steps import take

STEPS = 60
"""More steps than the table has states, thrice over: a walk that is still going then is a bug."""
AT_MOST = {State.UNASKED: 1, State.UNWANTED: 1, State.UNARMED: 2, State.UNSEEN: 1}
"""How often a walk takes the same step of the same thing. What AWS has not shown yet is not asked of it again and again."""
TRIES = 3
"""The same for steps in the bucket, where only another writer can have been first."""


@dataclass(frozen=True)
class Walked:
    """Where a walk ended: the facts as last seen and the step that is another's, or time's."""

    facts: Facts
    step: Step


def walk(run: RunName, actor: Actor) -> Flow[Walked]:
    """Walks one run as far as it goes now. Raises Unclear when EC2 or S3 gave no clear answer."""
    seen: tuple[Server, ...] = ()
    taken: Counter[tuple[object, ...]] = Counter()
    while taken.total() < STEPS:
        facts = yield from gather(run, seen)
        now = yield from ask(Now())
        step = next_step(facts, now)
        if step.state in (State.UNDECIDED, State.WAITING) and (yield from _other_moved(facts, actor)):
            continue
        if step.verb in ("wait", "nothing") or step.state not in actor.may:
            return Walked(facts, step)
        same = (step.state, step.attempt, step.market, step.server.id if step.server else "")
        if taken[same] >= AT_MOST.get(step.state, TRIES):
            return Walked(facts, step)
        taken[same] += 1
        yield from ask(
            Log(f"{run}: {step.verb}", {"state": step.state.name, "why": step.reason, "attempt": step.attempt})
        )
        seen = (*seen, *(yield from take(step, facts, actor, now)))
    raise RuntimeError(f"{run}: {STEPS} steps and no end; last state {step.state.name}: {step.reason}")


def _other_moved(facts: Facts, actor: Actor) -> Flow[bool]:
    """Before a run yields to the one that holds the slot: take that one's due steps. It may be over and not yet closed.

    True when the slot is another's no more.
    """
    holder = facts.slot.record.holder if facts.slot else None
    if holder is None or holder == str(facts.run):
        return False
    there = yield from walk(run_name(holder), actor)
    after = there.facts.slot.record.holder if there.facts.slot else None
    return there.step.state is State.FINISHED and after != holder
