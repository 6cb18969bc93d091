"""Takes a step: one function per kind of step. Each is safe to do twice and safe to lose.

Nothing is decided here: core/advance.py chose the step, and core builds what a step writes. flows/actor.py says who may take it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dayfly.core import election, names, request, step, verdict
from dayfly.core.facts import Facts, Kept, Launched, NotStored, RefusedLaunch, Replayed, Server
from dayfly.core.model import Deployed
from dayfly.core.records import (
    Absent,
    Closed,
    Elected,
    EndOrder,
    Intent,
    NoServer,
    Slot,
    SpotRefused,
    encode,
)
from dayfly.core.step import Step
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, ask

LINK_SECONDS = 900
"""The bundle's link is valid longer than an agent waits for go.json (10 min), shorter than a session of the launcher's role."""

Named = tuple[Server, ...]
"""Servers that EC2 named in an answer and may not list yet."""


def take(found: Step, facts: Facts, actor: Actor, now: datetime) -> Flow[Named]:
    """Takes one step. Raises Unclear when it is unknown whether it happened; the next walk repeats it."""
    return (yield from _TAKE[type(found)](found, facts, actor, now))


def _take_slot(found: step.TakeSlot, facts: Facts, _actor: Actor, now: datetime) -> Flow[Named]:
    body = encode(Slot(holder=str(facts.run), at=now))
    yield from _write_over(names.slot_key(facts.run.job), body, found.free)
    return ()


def _decide(found: step.Decide, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    yield from ask(calls.PutNew(names.claim_key(facts.run), encode(found.claim)))
    return ()


def _intend(found: step.Intend, facts: Facts, actor: Actor, now: datetime) -> Flow[Named]:
    version = _version(facts, found.version)
    intent = request.intent(facts.run, found.attempt, version, actor.project, actor.bucket, now, found.request)
    yield from _write(facts, found, intent)
    return ()


def _ask_ec2(found: step.AskEc2, facts: Facts, _actor: Actor, now: datetime) -> Flow[Named]:
    match (yield from ask(calls.CreateFleet(found.request))):
        case Launched(servers=servers):
            return servers
        case Replayed(fleet=fleet):
            return (yield from _replayed(fleet, found.request))
        case RefusedLaunch(errors=errors):
            yield from _write(facts, found, election.after_refusal(found, errors, now))
    return ()


def _replayed(fleet: str | None, fleet_request: Mapping[str, Any]) -> Flow[Named]:
    """The servers of a request that EC2 already knew, from DescribeFleets.

    Raises Unclear when EC2 names none: one may exist, so the same request is repeated later, but not in this walk.
    """
    servers: Named = ()
    if fleet is not None:
        servers = yield from ask(calls.FleetServers(fleet, fleet_request))
    if not servers:
        raise Unclear("EC2 knows this launch request and names no server of it yet", hint="try again in a minute")
    return servers


def _elect_none(found: step.ElectNone, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    yield from _write(facts, found, found.record)
    return ()


def _arm(found: step.Arm, _facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    yield from ask(calls.Arm(found.server.id, found.at))
    return (found.server,)


def _elect(found: step.Elect, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    yield from _write(facts, found, found.record)
    return (found.server,)


def _go(found: step.Go, facts: Facts, actor: Actor, _now: datetime) -> Flow[Named]:
    intent, server = found.intent, found.server
    version = _version(facts, intent.version)
    link = ""
    if version.code is not None:
        link = yield from ask(calls.SignGet(version.code.bundle, LINK_SECONDS))
    day = facts.run.tick.astimezone(actor.zones(version.job.timezone)).date().isoformat()
    body = request.go(facts.run, version, intent, server.id, link, day, actor.region, found.env)
    yield from ask(calls.PutNew(names.go_key(intent.role_id, server.id), _json(body)))
    return (server,)


def _end(found: step.End, facts: Facts, actor: Actor, now: datetime) -> Flow[Named]:
    server = found.server.id
    yield from _write(facts, found, EndOrder(at=now, by=actor.who, why=found.reason, server=server))
    yield from ask(calls.TerminateServer(server))
    return ()


def _look_again(found: step.LookAgain, facts: Facts, _actor: Actor, now: datetime) -> Flow[Named]:
    record = Absent(at=now, server=found.server)
    key = names.attempt_key(facts.run, found.attempt, record.file)
    yield from _write_over(key, encode(record), found.expired)
    return ()


def _close(found: step.Close, facts: Facts, actor: Actor, now: datetime) -> Flow[Named]:
    console: tuple[str, ...] = ()
    if found.console_of:
        console = yield from ask(calls.ReadConsole(found.console_of))
    yield from _write(facts, found, verdict.close(found, console, now, actor.who))
    return ()


def _receipt(found: step.WriteReceipt, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    key = names.attempt_key(facts.run, found.attempt, "receipt")
    yield from ask(calls.PutNew(key, _json(found.receipt, indent=1)))
    return ()


def _move_latest(found: step.MoveLatest, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    yield from _write_over(names.latest_key(facts.run.job), encode(found.latest), found.before)
    return ()


def _free_slot(found: step.FreeSlot, facts: Facts, _actor: Actor, now: datetime) -> Flow[Named]:
    yield from _write_over(names.slot_key(facts.run.job), encode(Slot(holder=None, at=now)), found.slot)
    return ()


def _mark_done(found: step.MarkDone, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    yield from ask(calls.PutNew(names.done_key(facts.run, found.attempt, found.outcome), b""))
    return ()


def _disarm(found: step.Disarm, _facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    for server in found.servers:
        yield from ask(calls.Disarm(server))
    return ()


def _remove_open(found: step.RemoveOpen, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Named]:
    yield from ask(calls.Delete(names.open_key(facts.run), found.opened.etag))
    return ()


def _version(facts: Facts, key: str) -> Deployed:
    version = facts.version(key)
    if not isinstance(version, Deployed):
        raise ValueError(f"{facts.run}: the version {key} of its job is not in the bucket")
    return version


def _write(
    facts: Facts, found: Step, record: Intent | SpotRefused | Elected | NoServer | EndOrder | Closed
) -> Flow[bool]:
    """Writes a fact of the step's attempt, unless another process was first."""
    key = names.attempt_key(facts.run, found.attempt, record.file)
    return (yield from ask(calls.PutNew(key, encode(record))))


def _write_over(key: str, body: bytes, before: Kept[Any] | NotStored) -> Flow[bool]:
    """Writes an object in place of the one that was read (`before`), or as a new one."""
    match before:
        case Kept(etag=etag):
            return (yield from ask(calls.PutMatch(key, body, etag)))
        case NotStored():
            return (yield from ask(calls.PutNew(key, body)))


def _json(content: Mapping[str, Any], indent: int | None = None) -> bytes:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=indent).encode()


_TAKE: dict[type[Step], Callable[[Any, Facts, Actor, datetime], Flow[Named]]] = {
    step.TakeSlot: _take_slot,
    step.Decide: _decide,
    step.Intend: _intend,
    step.AskEc2: _ask_ec2,
    step.ElectNone: _elect_none,
    step.Arm: _arm,
    step.Elect: _elect,
    step.Go: _go,
    step.End: _end,
    step.LookAgain: _look_again,
    step.Close: _close,
    step.WriteReceipt: _receipt,
    step.MoveLatest: _move_latest,
    step.FreeSlot: _free_slot,
    step.MarkDone: _mark_done,
    step.Disarm: _disarm,
    step.RemoveOpen: _remove_open,
}
