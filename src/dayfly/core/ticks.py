"""Which version of a job is in force at a time, and which ticks its schedule makes due. Nothing about runs or claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dayfly.core import names, schedule
from dayfly.core.facts import Unreadable
from dayfly.core.model import Timetable, Version

Zones = Callable[[str], ZoneInfo]
"""A function that returns the time zone of a name such as Europe/Berlin."""


NEVER = Timetable(schedule=(), timezone="UTC", start_within_s=0)
"""The timetable of a job that is never due."""


class Period(NamedTuple):
    """The version with this key is in force from `start` to before `end`."""

    key: str
    start: datetime
    end: datetime


def in_force(versions: Iterable[Version | Unreadable], moment: datetime) -> Version | Unreadable | None:
    """Return the version in force: the newest that is in force since `moment` or earlier, also if it cannot be read."""
    begun = [version for version in versions if names.effective_from_of(version.key) <= moment]
    return max(begun, key=lambda version: names.effective_from_of(version.key), default=None)


def periods(keys: Iterable[str], until: datetime) -> list[Period]:
    """Return when each of a job's versions is in force, oldest first; the newest until `until`."""
    ordered = sorted(keys, key=names.effective_from_of)
    starts = [names.effective_from_of(key) for key in ordered]
    ends = [*starts[1:], until]
    return [Period(key, start, end) for key, start, end in zip(ordered, starts, ends, strict=False)]


def is_due(timetable: Timetable, tick: datetime, zones: Zones) -> bool:
    """Return whether this time is a tick of the timetable."""
    return schedule.due(_schedule(timetable, zones), tick)


def due(timetable: Timetable, start: datetime, end: datetime, zones: Zones) -> Iterator[datetime]:
    """Yield the ticks from `start` on and before `end`."""
    if timetable.schedule and start < end:
        yield from schedule.ticks_between(_schedule(timetable, zones), start, end)


def overdue(timetable: Timetable, start: datetime, end: datetime, now: datetime, zones: Zones) -> Iterator[datetime]:
    """Yield the ticks from `start` on and before `end` that are too old to start."""
    yield from due(timetable, start, min(end, now - start_within(timetable)), zones)


def start_within(timetable: Timetable) -> timedelta:
    """Return how late a tick may start."""
    return timedelta(seconds=timetable.start_within_s)


def _schedule(timetable: Timetable, zones: Zones) -> schedule.Schedule:
    return schedule.parse(timetable.schedule, zones(timetable.timezone))
