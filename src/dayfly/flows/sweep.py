"""The sweeper's flow: ends servers that must end, walks every open run, removes old runs, writes a heartbeat.

Servers past their deadline are ended first, by their tags alone, so no later failure can keep one alive. A failure in one part
does not stop the others; it is raised at the end, and no heartbeat is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from dayfly.core import names, sweep
from dayfly.core.facts import BadTags, NotStored, Server, Tagged
from dayfly.core.records import Elected, EndOrder, Heartbeat, Intent, encode
from dayfly.errors import Unclear
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, List, ListServers, Log, Now, Put, PutNew, TerminateServer, ask
from dayfly.flows.keep import keep
from dayfly.flows.missed import BACK_AT_MOST, TICKS_A_SWEEP, claim_missed
from dayfly.flows.walk import walk

T = TypeVar("T")


@dataclass
class Swept:
    """What one sweep did: the servers it ended, each with its reason, the runs it walked or removed, and what failed."""

    ended: dict[str, str] = field(default_factory=dict)
    walked: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    ticks_since: datetime | None = None
    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def sweep_project(actor: Actor, keep_s: int) -> Flow[Swept]:
    """One sweep. Raises Unclear at the end when any part failed; the other parts were done."""
    swept = Swept()
    servers = yield from ask(ListServers())
    for server in servers:
        yield from _guarded(server.id, _by_tags(server, actor, swept), swept)
    for key in (yield from ask(List(names.OPEN))):
        name = key.removeprefix(names.OPEN)
        yield from _guarded(name, _walk(name, actor, swept), swept)
    for server in servers:
        if server.id not in swept.ended and not server.gone:
            yield from _guarded(server.id, _by_records(server, actor, swept), swept)
    last = yield from read.record(Heartbeat, names.HEARTBEAT)
    now = yield from ask(Now())
    yield from _guarded("ticks", _claim_missed(now, last, actor, swept), swept)
    kept = ""
    if isinstance(last, Heartbeat):
        kept = last.kept
    if kept != now.date().isoformat():
        kept = (yield from _guarded("keep", _keep(now, keep_s, swept), swept)) or kept
    if swept.failed:
        raise Unclear(f"parts of the sweep failed: {'; '.join(swept.failed)}", hint="the next sweep tries again")
    beat = Heartbeat(
        at=now, ended=len(swept.ended), open_runs=len(swept.walked), kept=kept, ticks_since=swept.ticks_since
    )
    yield from ask(Put(names.HEARTBEAT, encode(beat)))
    return swept


def _guarded(what: str, part: Flow[T], swept: Swept) -> Flow[T | None]:
    """Runs one part of the sweep. Any error, also a bug, is recorded and does not stop the other parts."""
    try:
        return (yield from part)
    except Exception as error:
        swept.failed.append(f"{what}: {type(error).__name__}: {error}")
        return None


def _by_tags(server: Server, actor: Actor, swept: Swept) -> Flow[None]:
    decision = sweep.by_tags(server, (yield from ask(Now())))
    if decision.action == "end":
        yield from _end(server, decision.reason, actor, swept)


def _walk(name: str, actor: Actor, swept: Swept) -> Flow[None]:
    yield from walk(names.run_name(name), actor)
    swept.walked.append(name)


def _by_records(server: Server, actor: Actor, swept: Swept) -> Flow[None]:
    """Judges a server whose tags are in order by the records of its run."""
    now = yield from ask(Now())
    tagged = server.tagged
    if isinstance(tagged, BadTags) or sweep.by_tags(server, now).action == "end" or server.state == "shutting-down":
        return
    intent = yield from read.record(Intent, names.attempt_key(*tagged, Intent.file))
    elected = yield from read.election(*tagged)
    decision = sweep.by_records(server, intent, elected, now)
    if decision.action == "end":
        yield from _end(server, decision.reason, actor, swept)


def _claim_missed(now: datetime, last: Heartbeat | NotStored, actor: Actor, swept: Swept) -> Flow[None]:
    since = now - BACK_AT_MOST
    if isinstance(last, Heartbeat):
        since = last.ticks_since or last.at
    claimed = yield from claim_missed(now, since, actor)
    swept.missed = [str(run) for run in claimed]
    if len(claimed) >= TICKS_A_SWEEP:
        swept.ticks_since = since


def _keep(now: datetime, keep_s: int, swept: Swept) -> Flow[str]:
    """Today, if all that is too old is removed; an empty string when the next sweep must continue."""
    removed = yield from keep(now, keep_s)
    swept.removed = removed.runs
    if removed.more:
        return ""
    return now.date().isoformat()


def _end(server: Server, why: str, actor: Actor, swept: Swept) -> Flow[None]:
    now = yield from ask(Now())
    yield from ask(Log(f"ending {server.id}", {"why": why, "run": server.run}))
    # The act before the note: a bucket that does not answer must not keep a server alive.
    yield from ask(TerminateServer(server.id))
    swept.ended[server.id] = why
    match server.tagged:
        case Tagged() as tagged:
            yield from _order_end(server, tagged, EndOrder(at=now, by=actor.who, why=why, server=server.id))


def _order_end(server: Server, tagged: Tagged, order: EndOrder) -> Flow[None]:
    """Records why the server was ended, if it is the elected one of its attempt."""
    match (yield from read.election(*tagged)):
        case Elected(server=elected) if elected == server.id:
            yield from ask(PutNew(names.attempt_key(*tagged, EndOrder.file), encode(order)))
