"""Finds ticks that were due and have no run. One that may still start is delivered here; an older one is claimed as missed.

So every expected tick ends as a claim. The sweeper runs this. One LIST names the versions of all jobs, one the finished ticks of
a day; only ticks that are neither finished nor open are looked at one by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from dayfly.core import claim, names, ticks
from dayfly.core.event import LaunchAt
from dayfly.core.facts import Unreadable
from dayfly.core.model import Deployed, Timetable
from dayfly.core.reasons import Decision, Flaw, Source
from dayfly.core.record_json import encode
from dayfly.core.records import Opened, Paused
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, List, ListFrom, Log, Now, PutNew, ask
from dayfly.flows.launch import launch
from dayfly.flows.walk import walk

MAX_LOOKBACK = timedelta(days=2)
"""How far back to look after sweeper downtime. Older ticks stay without a claim, and `runs` shows them as missed."""
MAX_TICKS_PER_SWEEP = 500
_PAGE = 1000


@dataclass(frozen=True)
class Expected:
    """A tick that was due, and the version that was in force then."""

    run: names.RunName
    version: str
    timetable: Timetable


@dataclass
class Undelivered:
    """Ticks that have no run, oldest version first, and the timetables of the versions that were looked at, by key."""

    ticks: list[Expected] = field(default_factory=list)
    timetables: dict[str, Timetable] = field(default_factory=dict)


def find(
    now: datetime, since: datetime, known: Mapping[str, Timetable], running: frozenset[str], actor: Actor
) -> Flow[Undelivered]:
    """Return the ticks that may have no run.

    `since`: the last whole sweep. `known`: timetables by version, as an earlier sweep read them. `running`: names of open runs.
    """
    start = max(now - MAX_LOOKBACK, since - actor.intervals.delivery)
    found = Undelivered()
    expected: list[Expected] = []
    keys = yield from ask(List(names.VERSIONS))
    for key in keys:
        if not names.is_version_key(key):
            yield from read.noted(Unreadable(key, Flaw.BAD_KEY))
    for job, versions in groupby(filter(names.is_version_key, keys), key=lambda key: key.split("/")[1]):
        for period in ticks.periods(versions, now):
            # A tick can become too old long after its version was replaced: start_within is a day at most.
            if period.end < start - MAX_LOOKBACK:
                continue
            found.timetables[period.key] = yield from _timetable(period.key, known)
            expected += yield from _expected(job, period, found.timetables[period.key], start, now, actor)
    finished = yield from _finished(expected)
    found.ticks = [each for each in expected if each.run not in finished and str(each.run) not in running]
    return found


def catch_up(each: Expected, actor: Actor) -> Flow[bool]:
    """Deliver a tick while its start_within lasts; claim it as missed afterwards. Return whether it was claimed as missed."""
    now = yield from ask(Now())
    start_within = ticks.start_within(each.timetable)
    if now - each.run.tick <= start_within:
        request = f"sweeper {each.run}"
        wanted = LaunchAt(
            job=each.run.job,
            tick=each.run.tick,
            source=Source.SCHEDULE,
            request=request,
            by="sweeper",
            env={},
            publish=False,
        )
        yield from launch(wanted, actor)
        return False
    if now - each.run.tick <= start_within + actor.intervals.delivery:
        return False
    # Opened first, so that a later sweep finds the run if this one is cut off before people are told.
    opened = Opened(run=str(each.run), source=Source.SCHEDULE, at=now, request=f"sweeper {each.run}", by="sweeper")
    yield from ask(PutNew(names.open_key(each.run), encode(opened)))
    paused = yield from read.record(Paused, names.paused_key(each.run.job))
    missed = claim.not_delivered(each.run, each.version, each.timetable, paused, now)
    first = yield from ask(PutNew(names.claim_key(each.run), encode(missed)))
    if first:
        yield from ask(Log(f"{each.run}: {missed.decision}", {"why": missed.why}))
    yield from walk(each.run, actor)
    return first and missed.decision == Decision.MISSED


def _timetable(key: str, known: Mapping[str, Timetable]) -> Flow[Timetable]:
    """Return the timetable of a version. A version never changes, so one that is known is not read again."""
    if key in known:
        return known[key]
    match (yield from read.version(key)):
        case Deployed(job=job):
            return job.timetable
    return ticks.NEVER


def _expected(
    job: str, period: ticks.Period, timetable: Timetable, start: datetime, now: datetime, actor: Actor
) -> Flow[list[Expected]]:
    """Return the ticks of a version that should have been delivered by now, and were not too old at `start`."""
    first = max(period.start, start - ticks.start_within(timetable) - actor.intervals.delivery)
    try:
        due = list(ticks.due(timetable, first, min(period.end, now - actor.intervals.delivery), actor.zones))
    except (ValueError, LookupError, OSError):  # a time zone is read from a file
        yield from read.noted(Unreadable(period.key, Flaw.NO_SCHEDULE))
        return []
    return [Expected(names.RunName(job, tick), period.key, timetable) for tick in due]


def _finished(expected: list[Expected]) -> Flow[frozenset[names.RunName]]:
    """Return the runs that are marked as done on the days of these ticks, from the earliest of them on."""
    found: set[names.RunName] = set()
    earliest: dict[str, datetime] = {}
    for each in expected:
        day = names.done_day(each.run)
        earliest[day] = min(each.run.tick, earliest.get(day, each.run.tick))
    for day, tick in sorted(earliest.items()):
        after, page = f"{day}{names.utc_text(tick)}", ("",) * _PAGE
        while len(page) == _PAGE:
            page = yield from ask(ListFrom(day, after, most=_PAGE))
            found.update(done.run for done in names.done_names(page))
            after = max(page, default=after)
    return frozenset(found)
