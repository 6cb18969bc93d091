"""The sweeper's flow: ends servers that must end, walks every open run, removes old runs, writes a heartbeat.

Servers past their deadline are ended first, by their tags alone, so no later failure can keep one alive. A failure in one part
does not stop the others; it is raised at the end, and no heartbeat is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from dayfly.core import names, sweep
from dayfly.core.facts import BadRunTags, NotStored, RunTags, Server
from dayfly.core.records import Elected, EndOrder, Heartbeat, Intent, encode
from dayfly.errors import Unclear
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, List, ListServers, Log, Now, Put, PutNew, TerminateServer, ask
from dayfly.flows.missed import MAX_LOOKBACK, MAX_TICKS_PER_SWEEP, claim_missed
from dayfly.flows.retention import remove_old_runs
from dayfly.flows.walk import walk

T = TypeVar("T")


@dataclass
class SweepResult:
    """What one sweep did: the servers that it ended, each with the reason; the runs that it walked or removed; what failed."""

    ended: dict[str, str] = field(default_factory=dict)
    walked: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    ticks_since: datetime | None = None
    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def sweep_project(actor: Actor, keep_s: int) -> Flow[SweepResult]:
    """Sweep once. Raises Unclear at the end if a part failed; the other parts were done."""
    result = SweepResult()
    servers = yield from ask(ListServers())
    for server in servers:
        yield from _isolated(server.id, _by_tags(server, actor, result), result)
    for key in (yield from ask(List(names.OPEN))):
        name = key.removeprefix(names.OPEN)
        yield from _isolated(name, _walk(name, actor, result), result)
    for server in servers:
        if server.id not in result.ended and not server.gone:
            yield from _isolated(server.id, _by_records(server, actor, result), result)
    last = yield from read.record(Heartbeat, names.HEARTBEAT)
    now = yield from ask(Now())
    yield from _isolated("ticks", _claim_missed(now, last, actor, result), result)
    kept = ""
    if isinstance(last, Heartbeat):
        kept = last.kept
    if kept != now.date().isoformat():
        kept = (yield from _isolated("keep", _remove_old_runs(now, keep_s, result), result)) or kept
    if result.failed:
        raise Unclear(f"parts of the sweep failed: {'; '.join(result.failed)}", hint="the next sweep tries again")
    beat = Heartbeat(
        at=now, ended=len(result.ended), open_runs=len(result.walked), kept=kept, ticks_since=result.ticks_since
    )
    yield from ask(Put(names.HEARTBEAT, encode(beat)))
    return result


def _isolated(what: str, part: Flow[T], result: SweepResult) -> Flow[T | None]:
    """Run one part of the sweep. An error, even a bug, is recorded and does not stop the other parts."""
    try:
        return (yield from part)
    except Exception as error:
        result.failed.append(f"{what}: {type(error).__name__}: {error}")
        return None


def _by_tags(server: Server, actor: Actor, result: SweepResult) -> Flow[None]:
    decision = sweep.by_tags(server, (yield from ask(Now())))
    if decision.action == "end":
        yield from _end(server, decision.reason, actor, result)


def _walk(name: str, actor: Actor, result: SweepResult) -> Flow[None]:
    yield from walk(names.run_name(name), actor)
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
    decision = sweep.by_records(server, intent, elected, now)
    if decision.action == "end":
        yield from _end(server, decision.reason, actor, result)


def _claim_missed(now: datetime, last: Heartbeat | NotStored, actor: Actor, result: SweepResult) -> Flow[None]:
    since = now - MAX_LOOKBACK
    if isinstance(last, Heartbeat):
        since = last.ticks_since or last.at
    claimed = yield from claim_missed(now, since, actor)
    result.missed = [str(run) for run in claimed]
    if len(claimed) >= MAX_TICKS_PER_SWEEP:
        result.ticks_since = since


def _remove_old_runs(now: datetime, keep_s: int, result: SweepResult) -> Flow[str]:
    """Remove old runs. Return today's date when all are removed; empty when the next sweep must continue."""
    removed = yield from remove_old_runs(now, keep_s)
    result.removed = removed.runs
    if removed.more:
        return ""
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
