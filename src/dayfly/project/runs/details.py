"""Look up one run for `show`: its facts, its receipt, and what shows that its server will end. These flows only read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dayfly.core import names
from dayfly.core.facts import NOT_STORED, Attempt, Facts, NotStored, Server, Unreadable, WithEtag
from dayfly.core.records import Elected, Heartbeat, Latest, Published, Telling, Told
from dayfly.flows import read
from dayfly.flows.calls import Flow, Now, ReadConsole, ask
from dayfly.flows.gather import gather
from dayfly.project.runs.pauses import Pause, paused_jobs


@dataclass(frozen=True, kw_only=True)
class RunDetails:
    """All that `show` needs of a run. `at`: when it was looked up.

    `pauses`: of the job, if it is paused.
    `heartbeat`, and `console` (dayfly's lines on the server's console), are looked up only for a run with a live server.
    """

    facts: Facts
    at: datetime
    receipt: Mapping[str, Any] | NotStored | Unreadable = NOT_STORED
    latest: Latest | NotStored | Unreadable = NOT_STORED
    heartbeat: Heartbeat | NotStored | Unreadable = NOT_STORED
    console: tuple[str, ...] = ()
    pauses: Mapping[str, Pause] = field(default_factory=dict)
    told: Told | Telling | NotStored | Unreadable = NOT_STORED
    published: Published | NotStored | Unreadable = NOT_STORED


def look_up(run: names.RunName) -> Flow[RunDetails]:
    """Return what is known of a run now."""
    facts = yield from gather(run)
    receipt = yield from stored_receipt(facts)
    latest = yield from read.record(Latest, names.latest_key(run.job))
    heartbeat: Heartbeat | NotStored | Unreadable = NOT_STORED
    console: tuple[str, ...] = ()
    match facts.attempt.closed, facts.attempt.server:
        case NotStored(), Server(id=server):
            heartbeat = yield from read.record(Heartbeat, names.HEARTBEAT)
            console = yield from ask(ReadConsole(server))
    pauses = yield from paused_jobs(run.job)
    now = yield from ask(Now())
    return RunDetails(
        facts=facts,
        at=now,
        receipt=receipt,
        latest=latest,
        heartbeat=heartbeat,
        console=console,
        pauses=pauses,
        told=(yield from _told(facts)),
        published=(yield from _published(facts)),
    )


def _published(facts: Facts) -> Flow[Published | NotStored | Unreadable]:
    """Return where the result of the newest attempt stands for others."""
    if not facts.published:
        return NOT_STORED
    return (yield from read.record(Published, names.attempt_key(facts.run, facts.attempt.number, Published.file)))


def _told(facts: Facts) -> Flow[Told | Telling | NotStored | Unreadable]:
    """Return what people were told about the newest attempt, or what of that was tried so far."""
    if facts.told:
        return (yield from read.record(Told, names.attempt_key(facts.run, facts.attempt.number, Told.file)))
    match facts.telling:
        case WithEtag(record=telling):
            return telling
    return NOT_STORED


def stored_receipt(facts: Facts) -> Flow[Mapping[str, Any] | NotStored | Unreadable]:
    """Return the receipt of the newest attempt."""
    if not facts.attempt.receipt:
        return NOT_STORED
    return (yield from read.receipt(facts.run, facts.attempt.number))


def out_prefix(run: names.RunName, attempt: Attempt) -> str:
    """Return the prefix under which the attempt's server stores its log and outputs; empty if there is no server."""
    match attempt.election:
        case Elected(server=server):
            return names.out_prefix(run, attempt.number, attempt.intent.role_id, server)
    return ""
