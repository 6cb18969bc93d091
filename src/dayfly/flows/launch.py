"""The launcher's flow: an event in, its run opened and walked as far as it goes now. Ends no server.

Delivered twice, late or twenty times at once: the run's name is the identity, every write is first-writer-wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from dayfly.core import claim, names
from dayfly.core.event import Wish
from dayfly.core.facts import Facts, KeptOpen
from dayfly.core.records import Claim, Opened, decode, encode
from dayfly.errors import NotFoundError
from dayfly.flows.calls import Flow, Get, Now, PutNew, Say, ask
from dayfly.flows.gather import gather, record
from dayfly.flows.place import Place
from dayfly.flows.walk import Walked, walk

SECONDS_AHEAD = 60
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
    """A run by hand gets the present second, or the next that no other wish has."""
    now = yield from ask(Now())
    first = now.replace(microsecond=0)
    for ahead in range(SECONDS_AHEAD):
        run = names.RunName(wish.job, first + timedelta(seconds=ahead))
        there = yield from record(Claim, names.claim_key(run))
        if there is not None and there.request != wish.request:
            continue
        stored = yield from ask(Get(names.open_key(run)))
        if stored is not None and decode(Opened, stored.body).request != wish.request:
            continue
        done = yield from _tick(replace(wish, tick=run.tick), run, place)
        if done.walked is not None:
            facts = done.walked.facts
            won = facts.claim.request if facts.claim else facts.opened.record.request if facts.opened else ""
            if won != wish.request:
                continue
        return done
    raise NotFoundError(
        f"{wish.job} was started by hand {SECONDS_AHEAD} times within a minute", hint="try again in a minute"
    )


def _retry(wish: Wish, run: names.RunName, place: Place) -> Flow[Launched]:
    """Another attempt of a finished run: its open key again, naming the attempt."""
    facts = yield from gather(run)
    now = yield from ask(Now())
    again = facts.opened is not None and facts.opened.record.request == wish.request
    if not again:
        _refuse_retry(run, facts)
        attempt = facts.attempt
        assert facts.claim is not None
        assert attempt is not None
        version = claim.in_force(facts.versions, now)
        if not wish.same_code and (version is None or version.job is None):
            raise NotFoundError(
                f"{run.job} is not deployed any more", hint=f"dayfly retry {run} --same-code runs it as it was"
            )
        opened = Opened(
            run=str(run),
            source=facts.claim.source,
            at=now,
            request=wish.request,
            by=wish.by,
            retry=attempt.number + 1,
            same_code=wish.same_code,
        )
        yield from ask(PutNew(names.open_key(run), encode(opened)))
    return (yield from _walked(run, place))


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
