"""Take: each step of a run, done. One function per row of core/advance.py's table; each safe to do twice and safe to lose.

No rule lives here: what to write was decided by core, who may do what is flows/actor.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dayfly.core import claim, names, receipt, request, verdict
from dayfly.core.advance import State, Step, to_disarm
from dayfly.core.facts import Attempt, Facts, Server
from dayfly.core.model import Version
from dayfly.core.records import Absent, Elected, EndOrder, Latest, Slot, SpotRefused, encode
from dayfly.errors import Unclear
from dayfly.flows.actor import Actor
from dayfly.flows.calls import (
    Arm,
    Console,
    CreateFleet,
    Delete,
    Disarm,
    EndServer,
    FleetServers,
    Flow,
    PutMatch,
    PutNew,
    SignGet,
    ask,
)

LINK_SECONDS = 900
"""Longer than an agent waits for its go (10 min), shorter than any session of the launcher's role."""
KILL_AFTER = timedelta(minutes=1)
"""The kill schedule fires that long after the deadline, so that in the usual case the agent or the switch was first."""

Taken = tuple[Server, ...]
"""Servers that EC2 named in its answer and may not list yet."""


def take(step: Step, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    """Does one step. Raises Unclear when nobody knows whether it happened: then it is done again, by anyone."""
    return (yield from _TAKE[step.state](step, facts, actor, now))


def _take_slot(_step: Step, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    body = encode(Slot(holder=str(facts.run), at=now))
    if facts.slot is None:
        yield from ask(PutNew(names.slot_key(facts.run.job), body))
    else:
        yield from ask(PutMatch(names.slot_key(facts.run.job), body, facts.slot.etag))
    return ()


def _decide(_step: Step, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    yield from ask(PutNew(names.claim_key(facts.run), encode(claim.decide(facts, now))))
    return ()


def _intend(step: Step, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    wished = facts.opened.record.request if facts.opened else ""
    version = _version(facts, now)
    intent = request.intent(facts.run, step.attempt, version, actor.project, actor.bucket, now, wished)
    yield from ask(PutNew(names.attempt_key(facts.run, step.attempt, "intent"), encode(intent)))
    return ()


def _version(facts: Facts, now: datetime) -> Version:
    """The claim's for the first attempt; for a retry what is deployed now, or with `same_code` what the last attempt had."""
    assert facts.claim is not None
    last, opened = facts.attempt, facts.opened.record if facts.opened else None
    key = last.intent.version if last else facts.claim.version
    if last is not None and not (opened and opened.same_code):
        newest = claim.in_force(facts.versions, now)
        if newest is not None and newest.job is not None:
            return newest
    found = facts.version(key or "")
    if found is None:
        raise ValueError(f"{facts.run}: its version {key} is not in the bucket")
    return found


def _ask_ec2(step: Step, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    attempt = _newest(facts)
    answer = yield from ask(CreateFleet(attempt.intent.requests[step.market]))
    if not answer.refused:
        if answer.servers:
            return answer.servers
        return (yield from _replayed(answer.fleet, attempt.intent.requests[step.market]))
    last = step.market == attempt.intent.markets[-1]
    if not last:
        body = encode(SpotRefused(at=now, errors=answer.errors))
        yield from ask(PutNew(names.attempt_key(facts.run, step.attempt, "spot-refused"), body))
        return ()
    both = (*(attempt.spot_refused.errors if attempt.spot_refused else ()), *answer.errors)
    # What decides is the last market asked: on-demand's refusal, or spot's where only spot was allowed.
    reason = verdict.refused_because(answer.errors)
    none = Elected(at=now, server=None, reason=reason, detail=verdict.errors_text(both), errors=both)
    yield from ask(PutNew(names.attempt_key(facts.run, step.attempt, "server"), encode(none)))
    return ()


def _replayed(fleet: str | None, request: Mapping[str, Any]) -> Flow[Taken]:
    """An answer with neither server nor error: the token was known. The fleet's own record names its servers.

    Raises Unclear when nothing names one: it may exist, so it is asked for again later and never twice in one walk.
    """
    found = (yield from ask(FleetServers(fleet, request))) if fleet is not None else ()
    if not found:
        raise Unclear("EC2 knows this request and names no server of it yet", hint="the same again, in a minute")
    return found


def _elect_none(step: Step, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    attempt = _newest(facts)
    errors = attempt.spot_refused.errors if attempt.spot_refused else ()
    reason, detail = {
        "cancelled": ("cancelled", "cancelled before a server was there"),
        "unanswered": ("unknown", "EC2 gave no clear answer within 5 minutes; nobody asks again"),
    }.get(step.reason, (verdict.refused_because(errors), verdict.errors_text(errors)))
    none = Elected(at=now, server=None, reason=reason, detail=detail, errors=errors)
    yield from ask(PutNew(names.attempt_key(facts.run, step.attempt, "server"), encode(none)))
    return ()


def _arm(step: Step, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    assert step.server is not None
    yield from ask(Arm(step.server.id, _newest(facts).intent.deadline + KILL_AFTER))
    return (step.server,)


def _elect(step: Step, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    server = step.server
    assert server is not None
    one = Elected(
        at=now,
        server=server.id,
        reason=step.reason,
        type=server.type or None,
        zone=server.zone or None,
        market=server.market or None,
        image=server.image or None,
        launched=server.launched,
    )
    yield from ask(PutNew(names.attempt_key(facts.run, step.attempt, "server"), encode(one)))
    return (server,)


def _go(step: Step, facts: Facts, actor: Actor, _now: datetime) -> Flow[Taken]:
    attempt, server = _newest(facts), step.server
    assert server is not None
    assert facts.claim is not None
    version = facts.version(attempt.intent.version)
    if version is None or version.job is None:
        raise ValueError(f"{facts.run}: its version {attempt.intent.version} is not in the bucket")
    link = (
        (yield from ask(SignGet(version.code.bundle, LINK_SECONDS))) if version.code and version.code.bundle else None
    )
    day = facts.run.tick.astimezone(actor.zones(version.job.timezone)).date().isoformat()
    body = request.go(facts.run, version, attempt.intent, server.id, link, day, actor.region, facts.claim.env)
    key = names.go_key(attempt.intent.role_id, server.id)
    yield from ask(PutNew(key, json.dumps(body, sort_keys=True, ensure_ascii=False).encode()))
    return (server,)


def _end(step: Step, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    assert step.server is not None
    order = EndOrder(at=now, by=actor.who, why=step.reason, server=step.server.id)
    yield from ask(PutNew(names.attempt_key(facts.run, step.attempt, "end"), encode(order)))
    yield from ask(EndServer(step.server.id))
    return ()


def _look_again(step: Step, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    elected = _newest(facts).elected
    assert elected is not None
    assert elected.server is not None
    body, key = encode(Absent(at=now, server=elected.server)), names.attempt_key(facts.run, step.attempt, "absent")
    before = _newest(facts).absent
    yield from ask(PutMatch(key, body, before.etag) if before else PutNew(key, body))
    return ()


def _close(step: Step, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    attempt = _newest(facts)
    console: tuple[str, ...] = ()
    if attempt.ended is None and attempt.server is not None:
        console = yield from ask(Console(attempt.server.id))
    closed = verdict.close(attempt, facts.cancel, console, now, actor.who)
    yield from ask(PutNew(names.attempt_key(facts.run, step.attempt, "closed"), encode(closed)))
    return ()


def _receipt(step: Step, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    body = json.dumps(receipt.build(facts, _newest(facts)), sort_keys=True, ensure_ascii=False, indent=1)
    yield from ask(PutNew(names.attempt_key(facts.run, step.attempt, "receipt"), body.encode()))
    return ()


def _move_latest(_step: Step, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    attempt = _newest(facts)
    assert attempt.ended is not None
    assert attempt.closed is not None
    assert attempt.closed.server is not None
    prefix = names.out_prefix(facts.run, attempt.number, attempt.intent.role_id, attempt.closed.server)
    latest = Latest(
        run=str(facts.run), attempt=attempt.number, at=now, prefix=prefix + "output/", outputs=attempt.ended.outputs
    )
    key = names.latest_key(facts.run.job)
    if facts.latest is None:
        yield from ask(PutNew(key, encode(latest)))
    else:
        yield from ask(PutMatch(key, encode(latest), facts.latest.etag))
    return ()


def _free_slot(_step: Step, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    assert facts.slot is not None
    yield from ask(PutMatch(names.slot_key(facts.run.job), encode(Slot(holder=None, at=now)), facts.slot.etag))
    return ()


def _mark_done(step: Step, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    assert facts.claim is not None
    attempt = facts.attempt
    closed = attempt.closed if attempt and step.attempt else None
    outcome = closed.outcome if closed else facts.claim.decision
    yield from ask(PutNew(names.done_key(facts.run, step.attempt, outcome), b""))
    return ()


def _disarm(_step: Step, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    for attempt in facts.attempts:
        for server in to_disarm(attempt):
            yield from ask(Disarm(server))
    return ()


def _forget(_step: Step, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    assert facts.opened is not None
    yield from ask(Delete(names.open_key(facts.run), facts.opened.etag))
    return ()


def _newest(facts: Facts) -> Attempt:
    assert facts.attempt is not None
    return facts.attempt


_TAKE: dict[State, Callable[[Step, Facts, Actor, datetime], Flow[Taken]]] = {
    State.UNSLOTTED: _take_slot,
    State.UNDECIDED: _decide,
    State.UNINTENDED: _intend,
    State.UNASKED: _ask_ec2,
    State.SERVERLESS: _elect_none,
    State.UNARMED: _arm,
    State.UNELECTED: _elect,
    State.UNSENT: _go,
    State.UNWANTED: _end,
    State.UNSEEN: _look_again,
    State.SERVER_GONE: _close,
    State.UNRECEIPTED: _receipt,
    State.LATEST_BEHIND: _move_latest,
    State.SLOT_HELD: _free_slot,
    State.UNMARKED: _mark_done,
    State.STILL_ARMED: _disarm,
    State.STILL_OPEN: _forget,
}
