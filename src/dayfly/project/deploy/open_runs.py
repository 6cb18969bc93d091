"""Cancel and close the runs that are open when a project is destroyed and its results are kept.

A later deploy, and whoever reads the bucket without dayfly, then finds no run that seems to go on, and no slot that is held.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from dayfly.core import names
from dayfly.core.intervals import NORMAL
from dayfly.core.record_json import encode
from dayfly.core.records import Cancel, Slot
from dayfly.core.states import State
from dayfly.errors import Vanished
from dayfly.flows import read
from dayfly.flows.actor import DESTROY_STATES, Actor
from dayfly.flows.calls import Flow, List, Now, PutNew, ask
from dayfly.flows.gather import gather
from dayfly.flows.walk import walk
from dayfly.project.deploy.bucket import bucket_exists
from dayfly.project.deploy.scope import Scope


def open_runs(scope: Scope) -> Flow[tuple[str, ...]]:
    """Return the names of the runs that are open or hold a slot, as the keys and slots say; none if there is no bucket."""
    if not (yield from bucket_exists(scope)):
        return ()
    try:
        return (yield from _in_bucket())
    except Vanished:  # another destroy deleted the bucket
        return ()


def _in_bucket() -> Flow[tuple[str, ...]]:
    found = {key.removeprefix(names.OPEN) for key in (yield from ask(List(names.OPEN)))}
    for key in (yield from ask(List(names.SLOTS))):
        found.add((yield from _isolated(_holder(key))))
    return tuple(name for name in sorted(found) if _is_run(name))


def _holder(key: str) -> Flow[str]:
    match (yield from read.record(Slot, key)):
        case Slot(holder=holder):
            return holder
    return ""


def _is_run(name: str) -> bool:
    try:
        names.run_name(name)
    except ValueError:
        return False
    return True


def close_open_runs(scope: Scope) -> Flow[dict[str, str]]:
    """Cancel every open run and walk it as far as possible now. Return the runs that stay open, each with the reason.

    All are cancelled before one is walked, because a run may wait for another. A run that cannot be read does not keep the others
    open.
    """
    running = yield from open_runs(scope)
    for name in running:
        yield from _isolated(_cancel(names.run_name(name), scope))
    left: dict[str, str] = {}
    for name in running:
        why = yield from _isolated(_close(names.run_name(name), scope))
        if why:
            left[name] = why
    return left


def _cancel(run: names.RunName, scope: Scope) -> Flow[str]:
    facts = yield from gather(run)
    number = facts.attempt_number
    if facts.is_open and not facts.not_run and number not in facts.closed:
        record = Cancel(at=(yield from ask(Now())), by=scope.who)
        yield from ask(PutNew(names.attempt_key(run, number, record.file), encode(record)))
    return ""


def _close(run: names.RunName, scope: Scope) -> Flow[str]:
    """Walk a run. Return why it is not finished; empty if it is."""
    walked = yield from walk(run, _actor(scope))
    if walked.step.state == State.FINISHED:
        return ""
    return walked.step.reason


def _isolated(part: Flow[str]) -> Flow[str]:
    """Run one part. Return its result, or the error that it raised, even a bug: the other runs are still closed."""
    try:
        return (yield from part)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _actor(scope: Scope) -> Actor:
    return Actor(
        project=scope.project,
        bucket=scope.bucket,
        region=scope.region,
        who="destroy",
        acts_in=DESTROY_STATES,
        zones=ZoneInfo,
        intervals=replace(NORMAL, after_cancel=timedelta(0), tell_again_after=timedelta(0)),
    )
