"""The launcher's flow: an event in, its run opened and walked as far as it goes now. Ends no server.

Delivered twice, late or twenty times at once: the run's name is the identity, every write is first-writer-wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from dayfly.core import claim, names
from dayfly.core.event import Wish
from dayfly.core.facts import Facts, KeptOpen
from dayfly.core.records import Claim, Opened, Wished, decode, encode
from dayfly.errors import NotFoundError
from dayfly.flows.calls import Flow, Get, Now, PutNew, Say, ask
from dayfly.flows.gather import gather, record
from dayfly.flows.place import Place
from dayfly.flows.walk import Walked, walk

CANDIDATES = 50
"""A run by hand in a taken second takes the next; so many runs by hand of one job within a minute are refused."""


@dataclass(frozen=True)
class Launched:
    """What became of an event. `run` is None when it was refused; `why` says in words."""

    run: names.RunName | None
    why: str
    walked: Walked | None = None


def launch(wish: Wish, place: Place) -> Flow[Launched]:
    """Opens the run that the event wants and walks it. Raises NotFoundError when a human names what is not there."""
    if wish.retry is not None:
        return (yield from _retry(wish, wish.retry, place))
    if wish.tick is not None:
        return (yield from _tick(wish, names.RunName(wish.job, wish.tick), place))
    return (yield from _by_hand(wish, place))


def _tick(wish: Wish, run: names.RunName, place: Place) -> Flow[Launched]:
    now = yield from ask(Now())
    opened = Opened(
        run=str(run),
        source=wish.source,
        at=now,
        request=wish.request,
        by=wish.by,
        env=wish.env,
        publish=wish.publish,
    )
    facts = yield from gather(run)
    if facts.claim is None and facts.opened is None:
        refused = claim.refusal(_as_opened(facts, opened), now, place.zones)
        if refused:
            yield from ask(Say(f"{run}: refused", {"why": refused, "source": wish.source}))
            if wish.source == "hand":
                raise NotFoundError(f"{run} can not run: {refused}")
            return Launched(None, refused)
        yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from _walked(run, place))


def _by_hand(wish: Wish, place: Place) -> Flow[Launched]:
    """A run by hand gets the present second, or the next that no other wish and no tick can have.

    Each candidate is written down under the wish before it is tried, so that the wish delivered again tries the same ones.
    """
    now = yield from ask(Now())
    for number in range(CANDIDATES):
        key = names.wish_key(wish.request, number)
        stored = yield from ask(Get(key))
        if stored is None:
            fresh = Wished(run=str(names.RunName(wish.job, _by_hand_second(now, number))), attempt=None, at=now)
            yield from ask(PutNew(key, encode(fresh)))
            stored = yield from ask(Get(key))
            assert stored is not None
        run = names.run_name(decode(Wished, stored.body).run)
        if (yield from _is_anothers(run, wish.request)):
            continue
        done = yield from _tick(replace(wish, tick=run.tick), run, place)
        if done.walked is None or _wished_by(done.walked.facts) == wish.request:
            return done
    raise NotFoundError(
        f"{wish.job} was started by hand {CANDIDATES} times within a minute", hint="try again in a minute"
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


def _retry(wish: Wish, run: names.RunName, place: Place) -> Flow[Launched]:
    """Another attempt of a finished run: its open key again, naming the attempt that this wish got."""
    facts = yield from gather(run)
    now = yield from ask(Now())
    key = names.wish_key(wish.request, 0)
    wished = yield from record(Wished, key)
    if wished is None:
        _refuse_retry(run, facts)
        _refuse_removed(run, facts, wish, now)
        assert facts.attempt is not None
        fresh = Wished(run=str(run), attempt=facts.attempt.number + 1, at=now)
        yield from ask(PutNew(key, encode(fresh)))
        wished = (yield from record(Wished, key)) or fresh
    made = facts.attempt is not None and facts.attempt.number >= (wished.attempt or 0)
    if not made and facts.opened is None:
        assert facts.claim is not None
        opened = Opened(
            run=str(run),
            source=facts.claim.source,
            at=now,
            request=wish.request,
            by=wish.by,
            retry=wished.attempt,
            same_code=wish.same_code,
        )
        yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from _walked(run, place))


def _refuse_removed(run: names.RunName, facts: Facts, wish: Wish, now: datetime) -> None:
    version = claim.in_force(facts.versions, now)
    if not wish.same_code and (version is None or version.job is None):
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


def _walked(run: names.RunName, place: Place) -> Flow[Launched]:
    walked = yield from walk(run, place)
    return Launched(run, walked.step.reason, walked)


def _as_opened(facts: Facts, opened: Opened) -> Facts:
    return replace(facts, opened=KeptOpen(etag="", record=opened))
