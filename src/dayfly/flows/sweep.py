"""The sweeper's flow: ends servers that must end, walks every open run, removes old runs, writes a heartbeat, and tells people.

Servers past their deadline are ended first, by their tags alone, so no later failure can keep one alive. A failure in one part
does not stop the others; it is raised at the end, and no heartbeat is written. An object that cannot be read is no failure: it has
a meaning (docs/records.md), so the sweep names it in the log, once, and is complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

from dayfly.core import names, sweep
from dayfly.core.facts import NOT_STORED, BadRunTags, NotStored, RunTags, Server, Unreadable
from dayfly.core.model import Timetable
from dayfly.core.reasons import Flaw
from dayfly.core.record_json import encode
from dayfly.core.records import Elected, EndOrder, Heartbeat, Intent
from dayfly.core.states import SWEEPER_ONLY, State
from dayfly.errors import Unclear
from dayfly.flows import read, undelivered
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Arm, Flow, List, ListServers, Log, Now, Put, PutNew, TerminateServer, ask
from dayfly.flows.retention import remove_old_runs
from dayfly.flows.stored_files import remove_unused_files
from dayfly.flows.undelivered import MAX_LOOKBACK, MAX_TICKS_PER_SWEEP
from dayfly.flows.visit import OnServer, visit
from dayfly.flows.walk import WalkResult, walk

T = TypeVar("T")

TELL_FOR = timedelta(seconds=60)
"""How long one sweep tells people about runs."""


@dataclass
class SweepResult:
    """What one sweep did: the servers that it ended, each with the reason; the runs that it walked or removed; what failed.

    `files`: how many stored files it removed.

    `elected`: servers that it saw on their runs, as they should be. `timetables`: what the next sweep need not read again.
    `gone`: servers that were seen as terminated during this sweep. `untold`: runs about which people must hear.
    """

    ended: dict[str, str] = field(default_factory=dict)
    walked: list[str] = field(default_factory=list)
    elected: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    missed: list[str] = field(default_factory=list)
    ticks_since: datetime | None = None
    timetables: dict[str, Timetable] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    untold: list[names.RunName] = field(default_factory=list)
    files: int = 0
    failed: list[str] = field(default_factory=list)


def sweep_project(actor: Actor, keep_s: int, own: tuple[str, ...] = ()) -> Flow[SweepResult]:
    """Sweep once. Raises Unclear at the end if a part failed; the other parts were done.

    `own`: the keys of the functions' zips.
    """
    return (yield from read.noted_once(_sweep(actor, keep_s, own)))


def _sweep(actor: Actor, keep_s: int, own: tuple[str, ...]) -> Flow[SweepResult]:
    result = SweepResult()
    telling, actor = actor, replace(actor, acts_in=actor.acts_in - SWEEPER_ONLY)
    servers = yield from ask(ListServers())
    for server in servers:
        yield from _isolated(server.id, end_by_tags(server, actor, result), result)
    shown = {server.id: server for server in servers if server.id not in result.ended}
    keys = (yield from _isolated(names.OPEN, ask(List(names.OPEN)), result)) or ()
    running = tuple(key.removeprefix(names.OPEN) for key in keys)
    for name in running:
        yield from _isolated(name, _visit(name, shown, actor, result), result)
    for server in servers:
        if not server.gone and server.id not in {*result.ended, *result.elected, *result.gone}:
            yield from _isolated(server.id, _by_records(server, actor, result), result)
            yield from _isolated(server.id, _arm(server, actor, result), result)
    now = yield from ask(Now())
    last = yield from _last_sweep(now)
    yield from _isolated("ticks", _catch_up(now, last, frozenset(running), actor, result), result)
    kept = ""
    if isinstance(last, Heartbeat):
        kept = last.kept
    if kept != now.date().isoformat():
        kept = (yield from _isolated("keep", _remove_old(now, keep_s, own, running, result), result)) or kept
    if not result.failed:
        yield from _beat(now, kept, result)
    yield from _tell(telling, result)
    if result.failed:
        raise Unclear(f"parts of the sweep failed: {'; '.join(result.failed)}", hint="the next sweep tries again")
    return result


def _beat(now: datetime, kept: str, result: SweepResult) -> Flow[None]:
    beat = Heartbeat(
        at=now,
        ended=len(result.ended),
        open_runs=len(result.walked),
        kept=kept,
        ticks_since=result.ticks_since,
        timetables=result.timetables,
    )
    yield from ask(Put(names.HEARTBEAT, encode(beat)))


def _tell(actor: Actor, result: SweepResult) -> Flow[None]:
    """Tell people about runs, after all other work: an address that does not answer costs some seconds for each message.

    What does not fit into this sweep is left to the next one.
    """
    started = yield from ask(Now())
    for run in dict.fromkeys(result.untold):
        if (yield from ask(Now())) - started > TELL_FOR:
            break
        yield from _isolated(str(run), walk(run, actor), result)


def _last_sweep(now: datetime) -> Flow[Heartbeat | NotStored]:
    """Return the heartbeat of the last sweep. One that cannot be read, or is of the future, says nothing."""
    match (yield from read.record(Heartbeat, names.HEARTBEAT)):
        case Heartbeat(at=at) as last if at <= now:
            return last
    return NOT_STORED


def _isolated(what: str, part: Flow[T], result: SweepResult) -> Flow[T | None]:
    """Run one part of the sweep. An error, even a bug, is recorded and does not stop the other parts."""
    try:
        return (yield from part)
    except Exception as error:
        result.failed.append(f"{what}: {type(error).__name__}: {error}")
        return None


def end_by_tags(server: Server, actor: Actor, result: SweepResult) -> Flow[None]:
    """End the server if its tags and state say so, and note that in `result`."""
    decision = sweep.by_tags(server, (yield from ask(Now())))
    if decision.action == "end":
        yield from _end(server, decision.reason, actor, result)


def _visit(name: str, shown: Mapping[str, Server], actor: Actor, result: SweepResult) -> Flow[None]:
    try:
        run = names.run_name(name)
    except ValueError:
        yield from read.noted(Unreadable(f"{names.OPEN}{name}", Flaw.BAD_KEY))
        return
    keys = yield from ask(List(names.run_prefix(run)))
    match (yield from visit(run, keys, actor, shown)):
        case OnServer(server=server) if server.run_tags == (run, server.attempt):
            result.elected.add(server.id)
        case WalkResult(facts=facts, step=step):
            if step.state in (State.NEEDS_NOTIFICATION, State.NEEDS_RESULTS):
                result.untold.append(run)
            result.gone.update(server.id for server in facts.servers if server.gone)
    result.walked.append(name)


def _by_records(server: Server, actor: Actor, result: SweepResult) -> Flow[None]:
    """End a server with valid tags if the records of its run say so."""
    now = yield from ask(Now())
    run_tags = server.run_tags
    if (
        isinstance(run_tags, BadRunTags)
        or sweep.by_tags(server, now).action == "end"
        or server.state == "shutting-down"
    ):
        return
    intent = yield from read.record(Intent, names.attempt_key(*run_tags, Intent.file))
    elected = yield from read.election(*run_tags)
    decision = sweep.by_records(server, intent, elected, now, actor.intervals)
    if decision.action == "end":
        yield from _end(server, decision.reason, actor, result)


def _arm(server: Server, actor: Actor, result: SweepResult) -> Flow[None]:
    """Give a server that goes on a kill schedule, unless it has one. Its tags suffice, so an unreadable record leaves no server unarmed."""
    at = sweep.kill_at(server, (yield from ask(Now())), actor.intervals)
    if server.id not in result.ended and at is not None:
        yield from ask(Arm(server.id, at))


def _catch_up(
    now: datetime, last: Heartbeat | NotStored, running: frozenset[str], actor: Actor, result: SweepResult
) -> Flow[None]:
    """Deliver the ticks that have no run, or claim them as missed."""
    since, known = now - MAX_LOOKBACK, dict[str, Timetable]()
    if isinstance(last, Heartbeat):
        since, known = last.ticks_since or last.at, dict(last.timetables)
    found = yield from undelivered.find(now, since, known, running, actor)
    result.timetables = found.timetables
    for each in found.ticks[:MAX_TICKS_PER_SWEEP]:
        if (yield from _isolated(str(each.run), undelivered.catch_up(each, actor), result)):
            result.missed.append(str(each.run))
            result.untold.append(each.run)
    if len(found.ticks) > MAX_TICKS_PER_SWEEP:
        result.ticks_since = since


def _remove_old(
    now: datetime, keep_s: int, own: tuple[str, ...], running: tuple[str, ...], result: SweepResult
) -> Flow[str]:
    """Remove old runs, then the files that nothing names. Return today's date when all is done; empty when the next sweep must continue."""
    removed = yield from remove_old_runs(now, keep_s)
    result.removed = removed.runs
    if removed.more:
        return ""
    result.files = yield from remove_unused_files(now, keep_s, own, running)
    return now.date().isoformat()


def _end(server: Server, why: str, actor: Actor, result: SweepResult) -> Flow[None]:
    now = yield from ask(Now())
    yield from ask(Log(f"ending {server.id}", {"why": why, "run": server.run}))
    # Terminate first, then record it: a bucket that does not answer must not keep a server alive.
    yield from ask(TerminateServer(server.id))
    result.ended[server.id] = why
    match server.run_tags:
        case RunTags() as run_tags:
            yield from _record_end(server, run_tags, EndOrder(at=now, by=actor.who, why=why, server=server.id))


def _record_end(server: Server, run_tags: RunTags, order: EndOrder) -> Flow[None]:
    """Record why the server was ended, if its attempt elected it."""
    match (yield from read.election(*run_tags)):
        case Elected(server=elected) if elected == server.id:
            yield from ask(PutNew(names.attempt_key(*run_tags, EndOrder.file), encode(order)))
