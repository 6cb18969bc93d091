"""Takes steps: one function for each kind of step. Each is safe to do twice and safe to lose.

Nothing is decided here: core/advance.py chooses the step, and core builds what it writes. flows/actor.py says who may take it.
A write that won is a fact, and the step returns the facts with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from dayfly.core import election, names, permission_sets, refusals, request, unreadable, verdict
from dayfly.core.facts import (
    NOT_STORED,
    Attempt,
    Facts,
    Launched,
    RefusedLaunch,
    Replayed,
    Server,
    Unreadable,
    WithEtag,
)
from dayfly.core.model import Deployed
from dayfly.core.reasons import Decision
from dayfly.core.record_json import encode
from dayfly.core.records import (
    Absent,
    Closed,
    Elected,
    EndOrder,
    FleetError,
    Intent,
    Latest,
    NextAsk,
    NoServer,
    Sent,
    Slot,
    SpotRefused,
)
from dayfly.core.step import (
    Arm,
    AskEc2,
    Close,
    CloseUnknown,
    Decide,
    Disarm,
    Elect,
    ElectNone,
    End,
    FreeSlot,
    Intend,
    MarkDone,
    MoveLatest,
    Publish,
    RecordAbsence,
    RemoveOpen,
    RemoveRun,
    SendCancel,
    SendJob,
    Step,
    TakeSlot,
    Tell,
    WriteReceipt,
)
from dayfly.errors import Unclear
from dayfly.flows import calls, read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, ask
from dayfly.flows.outcome import Outdated, Taken, write_over
from dayfly.flows.publishing import publish
from dayfly.flows.removal import removal_mark, remove_records
from dayfly.flows.telling import tell

LINK_SECONDS = 900
"""Links to agent and bundle are valid longer than a server waits for go.json (10 min), shorter than a session of the launcher's role."""

MOST_OUTPUTS = 200_000
"""More than a readable ended.json can name. A server can store as many objects as it likes."""

UNREAD = ""
"""The etag of an object that this walk wrote itself. No object has it: a step that needs the etag loses, and reads again."""


def _take_slot(found: TakeSlot, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    slot = Slot(holder=str(facts.run), attempt=found.attempt, at=now)
    if (yield from ask(calls.PutNew(names.slot_key(facts.run.job), encode(slot)))):
        return replace(facts, slot=WithEtag(record=slot, etag=UNREAD))
    return Outdated()


def _decide(found: Decide, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    key = names.claim_key(facts.run)
    if found.again:
        key = names.backfill_key(facts.run)
    first = yield from ask(calls.PutNew(key, encode(found.claim)))
    if first and found.claim.decision == Decision.RUN:
        return replace(facts, claim=found.claim)
    return Outdated()


def _intend(found: Intend, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    version = _version(facts, found.version)
    intent = request.intent(
        facts.run, found.attempt, version, actor.project, actor.bucket, now, found.request, actor.intervals
    )
    if (yield from _write(facts, found, intent)):
        return replace(facts, attempts=(*facts.attempts, Attempt(number=found.attempt, intent=intent)))
    return Outdated()


def _ask_ec2(found: AskEc2, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    match (yield from ask(calls.CreateFleet(found.request))):
        case Launched(servers=servers):
            return facts.with_newest(servers=servers)
        case Replayed(fleet=fleet):
            servers = yield from _replayed(fleet, found.request)
            return facts.with_newest(servers=servers)
        case RefusedLaunch(errors=errors):
            return (yield from _no_server(found, errors, facts, now))


def _no_server(found: AskEc2, errors: tuple[FleetError, ...], facts: Facts, now: datetime) -> Flow[Taken]:
    """Record what follows from an answer without a server. Raises Unclear for one that is no refusal: EC2 is asked again later."""
    undecided = refusals.undecided(errors)
    # Another process has the answer to this token, so nothing is recorded but by that one.
    if not refusals.in_progress(errors) and not election.is_repeated(found, errors):
        record = election.after_refusal(found, errors, now)
        written = yield from _write(facts, found, record)
        if written and not undecided:
            return _with_refusal(facts, record)
    if undecided:
        raise Unclear(f"EC2 has not decided yet: {refusals.text(undecided)}", hint="try again in a minute")
    return Outdated()


def _with_refusal(facts: Facts, refused: NextAsk | SpotRefused | NoServer) -> Facts:
    match refused:
        case NextAsk():
            asks = [ask for attempt in facts.attempts[-1:] for ask in attempt.asks]
            return facts.with_newest(asks=(*asks, refused))
        case SpotRefused():
            return facts.with_newest(spot_refused=refused)
        case NoServer():
            return facts.with_newest(election=refused)


def _replayed(fleet: str | None, fleet_request: Mapping[str, Any]) -> Flow[tuple[Server, ...]]:
    """Return the servers of a request that EC2 already knew, from DescribeFleets.

    Raises Unclear when EC2 names none: one may exist, so the same request is repeated later, but not in this walk.
    """
    servers: tuple[Server, ...] = ()
    if fleet is not None:
        servers = yield from ask(calls.FleetServers(fleet, fleet_request))
    if not servers:
        raise Unclear("EC2 knows this launch request and names no server of it yet", hint="try again in a minute")
    return servers


def _elect_none(found: ElectNone, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    if (yield from _write(facts, found, found.record)):
        return facts.with_newest(election=found.record)
    return Outdated()


def _arm(found: Arm, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    yield from ask(calls.Arm(found.server.id, found.at))
    return facts.with_newest(armed=facts.attempt.armed | {found.server.id})


def _elect(found: Elect, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    if (yield from _write(facts, found, found.record)):
        return facts.with_newest(election=found.record)
    return Outdated()


def _send_job(found: SendJob, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    intent, server = found.intent, found.server
    version = _version(facts, intent.version)
    links: dict[str, str] = {}
    for key in request.keys_to_sign(version):
        links[key] = yield from ask(calls.SignGet(key, LINK_SECONDS))
    day = facts.run.tick.astimezone(actor.zones(version.job.timezone)).date().isoformat()
    inputs = yield from _inputs(version)
    body = request.go(facts.run, version, intent, server.id, links, day, actor.region, found.env, inputs)
    yield from ask(calls.PutNew(names.go_key(intent.role_id, server.id), _json(body)))
    yield from _write(facts, found, Sent(at=now, server=server.id))
    return facts.with_newest(go_sent=True)


def _inputs(version: Deployed) -> Flow[tuple[request.Input, ...]]:
    """Return the last good results of the jobs that this version reads. A job without one yields nothing.

    Raises Unclear if `latest` cannot be read: the job would take that for a first run.
    """
    found = []
    for job in permission_sets.jobs_read(version.job.reads):
        match (yield from read.record(Latest, names.latest_key(job))):
            case Latest() as latest:
                found.append(request.input_of(job, latest))
            case Unreadable() as unreadable:
                raise Unclear(f"{unreadable}, so the last result of {job} is unknown", hint=f"dayfly runs {job}")
    return tuple(found)


def _send_cancel(found: SendCancel, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    body = {"format": names.FORMAT, "at": names.utc_text(now)}
    yield from ask(calls.PutNew(names.go_cancel_key(found.intent.role_id, found.server.id), _json(body)))
    return facts.with_newest(cancel_sent=True)


def _end(found: End, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    server = found.server.id
    yield from _write(facts, found, EndOrder(at=now, by=actor.who, why=found.reason, server=server))
    yield from ask(calls.TerminateServer(server))
    return Outdated()


def _record_absence(found: RecordAbsence, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    record = Absent(at=now, server=found.server)
    key = names.attempt_key(facts.run, found.attempt, record.file)
    yield from write_over(key, encode(record), found.expired)
    return Outdated()


def _close(found: Close, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    console: tuple[str, ...] = ()
    if found.console_of:
        console = yield from ask(calls.ReadConsole(found.console_of))
    stored = yield from _stored_sizes(found.outputs_at)
    yield from _write(facts, found, verdict.close(found, console, stored, now, actor.who))
    # The effects need the slot, `latest` and the markers under done/, read after the close.
    return Outdated()


def _stored_sizes(prefix: str) -> Flow[Mapping[str, int]]:
    """Return the sizes of what a server stored, by key; of the first MOST_OUTPUTS, and of nothing for an empty prefix."""
    sizes: dict[str, int] = {}
    after, more = prefix, bool(prefix)
    while more and len(sizes) < MOST_OUTPUTS:
        page = yield from ask(calls.ListSizes(prefix, after))
        sizes.update(page)
        after, more = max(page, default=after), len(page) == calls.PAGE
    return sizes


def _close_unknown(found: CloseUnknown, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    attempt = found.closing
    gone = attempt.server.gone
    record = unreadable.closed(found.detail, now, actor.who, server=attempt.elected_id, gone=gone)
    yield from _write(facts, found, record)
    return Outdated()


def _receipt(found: WriteReceipt, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    key = names.attempt_key(facts.run, found.attempt, "receipt")
    yield from ask(calls.PutNew(key, _json(found.receipt, indent=1)))
    return facts.with_newest(receipt=True)


def _move_latest(found: MoveLatest, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    if (yield from write_over(names.latest_key(facts.run.job), encode(found.latest), found.before)):
        return replace(facts, latest=WithEtag(record=found.latest, etag=UNREAD))
    return Outdated()


def _free_slot(found: FreeSlot, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    if (yield from ask(calls.Delete(names.slot_key(facts.run.job), found.slot.etag))):
        return replace(facts, slot=NOT_STORED)
    return Outdated()


def _mark_done(found: MarkDone, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    yield from ask(calls.PutNew(names.done_key(facts.run, found.attempt, found.outcome), b""))
    return replace(facts, done=(*facts.done, names.DoneName(facts.run, found.attempt, found.outcome)))


def _disarm(found: Disarm, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    for server in found.servers:
        yield from ask(calls.Disarm(server))
    attempts = tuple(replace(each, armed=each.armed - set(found.servers)) for each in facts.attempts)
    return replace(facts, attempts=attempts)


def _remove_open(found: RemoveOpen, facts: Facts, _actor: Actor, _now: datetime) -> Flow[Taken]:
    if (yield from ask(calls.Delete(names.open_key(facts.run), found.opened.etag))):
        return replace(facts, opened=NOT_STORED)
    return Outdated()


def _remove_run(found: RemoveRun, facts: Facts, _actor: Actor, now: datetime) -> Flow[Taken]:
    # The mark becomes this process's own, so that no other one removes anything meanwhile.
    key = names.open_key(facts.run)
    if (yield from ask(calls.PutMatch(key, encode(removal_mark(facts.run, now)), found.opened.etag))):
        yield from remove_records(facts.run)
        yield from ask(calls.Delete(key))
    return Outdated()


def _version(facts: Facts, key: str) -> Deployed:
    version = facts.version(key)
    if not isinstance(version, Deployed):
        raise ValueError(f"{facts.run}: the version {key} of its job is not in the bucket")
    return version


def _write(
    facts: Facts, found: Step, record: Intent | NextAsk | SpotRefused | Elected | NoServer | Sent | EndOrder | Closed
) -> Flow[bool]:
    """Write a fact of the step's attempt, unless another process was first."""
    key = names.attempt_key(facts.run, found.attempt, record.file)
    return (yield from ask(calls.PutNew(key, encode(record))))


def _json(content: Mapping[str, Any], indent: int | None = None) -> bytes:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=indent).encode()


TAKE: dict[type[Step], Callable[[Any, Facts, Actor, datetime], Flow[Taken]]] = {
    TakeSlot: _take_slot,
    Decide: _decide,
    Intend: _intend,
    AskEc2: _ask_ec2,
    ElectNone: _elect_none,
    Arm: _arm,
    Elect: _elect,
    SendJob: _send_job,
    SendCancel: _send_cancel,
    End: _end,
    RecordAbsence: _record_absence,
    Close: _close,
    CloseUnknown: _close_unknown,
    WriteReceipt: _receipt,
    MoveLatest: _move_latest,
    FreeSlot: _free_slot,
    MarkDone: _mark_done,
    Tell: tell,
    Publish: publish,
    Disarm: _disarm,
    RemoveOpen: _remove_open,
    RemoveRun: _remove_run,
}
"""How the step of each type is taken. Raises Unclear when it is unknown whether it happened; the next walk repeats it."""
