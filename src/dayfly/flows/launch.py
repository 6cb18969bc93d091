"""The launcher's flow: opens the run that an event asks for and walks it as far as possible now. Ends no server.

An event may be delivered twice, late, or twenty times at once: the run's name is its identity, and the first write wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dayfly.core import claim, names, ticks
from dayfly.core.event import LaunchRequest
from dayfly.core.facts import Facts, Kept, NoAttempt, NotStored
from dayfly.core.model import Deployed
from dayfly.core.records import Claim, Opened, Requested, Source, encode
from dayfly.errors import NotFoundError
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Log, Now, PutNew, ask
from dayfly.flows.gather import gather
from dayfly.flows.walk import Walked, walk

CANDIDATES = 50
"""A run by hand in a taken second takes the next one; more runs by hand of one job in a minute are refused."""


@dataclass(frozen=True)
class Rejected:
    """The event names no tick of the job, so nothing was opened."""

    why: str


LaunchResult = Walked | Rejected


def launch(asked: LaunchRequest, actor: Actor) -> Flow[LaunchResult]:
    """Opens the run that the event asks for and walks it. Raises NotFoundError when a person names what does not exist."""
    if asked.retry is not None:
        return (yield from _retry(asked, asked.retry, actor))
    if asked.tick is not None:
        return (yield from _tick(asked, names.RunName(asked.job, asked.tick), actor))
    return (yield from _by_hand(asked, actor))


def _tick(asked: LaunchRequest, run: names.RunName, actor: Actor) -> Flow[LaunchResult]:
    now = yield from ask(Now())
    opened = Opened(
        run=str(run),
        source=asked.source,
        at=now,
        request=asked.request,
        by=asked.by,
        env=asked.env,
        publish=asked.publish,
    )
    facts = yield from gather(run)
    if isinstance(facts.claim, NotStored) and not facts.is_open:
        why = claim.why_rejected(facts, opened, now, actor.zones)
        if why:
            yield from ask(Log(f"{run}: rejected", {"why": why, "source": asked.source}))
            if asked.source == Source.HAND:
                raise NotFoundError(f"{run} cannot run: {why}")
            return Rejected(why)
        yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from walk(run, actor))


# --- by hand ------------------------------------------------------------------------------------------------------------


def _by_hand(asked: LaunchRequest, actor: Actor) -> Flow[LaunchResult]:
    """A run by hand gets the present second, or the next that neither another request nor a tick has.

    Each candidate is recorded under the request before it is tried, so that a second delivery tries the same ones.
    """
    now = yield from ask(Now())
    for number in range(CANDIDATES):
        second = _nth_second(now, number)
        fresh = Requested(run=str(names.RunName(asked.job, second)), attempt=None, at=now)
        requested = yield from _first(names.request_key(asked.request, number), fresh)
        run = names.run_name(requested.run)
        if (yield from _request_behind(run)) not in ("", asked.request):
            continue
        result = yield from _tick(replace(asked, tick=run.tick), run, actor)
        if isinstance(result, Rejected) or _requested_by(result.facts) == asked.request:
            return result
    raise NotFoundError(
        f"{asked.job} was started by hand {CANDIDATES} times within a minute", hint="try again in a minute"
    )


def _first(key: str, fresh: Requested) -> Flow[Requested]:
    """The record under this key: the one that is there, or else the fresh one, now written."""
    match (yield from read.record(Requested, key)):
        case Requested() as there:
            return there
    if (yield from ask(PutNew(key, encode(fresh)))):
        return fresh
    match (yield from read.record(Requested, key)):
        case Requested() as there:
            return there
    return fresh


def _nth_second(now: datetime, number: int) -> datetime:
    """The n-th whole second from now that is not a whole minute: whole minutes belong to schedules."""
    second = now.replace(microsecond=0)
    for _ in range(number + 1):
        while second.second == 0:
            second += timedelta(seconds=1)
        second += timedelta(seconds=1)
    return second - timedelta(seconds=1)


def _request_behind(run: names.RunName) -> Flow[str]:
    """The request that started a run; empty when there is no such run yet."""
    match (yield from read.record(Claim, names.claim_key(run))):
        case Claim(request=request):
            return request
    match (yield from read.record(Opened, names.open_key(run))):
        case Opened(request=request):
            return request
    return ""


def _requested_by(facts: Facts) -> str:
    match facts.claim, facts.opened:
        case (Claim(request=request), _) | (_, Kept(record=Opened(request=request))):
            return request
    return ""


# --- another attempt ----------------------------------------------------------------------------------------------------


def _retry(asked: LaunchRequest, run: names.RunName, actor: Actor) -> Flow[LaunchResult]:
    """Another attempt of a finished run: opens it again, naming the attempt that this request got."""
    facts = yield from gather(run)
    now = yield from ask(Now())
    key = names.request_key(asked.request, 0)
    requested = yield from read.record(Requested, key)
    if isinstance(requested, NotStored):
        last = _last_attempt(run, facts)
        _refuse_removed(run, facts, asked, now)
        requested = yield from _first(key, Requested(run=str(run), attempt=last + 1, at=now))
    begun = bool(facts.attempts) and facts.attempt.number >= (requested.attempt or 0)
    match facts.claim:
        case Claim(source=source) if not (facts.is_open or begun):
            opened = Opened(
                run=str(run),
                source=source,
                at=now,
                request=asked.request,
                by=asked.by,
                retry=requested.attempt,
                same_code=asked.same_code,
            )
            yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from walk(run, actor))


def _last_attempt(run: names.RunName, facts: Facts) -> int:
    """The number of the attempt that is over. Raises NotFoundError when there is none to retry."""
    claim = facts.claim
    if isinstance(claim, NotStored):
        raise NotFoundError(f"there is no run {run}", hint=f"dayfly runs {run.job}")
    if facts.is_open:
        raise NotFoundError(f"{run} is not over: its attempt is going on", hint=f"dayfly show {run}")
    if isinstance(facts.attempt, NoAttempt):
        raise NotFoundError(f"{run} never had a server ({claim.decision}: {claim.why})", hint=f"dayfly run {run.job}")
    return facts.attempt.number


def _refuse_removed(run: names.RunName, facts: Facts, asked: LaunchRequest, now: datetime) -> None:
    if not asked.same_code and not isinstance(ticks.in_force(facts.versions, now), Deployed):
        raise NotFoundError(
            f"{run.job} is no longer deployed", hint=f"dayfly retry {run} --same-code runs it as it was"
        )
