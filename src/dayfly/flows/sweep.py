"""The sweeper's flow: end what must go, walk every open run, re-arm, remove what is too old, leave a heartbeat.

Servers past their deadline are ended first, from EC2's word alone: nothing that fails later can keep one alive. A run that
can not be walked now does not stop the others; the flow then says so at its end instead of leaving a good heartbeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dayfly.core import names, sweep
from dayfly.core.facts import Server
from dayfly.core.records import Elected, EndOrder, Heartbeat, Intent, decode, encode
from dayfly.errors import DayflyError, Unclear
from dayfly.flows.calls import EndServer, Flow, Get, List, Now, Put, PutNew, Say, Servers, ask
from dayfly.flows.gather import record
from dayfly.flows.keep import keep
from dayfly.flows.place import Place
from dayfly.flows.walk import walk


@dataclass
class Swept:
    """What one sweep did: servers ended with their reasons, runs walked, and what went wrong."""

    ended: dict[str, str] = field(default_factory=dict)
    walked: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def sweep_project(place: Place, keep_s: int) -> Flow[Swept]:
    """One sweep. Raises Unclear at the end when any part of it had no clear answer; the rest was done all the same."""
    swept = Swept()
    servers = yield from ask(Servers())
    for server in servers:
        now = yield from ask(Now())
        decision = sweep.by_tags(server, now)
        if decision.action == "end":
            yield from _end(server, decision.reason, place, swept)
    for key in (yield from ask(List(names.OPEN))):
        yield from _walk(key.removeprefix(names.OPEN), place, swept)
    for server in servers:
        if server.id not in swept.ended and not server.gone:
            yield from _by_records(server, place, swept)
    last = yield from ask(Get(names.HEARTBEAT))
    kept = decode(Heartbeat, last.body).kept if last else ""
    now = yield from ask(Now())
    today = now.date().isoformat()
    if kept != today:
        swept.removed = yield from keep(now, keep_s)
    if swept.failed:
        raise Unclear(f"the sweep was not whole: {'; '.join(swept.failed)}", hint="the next sweep tries again")
    beat = Heartbeat(at=now, ended=len(swept.ended), open_runs=len(swept.walked), kept=today)
    yield from ask(Put(names.HEARTBEAT, encode(beat)))
    return swept


def _walk(name: str, place: Place, swept: Swept) -> Flow[None]:
    try:
        yield from walk(names.run_name(name), place)
        swept.walked.append(name)
    except (DayflyError, ValueError) as error:
        swept.failed.append(f"{name}: {error}")


def _by_records(server: Server, place: Place, swept: Swept) -> Flow[None]:
    """A server that its tags let live: is it the elected one of an intended attempt?"""
    now = yield from ask(Now())
    if sweep.by_tags(server, now).action == "end":
        return
    try:
        run = names.run_name(server.run)
    except ValueError:
        yield from _end(server, "its run tag is bad", place, swept)
        return
    assert server.attempt is not None
    intent = yield from record(Intent, names.attempt_key(run, server.attempt, "intent"))
    elected = yield from record(Elected, names.attempt_key(run, server.attempt, "server"))
    decision = sweep.by_records(server, intent, elected, now)
    if decision.action == "end":
        yield from _end(server, decision.reason, place, swept)


def _end(server: Server, why: str, place: Place, swept: Swept) -> Flow[None]:
    now = yield from ask(Now())
    yield from ask(Say(f"ending {server.id}", {"why": why, "run": server.run}))
    try:
        # The act before the note: a bucket that does not answer must not keep a server alive.
        yield from ask(EndServer(server.id))
        swept.ended[server.id] = why
        run = names.run_name(server.run)
        if server.attempt is not None:
            elected = yield from record(Elected, names.attempt_key(run, server.attempt, "server"))
            if elected is not None and elected.server == server.id:
                order = EndOrder(at=now, by=place.who, why=why, server=server.id)
                yield from ask(PutNew(names.attempt_key(run, server.attempt, "end"), encode(order)))
    except ValueError:
        return
    except DayflyError as error:
        swept.failed.append(f"{server.id}: {error}")
