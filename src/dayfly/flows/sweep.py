"""The sweeper's flow: end what must go, walk every open run, re-arm, remove what is too old, leave a heartbeat.

Servers past their deadline are ended first, from EC2's word alone: nothing that fails later can keep one alive. A run that
can not be walked now does not stop the others; the flow then says so at its end instead of leaving a good heartbeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from dayfly.core import names, sweep
from dayfly.core.facts import Server
from dayfly.core.records import Elected, EndOrder, Heartbeat, Intent, encode
from dayfly.errors import Unclear
from dayfly.flows.actor import Actor
from dayfly.flows.calls import EndServer, Flow, List, Log, Now, Put, PutNew, Servers, ask
from dayfly.flows.gather import record
from dayfly.flows.keep import keep
from dayfly.flows.missed import BACK_AT_MOST, TICKS_A_SWEEP, claim_missed
from dayfly.flows.walk import walk

T = TypeVar("T")


@dataclass
class Swept:
    """What one sweep did: servers ended with their reasons, runs walked, and what went wrong."""

    ended: dict[str, str] = field(default_factory=dict)
    walked: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    ticks_since: datetime | None = None
    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def sweep_project(actor: Actor, keep_s: int) -> Flow[Swept]:
    """One sweep. Raises Unclear at the end when any part of it had no clear answer; the rest was done all the same."""
    swept = Swept()
    servers = yield from ask(Servers())
    for server in servers:
        yield from _guarded(server.id, _by_tags(server, actor, swept), swept)
    for key in (yield from ask(List(names.OPEN))):
        name = key.removeprefix(names.OPEN)
        yield from _guarded(name, _walk(name, actor, swept), swept)
    for server in servers:
        if server.id not in swept.ended and not server.gone:
            yield from _guarded(server.id, _by_records(server, actor, swept), swept)
    last = yield from record(Heartbeat, names.HEARTBEAT)
    now = yield from ask(Now())
    yield from _guarded("ticks", _claim_missed(now, last, actor, swept), swept)
    kept = last.kept if last else ""
    if kept != now.date().isoformat():
        kept = (yield from _guarded("keep", _keep(now, keep_s, swept), swept)) or kept
    if swept.failed:
        raise Unclear(f"the sweep was not whole: {'; '.join(swept.failed)}", hint="the next sweep tries again")
    beat = Heartbeat(
        at=now, ended=len(swept.ended), open_runs=len(swept.walked), kept=kept, ticks_since=swept.ticks_since
    )
    yield from ask(Put(names.HEARTBEAT, encode(beat)))
    return swept


def _guarded(what: str, part: Flow[T], swept: Swept) -> Flow[T | None]:
    """One part of the sweep. Whatever breaks in it, a bug of ours too, is noted and stops no other part."""
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
    """A server that its tags let live: is it the elected one of an intended attempt?"""
    now = yield from ask(Now())
    if sweep.by_tags(server, now).action == "end" or server.state == "shutting-down":
        return
    try:
        run = names.run_name(server.run)
    except ValueError:
        yield from _end(server, "its run tag is bad", actor, swept)
        return
    assert server.attempt is not None
    intent = yield from record(Intent, names.attempt_key(run, server.attempt, "intent"))
    elected = yield from record(Elected, names.attempt_key(run, server.attempt, "server"))
    decision = sweep.by_records(server, intent, elected, now)
    if decision.action == "end":
        yield from _end(server, decision.reason, actor, swept)


def _claim_missed(now: datetime, last: Heartbeat | None, actor: Actor, swept: Swept) -> Flow[None]:
    since = (last.ticks_since or last.at) if last else None
    claimed = yield from claim_missed(now, since, actor)
    swept.missed = [str(run) for run in claimed]
    swept.ticks_since = (since or now - BACK_AT_MOST) if len(claimed) >= TICKS_A_SWEEP else None


def _keep(now: datetime, keep_s: int, swept: Swept) -> Flow[str]:
    """The day on which all that is too old was removed, or an empty string: there is more for the next sweep."""
    removed = yield from keep(now, keep_s)
    swept.removed = removed.runs
    return "" if removed.more else now.date().isoformat()


def _end(server: Server, why: str, actor: Actor, swept: Swept) -> Flow[None]:
    now = yield from ask(Now())
    yield from ask(Log(f"ending {server.id}", {"why": why, "run": server.run}))
    # The act before the note: a bucket that does not answer must not keep a server alive.
    yield from ask(EndServer(server.id))
    swept.ended[server.id] = why
    if server.attempt is None:
        return
    try:
        run = names.run_name(server.run)
    except ValueError:
        return
    elected = yield from record(Elected, names.attempt_key(run, server.attempt, "server"))
    if elected is not None and elected.server == server.id:
        order = EndOrder(at=now, by=actor.who, why=why, server=server.id)
        yield from ask(PutNew(names.attempt_key(run, server.attempt, "end"), encode(order)))
