"""The launcher's flow: opens the run that an event asks for and walks it as far as possible now. It ends no server.

An event may be delivered late, twice, or many times at once. The run's name is its identity, and the first write wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count, islice

from dayfly.core import claim, names, ticks
from dayfly.core.advance import next_step
from dayfly.core.claim import run_again
from dayfly.core.event import LaunchAt, LaunchNow, LaunchRequest, Retry
from dayfly.core.facts import Facts, NoAttempt, NotStored, Unreadable, WithEtag
from dayfly.core.model import Deployed
from dayfly.core.reasons import Source
from dayfly.core.record_json import encode
from dayfly.core.records import Claim, Elected, Opened, Requested, Sent
from dayfly.errors import NotFoundError
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.backfill import backfill
from dayfly.flows.calls import Flow, List, Log, Now, PutNew, ask
from dayfly.flows.gather import attempt_numbers, gather
from dayfly.flows.outcome import write_over
from dayfly.flows.steps import UNREAD
from dayfly.flows.walk import WalkResult, walk, walk_from

MAX_SECONDS_TRIED = 50
"""A run by hand is named by its second. When that is taken it tries the next ones, up to this many."""


@dataclass(frozen=True)
class Rejected:
    """The event names no tick of the job, so nothing was opened."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """The event was delivered before, and the job was sent to this server."""

    run: names.RunName
    claim: Claim
    attempt: int
    server: str


LaunchResult = WalkResult | Delivered | Rejected


def launch(wanted: LaunchRequest, actor: Actor) -> Flow[LaunchResult]:
    """Return the flow that opens the run and walks it. It raises NotFoundError when a person names what does not exist."""
    match wanted:
        case Retry():
            return _retry(wanted, actor)
        case LaunchAt(source=Source.BACKFILL):
            return backfill(wanted, actor)
        case LaunchAt():
            return _launch_tick(wanted, actor)
        case LaunchNow():
            return _launch_by_hand(wanted, actor)


def _launch_tick(wanted: LaunchAt, actor: Actor) -> Flow[LaunchResult]:
    """Open the run and walk it. Reads little when nobody else was there, and little when its job was sent already."""
    run = names.RunName(wanted.job, wanted.tick)
    keys = yield from ask(List(names.run_prefix(run)))
    if names.claim_key(run) in keys:
        return (yield from _delivered_again(run, keys, actor))
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
    versions = yield from read.in_force(run.job, claim.decided_at(opened, run.tick, now))
    facts = Facts(run=run, opened=WithEtag(record=opened, etag=UNREAD), versions=versions)
    why = claim.why_rejected(facts, opened, now, actor.zones)
    if why:
        return (yield from _reject(wanted, run, why, actor))
    if (yield from ask(PutNew(names.open_key(run), encode(opened)))):
        facts = replace(facts, paused=(yield from read.paused(facts)))
        return (yield from walk_from(facts, actor))
    return (yield from walk(run, actor))


def _delivered_again(run: names.RunName, keys: tuple[str, ...], actor: Actor) -> Flow[LaunchResult]:
    """Return what became of a run that has a claim. Once its job was sent, the steps that are left are the sweeper's."""
    for number in attempt_numbers(run, keys)[-1:]:
        if names.attempt_key(run, number, Sent.file) not in keys:
            continue
        match (yield from read.claim(run, keys)), (yield from read.election(run, number)):
            case Claim() as claimed, Elected(server=server):
                return Delivered(run=run, claim=claimed, attempt=number, server=server)
    return (yield from walk(run, actor))


def _reject(wanted: LaunchAt, run: names.RunName, why: str, actor: Actor) -> Flow[LaunchResult]:
    """Answer an event that names no tick. A run that an earlier event opened goes on, whatever was deployed since."""
    if (yield from read.exists(names.open_key(run))):
        return (yield from walk(run, actor))
    yield from ask(Log(f"{run}: rejected", {"why": why, "source": wanted.source}))
    if wanted.source == Source.HAND:
        raise NotFoundError(f"{run} cannot run: {why}")
    return Rejected(why)


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
        if isinstance(result, Rejected) or _request_of(result) == wanted.request:
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
    """Return the record under this key. When there is none, write the fresh one and return it.

    Raises NotFoundError when it cannot be read: another run might be the second one for this request.
    """
    stored = yield from _requested(key)
    if isinstance(stored, NotStored) and not (yield from ask(PutNew(key, encode(fresh)))):
        stored = yield from _requested(key)
    if isinstance(stored, NotStored):
        return fresh
    return stored


def _requested(key: str) -> Flow[Requested | NotStored]:
    """Return what a request got. Raises NotFoundError when the record cannot be read."""
    match (yield from read.record(Requested, key)):
        case Unreadable() as unreadable:
            raise NotFoundError(f"which run this request got is unknown: {unreadable}", hint="dayfly runs")
        case requested:
            return requested


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
        case Unreadable(key=key):
            return key  # no request has this name
    match (yield from read.record(Opened, names.open_key(run))):
        case Opened(request=request):
            return request
        case Unreadable(key=key):
            return key
    return ""


def _request_of(result: WalkResult | Delivered) -> str:
    if isinstance(result, Delivered):
        return result.claim.request
    match result.facts.claim, result.facts.opened:
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
    requested = yield from _requested(key)
    if isinstance(requested, NotStored):
        last = _last_attempt(run, facts, now)
        yield from _refuse_removed(wanted, now)
        requested = yield from _write_once(key, Requested(run=str(run), attempt=last + 1, at=now))
    number = requested.attempt or 0
    if claim.asked_for(facts, number) == "":
        yield from _open_again(wanted, facts, number, now)
        facts = yield from gather(run)
    if isinstance(facts.claim, NotStored):  # removed meanwhile; the next sweep removes what this retry wrote
        raise _no_such(run)
    if claim.asked_for(facts, number) != wanted.request:
        raise NotFoundError(
            f"another request got attempt {number} of {run} first",
            hint=f"dayfly show {run}; retry again when it is over",
        )
    return (yield from walk_from(facts, actor))


def _open_again(wanted: Retry, facts: Facts, number: int, now: datetime) -> Flow[None]:
    """Open the run for this attempt, unless another process opened it first."""
    match facts.claim:
        case Claim(source=source):
            opened = Opened(
                run=str(facts.run),
                source=source,
                at=now,
                request=wanted.request,
                by=wanted.by,
                retry=number,
                same_code=wanted.same_code,
            )
            yield from write_over(names.open_key(facts.run), encode(opened), facts.opened)


def _last_attempt(run: names.RunName, facts: Facts, now: datetime) -> int:
    """Return the number of the attempt that is over. Raises NotFoundError when there is none to retry.

    A run of which people must still be told is over.
    """
    claim = facts.claim
    if isinstance(claim, NotStored):
        raise _no_such(run)
    if isinstance(claim, Unreadable):
        raise NotFoundError(f"{run} cannot be retried: {claim}", hint=f"dayfly run {run.job}")
    if facts.is_open and not next_step(facts, now).settled:
        raise NotFoundError(f"{run} is not over yet: wait for its end, or cancel it", hint=f"dayfly show {run}")
    if isinstance(facts.attempt, NoAttempt):
        raise NotFoundError(f"{run} never had a server ({claim.decision}: {claim.why})", hint=run_again(run, claim))
    return facts.attempt.number


def _no_such(run: names.RunName) -> NotFoundError:
    return NotFoundError(f"there is no run {run}", hint=f"dayfly runs {run.job}")


def _refuse_removed(wanted: Retry, now: datetime) -> Flow[None]:
    """Raise NotFoundError when a retry needs the deployed version of its job and there is none."""
    if wanted.same_code:
        return
    newest = ticks.in_force((yield from read.in_force(wanted.run.job, now)), now)
    if isinstance(newest, Unreadable):
        raise NotFoundError(f"{wanted.run} cannot be retried: {newest}", hint="dayfly deploy")
    if not isinstance(newest, Deployed):
        raise NotFoundError(
            f"{wanted.run.job} is no longer deployed",
            hint=f"dayfly retry {wanted.run} --same-code runs it as it was",
        )
