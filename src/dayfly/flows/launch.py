"""The launcher's flow: an event in, its run opened and walked as far as it goes now. Ends no server.

Delivered twice, late or twenty times at once: the run's name is the identity, every write is first-writer-wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dayfly.core import claim, names
from dayfly.core.event import LaunchRequest
from dayfly.core.facts import Facts, KeptOpen
from dayfly.core.records import Claim, Opened, Requested, decode, encode
from dayfly.errors import NotFoundError
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Get, Log, Now, PutNew, ask
from dayfly.flows.gather import gather, record
from dayfly.flows.walk import Walked, walk

CANDIDATES = 50
"""A run by hand in a taken second takes the next; so many runs by hand of one job within a minute are refused."""


@dataclass(frozen=True)
class Launched:
    """What became of an event. `run` is None when it was refused; `why` says in words."""

    run: names.RunName | None
    why: str
    walked: Walked | None = None


def launch(asked: LaunchRequest, actor: Actor) -> Flow[Launched]:
    """Opens the run that the event wants and walks it. Raises NotFoundError when a human names what is not there."""
    if asked.retry is not None:
        return (yield from _retry(asked, asked.retry, actor))
    if asked.tick is not None:
        return (yield from _tick(asked, names.RunName(asked.job, asked.tick), actor))
    return (yield from _by_hand(asked, actor))


def _tick(asked: LaunchRequest, run: names.RunName, actor: Actor) -> Flow[Launched]:
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
    if facts.claim is None and facts.opened is None:
        refused = claim.refusal(_as_opened(facts, opened), now, actor.zones)
        if refused:
            yield from ask(Log(f"{run}: refused", {"why": refused, "source": asked.source}))
            if asked.source == "hand":
                raise NotFoundError(f"{run} can not run: {refused}")
            return Launched(None, refused)
        yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from _walked(run, actor))


def _by_hand(asked: LaunchRequest, actor: Actor) -> Flow[Launched]:
    """A run by hand gets the present second, or the next that no other wish and no tick can have.

    Each candidate is written down under the wish before it is tried, so that the wish delivered again tries the same ones.
    """
    now = yield from ask(Now())
    for number in range(CANDIDATES):
        key = names.request_key(asked.request, number)
        stored = yield from ask(Get(key))
        if stored is None:
            fresh = Requested(run=str(names.RunName(asked.job, _by_hand_second(now, number))), attempt=None, at=now)
            yield from ask(PutNew(key, encode(fresh)))
            stored = yield from ask(Get(key))
            assert stored is not None
        run = names.run_name(decode(Requested, stored.body).run)
        if (yield from _is_anothers(run, asked.request)):
            continue
        done = yield from _tick(replace(asked, tick=run.tick), run, actor)
        if done.walked is None or _wished_by(done.walked.facts) == asked.request:
            return done
    raise NotFoundError(
        f"{asked.job} was started by hand {CANDIDATES} times within a minute", hint="try again in a minute"
    )


def _by_hand_second(now: datetime, number: int) -> datetime:
    """The n-th whole second from now that is not a whole minute: those belong to schedules."""
    second = now.replace(microsecond=0)
    for _ in range(number + 1):
        while second.second == 0:
            second += timedelta(seconds=1)
        second += timedelta(seconds=1)
    return second - timedelta(seconds=1)


def _is_anothers(run: names.RunName, request: str) -> Flow[bool]:
    there = yield from record(Claim, names.claim_key(run))
    if there is not None:
        return there.request != request
    stored = yield from ask(Get(names.open_key(run)))
    return stored is not None and decode(Opened, stored.body).request != request


def _wished_by(facts: Facts) -> str:
    if facts.claim is not None:
        return facts.claim.request
    return facts.opened.record.request if facts.opened else ""


def _retry(asked: LaunchRequest, run: names.RunName, actor: Actor) -> Flow[Launched]:
    """Another attempt of a finished run: its open key again, naming the attempt that this wish got."""
    facts = yield from gather(run)
    now = yield from ask(Now())
    key = names.request_key(asked.request, 0)
    wished = yield from record(Requested, key)
    if wished is None:
        _refuse_retry(run, facts)
        _refuse_removed(run, facts, asked, now)
        assert facts.attempt is not None
        fresh = Requested(run=str(run), attempt=facts.attempt.number + 1, at=now)
        yield from ask(PutNew(key, encode(fresh)))
        wished = (yield from record(Requested, key)) or fresh
    made = facts.attempt is not None and facts.attempt.number >= (wished.attempt or 0)
    if not made and facts.opened is None:
        assert facts.claim is not None
        opened = Opened(
            run=str(run),
            source=facts.claim.source,
            at=now,
            request=asked.request,
            by=asked.by,
            retry=wished.attempt,
            same_code=asked.same_code,
        )
        yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from _walked(run, actor))


def _refuse_removed(run: names.RunName, facts: Facts, asked: LaunchRequest, now: datetime) -> None:
    version = claim.in_force(facts.versions, now)
    if not asked.same_code and (version is None or version.job is None):
        raise NotFoundError(
            f"{run.job} is not deployed any more", hint=f"dayfly retry {run} --same-code runs it as it was"
        )


def _refuse_retry(run: names.RunName, facts: Facts) -> None:
    if facts.claim is None:
        raise NotFoundError(f"there is no run {run}", hint=f"dayfly runs {run.job}")
    if facts.opened is not None:
        raise NotFoundError(f"{run} is not over: its attempt goes on", hint=f"dayfly show {run}")
    if facts.attempt is None:
        raise NotFoundError(
            f"{run} never had a server ({facts.claim.decision}: {facts.claim.why})", hint=f"dayfly run {run.job}"
        )


def _walked(run: names.RunName, actor: Actor) -> Flow[Launched]:
    walked = yield from walk(run, actor)
    return Launched(run, walked.step.reason, walked)


def _as_opened(facts: Facts, opened: Opened) -> Facts:
    return replace(facts, opened=KeptOpen(etag="", record=opened))
