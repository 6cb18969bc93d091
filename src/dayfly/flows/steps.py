"""Takes steps: one function for each kind of step. Each is safe to do twice and safe to lose.

Nothing is decided here: core/advance.py chooses the step, and core builds what it writes. flows/actor.py says who may take it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from dayfly.core import election, names, request, verdict
from dayfly.core.facts import Facts, Launched, NotStored, RefusedLaunch, Replayed, Server, WithEtag
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
from dayfly.core.step import (
    Arm,
    AskEc2,
    Close,
    Decide,
    Disarm,
    Elect,
    ElectNone,
    End,
    FreeSlot,
    Intend,
    MarkDone,
    MoveLatest,
    RecordAbsence,
    RemoveOpen,
    SendJob,
    Step,
    TakeSlot,
    WriteReceipt,
)
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, ask

LINK_SECONDS = 900
"""The bundle's link is valid longer than an agent waits for go.json (10 min), shorter than a session of the launcher's role."""

SeenServers = tuple[Server, ...]
"""Servers that EC2 named in an answer and may not list yet."""


def take_step(step: Step, facts: Facts, actor: Actor, now: datetime) -> Flow[SeenServers]:
    """Take one step. Raises Unclear when it is unknown whether it happened; the next walk repeats it."""
    return (yield from _TAKE[type(step)](step, facts, actor, now))


def _take_slot(step: TakeSlot, facts: Facts, _actor: Actor, now: datetime) -> Flow[SeenServers]:
    body = encode(Slot(holder=str(facts.run), at=now))
    yield from _replace(names.slot_key(facts.run.job), body, step.free)
    return ()


def _decide(step: Decide, facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    yield from ask(calls.PutNew(names.claim_key(facts.run), encode(step.claim)))
    return ()


def _intend(step: Intend, facts: Facts, actor: Actor, now: datetime) -> Flow[SeenServers]:
    version = _version(facts, step.version)
    intent = request.intent(facts.run, step.attempt, version, actor.project, actor.bucket, now, step.request)
    yield from _write_fact(facts, step, intent)
    return ()


def _ask_ec2(step: AskEc2, facts: Facts, _actor: Actor, now: datetime) -> Flow[SeenServers]:
    match (yield from ask(calls.CreateFleet(step.request))):
        case Launched(servers=servers):
            return servers
        case Replayed(fleet=fleet):
            return (yield from _replayed(fleet, step.request))
        case RefusedLaunch(errors=errors):
            yield from _write_fact(facts, step, election.after_refusal(step, errors, now))
    return ()


def _replayed(fleet: str | None, fleet_request: Mapping[str, Any]) -> Flow[SeenServers]:
    """Return the servers of a request that EC2 already had, from DescribeFleets.

    Raises Unclear when EC2 names none: one may exist, so a later walk repeats the same request.
    """
    servers: SeenServers = ()
    if fleet is not None:
        servers = yield from ask(calls.FleetServers(fleet, fleet_request))
    if not servers:
        raise Unclear(
            "EC2 has this launch request already but names no server for it yet", hint="try again in a minute"
        )
    return servers


def _elect_none(step: ElectNone, facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    yield from _write_fact(facts, step, step.record)
    return ()


def _arm(step: Arm, _facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    yield from ask(calls.Arm(step.server.id, step.at))
    return (step.server,)


def _elect(step: Elect, facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    yield from _write_fact(facts, step, step.record)
    return (step.server,)


def _send_job(step: SendJob, facts: Facts, actor: Actor, _now: datetime) -> Flow[SeenServers]:
    intent, server = step.intent, step.server
    version = _version(facts, intent.version)
    link = ""
    if version.code is not None:
        link = yield from ask(calls.SignGet(version.code.bundle, LINK_SECONDS))
    day = facts.run.tick.astimezone(actor.zones(version.job.timezone)).date().isoformat()
    body = request.go(facts.run, version, intent, server.id, link, day, actor.region, step.env)
    yield from ask(calls.PutNew(names.go_key(intent.role_id, server.id), _json(body)))
    return (server,)


def _end(step: End, facts: Facts, actor: Actor, now: datetime) -> Flow[SeenServers]:
    server = step.server.id
    yield from _write_fact(facts, step, EndOrder(at=now, by=actor.who, why=step.reason, server=server))
    yield from ask(calls.TerminateServer(server))
    return ()


def _record_absence(step: RecordAbsence, facts: Facts, _actor: Actor, now: datetime) -> Flow[SeenServers]:
    record = Absent(at=now, server=step.server)
    key = names.attempt_key(facts.run, step.attempt, record.file)
    yield from _replace(key, encode(record), step.expired)
    return ()


def _close(step: Close, facts: Facts, actor: Actor, now: datetime) -> Flow[SeenServers]:
    console: tuple[str, ...] = ()
    if step.console_of:
        console = yield from ask(calls.ReadConsole(step.console_of))
    yield from _write_fact(facts, step, verdict.close(step, console, now, actor.who))
    return ()


def _receipt(step: WriteReceipt, facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    key = names.attempt_key(facts.run, step.attempt, "receipt")
    yield from ask(calls.PutNew(key, _json(step.receipt, indent=1)))
    return ()


def _move_latest(step: MoveLatest, facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    yield from _replace(names.latest_key(facts.run.job), encode(step.latest), step.before)
    return ()


def _free_slot(step: FreeSlot, facts: Facts, _actor: Actor, now: datetime) -> Flow[SeenServers]:
    yield from _replace(names.slot_key(facts.run.job), encode(Slot(holder=None, at=now)), step.slot)
    return ()


def _mark_done(step: MarkDone, facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    yield from ask(calls.PutNew(names.done_key(facts.run, step.attempt, step.outcome), b""))
    return ()


def _disarm(step: Disarm, _facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    for server in step.servers:
        yield from ask(calls.Disarm(server))
    return ()


def _remove_open(step: RemoveOpen, facts: Facts, _actor: Actor, _now: datetime) -> Flow[SeenServers]:
    yield from ask(calls.Delete(names.open_key(facts.run), step.opened.etag))
    return ()


def _version(facts: Facts, key: str) -> Deployed:
    version = facts.version(key)
    if not isinstance(version, Deployed):
        raise ValueError(f"{facts.run}: the version {key} of its job is not in the bucket")
    return version


def _write_fact(
    facts: Facts, step: Step, record: Intent | SpotRefused | Elected | NoServer | EndOrder | Closed
) -> Flow[bool]:
    """Write a record of the step's attempt, unless another process was first."""
    key = names.attempt_key(facts.run, step.attempt, record.file)
    return (yield from ask(calls.PutNew(key, encode(record))))


def _replace(key: str, body: bytes, before: WithEtag[Any] | NotStored) -> Flow[bool]:
    """Write an object in place of the one that was read (`before`), or as a new one."""
    match before:
        case WithEtag(etag=etag):
            return (yield from ask(calls.PutMatch(key, body, etag)))
        case NotStored():
            return (yield from ask(calls.PutNew(key, body)))


def _json(content: Mapping[str, Any], indent: int | None = None) -> bytes:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=indent).encode()


_TAKE: dict[type[Step], Callable[[Any, Facts, Actor, datetime], Flow[SeenServers]]] = {
    TakeSlot: _take_slot,
    Decide: _decide,
    Intend: _intend,
    AskEc2: _ask_ec2,
    ElectNone: _elect_none,
    Arm: _arm,
    Elect: _elect,
    SendJob: _send_job,
    End: _end,
    RecordAbsence: _record_absence,
    Close: _close,
    WriteReceipt: _receipt,
    MoveLatest: _move_latest,
    FreeSlot: _free_slot,
    MarkDone: _mark_done,
    Disarm: _disarm,
    RemoveOpen: _remove_open,
}
