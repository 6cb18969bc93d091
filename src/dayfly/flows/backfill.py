"""The launcher's flow for a tick that a person runs later: it was missed or skipped, or nothing ever delivered it.

A claim is written once, so a tick that has one gets a second, `backfill.json`, which counts from then on (flows/read.py). All
that follows is an ordinary run: its intent, its election and `latest`. A tick that had a server is refused: that is a retry.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dayfly.core import claim as claims
from dayfly.core import names
from dayfly.core.advance import next_step
from dayfly.core.event import LaunchAt
from dayfly.core.facts import Attempt, Facts, Unreadable, WithEtag
from dayfly.core.reasons import Decision, Outcome
from dayfly.core.record_json import encode
from dayfly.core.records import Claim, Closed, Opened
from dayfly.errors import NotFoundError
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Now, ask
from dayfly.flows.gather import gather
from dayfly.flows.outcome import write_over
from dayfly.flows.walk import WalkResult, walk, walk_from


def backfill(wanted: LaunchAt, actor: Actor) -> Flow[WalkResult]:
    """Open the run of this tick and walk it. Raises NotFoundError when it has run, or is no tick of the job."""
    run = names.RunName(wanted.job, wanted.tick)
    facts = yield from gather(run)
    if facts.is_open and not _is_for(facts, wanted):
        # A sweep may be between two steps of a missed tick. Its last steps are taken here.
        facts = (yield from walk_from(facts, actor)).facts
    if not _is_for(facts, wanted):
        _refuse_claimed(facts, (yield from ask(Now())))
        yield from _open(facts, wanted, actor)
    walked = yield from walk(run, actor)
    if not _is_for(walked.facts, wanted):
        _refuse_claimed(walked.facts, (yield from ask(Now())))
        raise NotFoundError(f"another request changed {run} at the same time", hint=f"dayfly show {run}")
    return walked


def _is_for(facts: Facts, wanted: LaunchAt) -> bool:
    """Return whether the run is open, or was claimed, for this request."""
    match facts.claim, facts.opened:
        case (Claim(request=request), _) if request == wanted.request:
            return True
        case _, WithEtag(record=Opened(request=request)):
            return request == wanted.request
    return False


def _refuse_claimed(facts: Facts, now: datetime) -> None:
    """Raise NotFoundError unless the tick may be opened: it has no claim, or one that says not to run, and is not open.

    A missed tick is open while people wait to be told, and may be opened again.
    """
    run = facts.run
    match facts.claim, facts.attempt:
        case Unreadable() as unreadable, _:
            raise NotFoundError(f"{run} cannot run: {unreadable}", hint=f"dayfly show {run}")
        case Claim(decision=Decision.RUN), Attempt(closed=Closed(outcome=outcome)) if not facts.is_open:
            what = {Outcome.SUCCEEDED: "succeeded already"}.get(outcome, f"ran already: {outcome}")
            raise NotFoundError(f"{run} {what}", hint=f"dayfly retry {run}")
        case Claim(decision=Decision.RUN), _:
            raise NotFoundError(f"{run} is not over yet", hint=f"dayfly show {run}")
    if facts.is_open and not next_step(facts, now).settled:
        raise NotFoundError(f"{run} is not over yet", hint=f"dayfly show {run}")


def _open(facts: Facts, wanted: LaunchAt, actor: Actor) -> Flow[None]:
    """Write the run's open key, unless another process did. Raises NotFoundError when this is no tick of the job."""
    now = yield from ask(Now())
    opened = Opened(
        run=str(facts.run),
        source=wanted.source,
        at=now,
        request=wanted.request,
        by=wanted.by,
        env=wanted.env,
        publish=wanted.publish,
    )
    then = yield from read.in_force(wanted.job, wanted.tick)
    latest = yield from read.in_force(wanted.job, now)
    why = claims.why_rejected(replace(facts, versions=(*then, *latest)), opened, now, actor.zones)
    if why:
        raise NotFoundError(f"{facts.run} cannot run: {why}", hint=f"dayfly runs {facts.run.job}")
    yield from write_over(names.open_key(facts.run), encode(opened), facts.opened)
