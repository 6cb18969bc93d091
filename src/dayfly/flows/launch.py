"""The launcher's flow: opens the run that an event asks for and walks it as far as possible now. It ends no server.

An event may be delivered late, twice, or many times at once. The run's name is its identity, and the first write wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice

from dayfly.core import claim, names, ticks
from dayfly.core.event import LaunchAt, LaunchNow, LaunchRequest, Retry
from dayfly.core.facts import Facts, NoAttempt, NotStored, WithEtag
from dayfly.core.model import Deployed
from dayfly.core.records import Claim, Opened, Requested, Source, encode
from dayfly.errors import NotFoundError
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Log, Now, PutNew, ask
from dayfly.flows.gather import gather
from dayfly.flows.walk import WalkResult, walk

MAX_SECONDS_TRIED = 50
"""A run by hand is named by its second. When that is taken it tries the next ones, up to this many."""


@dataclass(frozen=True)
class Rejected:
    """The event names no tick of the job, so nothing was opened."""

    why: str


LaunchResult = WalkResult | Rejected


def launch(wanted: LaunchRequest, actor: Actor) -> Flow[LaunchResult]:
    """Open the run that the event asks for and walk it. Raises NotFoundError when a person names what does not exist."""
    match wanted:
        case Retry():
            return (yield from _retry(wanted, actor))
        case LaunchAt():
            return (yield from _launch_tick(wanted, actor))
        case LaunchNow():
            return (yield from _launch_by_hand(wanted, actor))


def _launch_tick(wanted: LaunchAt, actor: Actor) -> Flow[LaunchResult]:
    run = names.RunName(wanted.job, wanted.tick)
    now = yield from ask(Now())
    opened = Opened(
        run=str(run),
        source=wanted.source,
        at=now,
        request=wanted.request,
        by=wanted.by,
        env=wanted.env,
        publish=wanted.publish,
    )
    facts = yield from gather(run)
    if isinstance(facts.claim, NotStored) and not facts.is_open:
        why = claim.why_rejected(facts, opened, now, actor.zones)
        if why:
            yield from ask(Log(f"{run}: rejected", {"why": why, "source": wanted.source}))
            if wanted.source == Source.HAND:
                raise NotFoundError(f"{run} cannot run: {why}")
            return Rejected(why)
        yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from walk(run, actor))


# --- by hand ------------------------------------------------------------------------------------------------------------


def _launch_by_hand(wanted: LaunchNow, actor: Actor) -> Flow[LaunchResult]:
    """Launch a run in the current second, or in the next one that neither another request nor a tick has.

    Each second is recorded under the request before it is tried, so that a second delivery tries the same seconds.
    """
    now = yield from ask(Now())
    for number, second in enumerate(islice(_seconds(now), MAX_SECONDS_TRIED)):
        fresh = Requested(run=str(names.RunName(wanted.job, second)), attempt=None, at=now)
        requested = yield from _write_once(names.request_key(wanted.request, number), fresh)
        run = names.run_name(requested.run)
        if (yield from _stored_request(run)) not in ("", wanted.request):
            continue
        result = yield from _launch_tick(_at(run.tick, wanted), actor)
        if isinstance(result, Rejected) or _request_of(result.facts) == wanted.request:
            return result
    raise NotFoundError(
        f"{wanted.job} was started by hand {MAX_SECONDS_TRIED} times within a minute", hint="try again in a minute"
    )


def _at(tick: datetime, wanted: LaunchNow) -> LaunchAt:
    return LaunchAt(
        job=wanted.job,
        tick=tick,
        source=Source.HAND,
        request=wanted.request,
        by=wanted.by,
        env=wanted.env,
        publish=wanted.publish,
    )


def _write_once(key: str, fresh: Requested) -> Flow[Requested]:
    """Return the record under this key. When there is none, write the fresh one and return it."""
    match (yield from read.record(Requested, key)):
        case Requested() as stored:
            return stored
    if (yield from ask(PutNew(key, encode(fresh)))):
        return fresh
    match (yield from read.record(Requested, key)):
        case Requested() as stored:
            return stored
    return fresh


def _seconds(now: datetime) -> Iterator[datetime]:
    """Yield the seconds from now on, without whole minutes: those belong to schedules."""
    for number in count():
        second = now.replace(microsecond=0) + timedelta(seconds=number)
        if second.second != 0:
            yield second


def _stored_request(run: names.RunName) -> Flow[str]:
    """Return the request that started a run, from the bucket; empty when there is no such run yet."""
    match (yield from read.record(Claim, names.claim_key(run))):
        case Claim(request=request):
            return request
    match (yield from read.record(Opened, names.open_key(run))):
        case Opened(request=request):
            return request
    return ""


def _request_of(facts: Facts) -> str:
    match facts.claim, facts.opened:
        case (Claim(request=request), _) | (_, WithEtag(record=Opened(request=request))):
            return request
    return ""


# --- another attempt ----------------------------------------------------------------------------------------------------


def _retry(wanted: Retry, actor: Actor) -> Flow[LaunchResult]:
    """Open a finished run again for another attempt, the one that this request got, and walk it."""
    run = wanted.run
    facts = yield from gather(run)
    now = yield from ask(Now())
    key = names.request_key(wanted.request, 0)
    requested = yield from read.record(Requested, key)
    if isinstance(requested, NotStored):
        last = _last_attempt(run, facts)
        _refuse_removed(facts, wanted, now)
        requested = yield from _write_once(key, Requested(run=str(run), attempt=last + 1, at=now))
    begun = bool(facts.attempts) and facts.attempt.number >= (requested.attempt or 0)
    match facts.claim:
        case Claim(source=source) if not (facts.is_open or begun):
            opened = Opened(
                run=str(run),
                source=source,
                at=now,
                request=wanted.request,
                by=wanted.by,
                retry=requested.attempt,
                same_code=wanted.same_code,
            )
            yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from walk(run, actor))


def _last_attempt(run: names.RunName, facts: Facts) -> int:
    """Return the number of the attempt that is over. Raises NotFoundError when there is none to retry."""
    claim = facts.claim
    if isinstance(claim, NotStored):
        raise NotFoundError(f"there is no run {run}", hint=f"dayfly runs {run.job}")
    if facts.is_open:
        raise NotFoundError(f"{run} is not over yet: wait for its end, or cancel it", hint=f"dayfly show {run}")
    if isinstance(facts.attempt, NoAttempt):
        raise NotFoundError(f"{run} never had a server ({claim.decision}: {claim.why})", hint=f"dayfly run {run.job}")
    return facts.attempt.number


def _refuse_removed(facts: Facts, wanted: Retry, now: datetime) -> None:
    if not wanted.same_code and not isinstance(ticks.in_force(facts.versions, now), Deployed):
        raise NotFoundError(
            f"{wanted.run.job} is no longer deployed",
            hint=f"dayfly retry {wanted.run} --same-code runs it as it was",
        )
