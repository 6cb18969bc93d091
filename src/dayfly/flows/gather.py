"""Gathers all facts of one run, first from EC2 and then from the bucket. Reads only; decides nothing.

The order matters: a server that stores its end and terminates between the two reads is seen with its end.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from dayfly.core import claim as claims
from dayfly.core import names, report, unreadable
from dayfly.core.facts import NOT_STORED, Attempt, Facts, NotShown, NotStored, Server, Unreadable, WithEtag
from dayfly.core.model import Version
from dayfly.core.reasons import Flaw, Outcome
from dayfly.core.records import (
    ASK,
    Absent,
    Cancel,
    Claim,
    Closed,
    Elected,
    Election,
    Ended,
    EndOrder,
    Intent,
    Latest,
    NextAsk,
    Opened,
    Published,
    Sent,
    Slot,
    SpotRefused,
    Started,
    Telling,
    Told,
    Trouble,
)
from dayfly.flows import read
from dayfly.flows.calls import FindServer, Flow, IsArmed, List, ListServers, Now, ask

R = TypeVar("R")

_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_ASK = re.compile(rf"{ASK}([2-9]|[1-9][0-9])\.json")


def gather(run: names.RunName, seen: tuple[Server, ...] = ()) -> Flow[Facts]:
    """Return all facts of a run. `seen`: servers that EC2 named in an answer or an event and may not list yet."""
    servers = _with_named((yield from ask(ListServers(run=str(run)))), seen)
    now = yield from ask(Now())
    # The slot is read first. A write to it names this etag, so it fails if another process changed the slot after this read.
    slot = yield from read.with_etag(Slot, names.slot_key(run.job))
    opened = yield from read.with_etag(Opened, names.open_key(run))
    keys = yield from ask(List(names.run_prefix(run)))
    claim = yield from read.claim(run, keys)
    attempts: list[Attempt] = []
    for number in attempt_numbers(run, keys):
        attempts += yield from _attempt(run, number, keys, servers, now)
    numbers = {attempt.number for attempt in attempts}
    if (yield from _removed_meanwhile(run, keys, opened, claim, numbers)):
        return (yield from gather(run, seen))
    facts = Facts(
        run=run,
        opened=opened,
        claim=claim,
        slot=slot,
        others_open=(yield from _others_open(run, slot)),
        attempts=tuple(attempts),
        unassigned=tuple(server for server in servers if server.attempt not in numbers),
    )
    facts = replace(
        facts,
        versions=(yield from _versions(facts, now)),
        paused=(yield from read.paused(facts)),
        cancel=(yield from _listed(Cancel, names.attempt_key(run, facts.attempt_number, Cancel.file), keys)),
    )
    if facts.cancelled:
        facts = yield from _with_cancel_sent(facts)
    if not facts.over:
        return facts
    latest = yield from read.with_etag(Latest, names.latest_key(run.job))
    facts = replace(facts, latest=latest, done=(yield from done_names(run)))
    return (yield from _with_notification(facts, keys))


def _with_notification(facts: Facts, keys: tuple[str, ...]) -> Flow[Facts]:
    """Return the facts with what people were told about the newest attempt. The job's trouble matters to a good one only."""
    published = names.attempt_key(facts.run, facts.attempt.number, Published.file) in keys
    facts = replace(facts, published=published)
    if names.attempt_key(facts.run, facts.attempt.number, Told.file) in keys:
        return replace(facts, told=True)
    key = names.attempt_key(facts.run, facts.attempt.number, Telling.file)
    if key in keys:
        facts = replace(facts, telling=(yield from read.with_etag(Telling, key)))
    match facts.attempt.closed:
        case Closed(outcome=Outcome.SUCCEEDED) if facts.is_open:
            return replace(facts, trouble=(yield from read.with_etag(Trouble, names.trouble_key(facts.run.job))))
    return facts


def _with_named(listed: tuple[Server, ...], seen: tuple[Server, ...]) -> tuple[Server, ...]:
    """Return the listed servers, with the time of an event that named one, and the named ones that are not listed."""
    named = {server.id: server for server in seen}
    shown = {server.id for server in listed}
    timed = (replace(server, event_at=named.get(server.id, server).event_at) for server in listed)
    return (*timed, *(server for server in seen if server.id not in shown))


def _listed(kind: type[R], key: str, keys: tuple[str, ...]) -> Flow[R | NotStored | Unreadable]:
    """Return a record of the run. `keys`, the listing of its records, already says whether it is there."""
    if key not in keys:
        return NOT_STORED
    return (yield from read.record(kind, key))


def _others_open(run: names.RunName, slot: object) -> Flow[bool]:
    """Return whether other runs of the job are open. Only a slot that cannot be read makes this matter."""
    match slot:
        case WithEtag(record=Unreadable()):
            keys = yield from ask(List(f"{names.OPEN}{run.job}@"))
            runs = names.run_names(key.removeprefix(names.OPEN) for key in keys)
            return any(other != run for other in runs)
    return False


def _removed_meanwhile(
    run: names.RunName, keys: tuple[str, ...], opened: object, claim: object, numbers: set[int]
) -> Flow[bool]:
    """Return whether the run was removed between these reads: what is left of it would look like a run that must begin."""
    if names.claim_key(run) not in keys:
        return isinstance(opened, WithEtag) and opened != (yield from read.with_etag(Opened, names.open_key(run)))
    return isinstance(claim, NotStored) or numbers != set(attempt_numbers(run, keys))


def done_names(run: names.RunName) -> Flow[tuple[names.DoneName, ...]]:
    """Return what the markers of a run under done/ say, one per attempt."""
    return names.done_names((yield from ask(List(names.done_prefix(run)))))


def attempt_numbers(run: names.RunName, keys: tuple[str, ...]) -> list[int]:
    """Return the numbers of the attempts that have an intent."""
    start = len(names.run_prefix(run))
    found = []
    for key in keys:
        number, _, record = key[start:].partition("/")
        if record == f"{Intent.file}.json" and _NUMBER.fullmatch(number):
            found.append(int(number))
    return sorted(found)


def _attempt(
    run: names.RunName, number: int, keys: tuple[str, ...], servers: tuple[Server, ...], now: datetime
) -> Flow[tuple[Attempt, ...]]:
    """Return the attempt with this number; empty if its intent was removed since the listing."""
    bad: list[Unreadable] = []

    def key(kind: type[Any]) -> str:
        return names.attempt_key(run, number, kind.file)

    def known(kind: type[R]) -> Flow[R | NotStored]:
        match (yield from _listed(kind, key(kind), keys)):
            case Unreadable() as found:
                bad.append(found)
                instead: R | NotStored = unreadable.instead(kind, found, now)
                return instead
            case record:
                return record

    own = tuple(server for server in servers if server.attempt == number)
    intent = yield from _listed(Intent, key(Intent), keys)
    if isinstance(intent, NotStored):
        return ()
    if isinstance(intent, Unreadable):
        bad.append(intent)
        intent = unreadable.intent(run, number, own)
    elected: Election | NotStored | Unreadable = NOT_STORED
    if key(Elected) in keys:
        elected = yield from read.election(run, number)
    sighting: WithEtag[Absent] | WithEtag[Unreadable] | NotStored = NOT_STORED
    if key(Absent) in keys:
        sighting = yield from read.with_etag(Absent, key(Absent))
    asks, bad_asks = yield from _asks(run, number, keys)
    attempt = Attempt(
        number=number,
        intent=intent,
        asks=asks,
        spot_refused=(yield from known(SpotRefused)),
        election=elected,
        absent=sighting,
        end_order=(yield from known(EndOrder)),
        closed=(yield from known(Closed)),
        receipt=names.attempt_key(run, number, "receipt") in keys,
        servers=own,
        go_sent=key(Sent) in keys,
        unreadable=(*bad, *bad_asks),
    )
    if isinstance(elected, Elected):
        attempt = yield from _with_elected(attempt, elected)
        attempt = yield from _with_reports(run, attempt, elected)
    return (replace(attempt, armed=(yield from _armed(attempt))),)


def _asks(run: names.RunName, number: int, keys: tuple[str, ...]) -> Flow[tuple[tuple[NextAsk, ...], list[Unreadable]]]:
    """Return the requests to EC2 that followed the first ones, in order, and those that cannot be read.

    After one that cannot be read nothing more is asked: its number is taken, and it may have got a server.
    """
    folder = names.attempt_key(run, number, "").removesuffix(".json")
    listed = [_ASK.fullmatch(key.removeprefix(folder)) for key in keys if key.startswith(folder)]
    asks: list[NextAsk] = []
    bad: list[Unreadable] = []
    for place in sorted(int(found[1]) for found in listed if found):
        match (yield from read.record(NextAsk, names.attempt_key(run, number, f"{ASK}{place}"))):
            case NextAsk() as record:
                asks.append(record)
            case Unreadable() as unreadable:
                bad.append(unreadable)
    return tuple(asks), bad


def _with_elected(attempt: Attempt, elected: Elected) -> Flow[Attempt]:
    """Return the attempt with its elected server. If the list by tags lacks it, ask by its id: a tag can be removed."""
    if isinstance(attempt.server, Server):
        return attempt
    match (yield from ask(FindServer(elected.server))):
        case Server() as found:
            return replace(attempt, servers=(*attempt.servers, found))
        case NotShown():
            return attempt


def _with_reports(run: names.RunName, attempt: Attempt, elected: Elected) -> Flow[Attempt]:
    """Return the attempt with what its agent reported. EC2 was asked before, so an end that was reported in time is seen."""
    prefix = names.out_prefix(run, attempt.number, attempt.intent.role_id, elected.server)
    bad = list(attempt.unreadable)
    started = yield from read.record(Started, names.started_key(prefix))
    if isinstance(started, Unreadable):
        bad.append(started)
        started = NOT_STORED
    if isinstance(started, Started):
        started = report.started(started)
    ended = yield from read.record(Ended, names.ended_key(prefix))
    if isinstance(ended, Unreadable):
        bad.append(ended)
        ended = NOT_STORED
    if isinstance(ended, Ended):
        ended = report.ended(ended, prefix)
    return replace(attempt, started=started, ended=ended, unreadable=tuple(bad))


def _with_cancel_sent(facts: Facts) -> Flow[Facts]:
    """Return the facts with whether the elected server of a cancelled attempt was told."""
    match facts.attempt:
        case Attempt(closed=NotStored(), election=Elected(server=server), intent=intent):
            return facts.with_newest(cancel_sent=(yield from read.exists(names.go_cancel_key(intent.role_id, server))))
    return facts


def _armed(attempt: Attempt) -> Flow[frozenset[str]]:
    """Return which of the attempt's servers have a kill schedule."""
    servers = {server.id for server in attempt.servers}
    if attempt.elected_id:
        servers.add(attempt.elected_id)
    armed: set[str] = set()
    for server in sorted(servers):
        if (yield from ask(IsArmed(server))):
            armed.add(server)
    return frozenset(armed)


def _versions(facts: Facts, now: datetime) -> Flow[tuple[Version | Unreadable, ...]]:
    """Return the versions that can matter: those that the records name, and the one that a claim or a retry would take."""
    named = {attempt.intent.version for attempt in facts.attempts}
    match facts.claim:
        case Claim(version=decided):
            named.add(decided)
    found: list[Version | Unreadable] = []
    for key in sorted(named - {""}):
        match (yield from read.version(key)):
            case NotStored():
                found.append(Unreadable(key, Flaw.NOT_STORED))
            case version:
                found.append(version)
    match facts.claim, facts.opened:
        case NotStored() | Claim(), WithEtag(record=Opened() as opened) if facts.undecided:
            found += yield from read.in_force(facts.run.job, claims.decided_at(opened, facts.run.tick, now))
        case Claim(), WithEtag(record=Opened(retry=int())):
            found += yield from read.in_force(facts.run.job, now)
    return tuple({version.key: version for version in found}.values())
