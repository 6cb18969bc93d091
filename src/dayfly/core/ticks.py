"""Which version of a job is in force at a time, and which ticks its schedule makes due. Nothing about runs or claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dayfly.core import names, schedule
from dayfly.core.model import Deployed, Version

Zones = Callable[[str], ZoneInfo]
"""A function that returns the time zone of a name such as Europe/Berlin."""


class Period(NamedTuple):
    """The version with this key is in force from `start` to before `end`."""

    key: str
    start: datetime
    end: datetime


def in_force(versions: Iterable[Version], moment: datetime) -> Version | None:
    """Return the version in force: the newest whose `effective_from` is not later than `moment`."""
    begun = [version for version in versions if version.effective_from <= moment]
    return max(begun, key=lambda version: version.effective_from, default=None)


def key_in_force(keys: Iterable[str], moment: datetime) -> str | None:
    """Return the key of the version in force, found without reading the versions."""
    begun = [key for key in keys if names.effective_from_of(key) <= moment]
    return max(begun, key=names.effective_from_of, default=None)


def periods(keys: Iterable[str], until: datetime) -> list[Period]:
    """Return when each of a job's versions is in force, oldest first; the newest until `until`."""
    ordered = sorted(keys, key=names.effective_from_of)
    starts = [names.effective_from_of(key) for key in ordered]
    ends = [*starts[1:], until]
    return [Period(key, start, end) for key, start, end in zip(ordered, starts, ends, strict=False)]


def is_due(version: Deployed, tick: datetime, zones: Zones) -> bool:
    """Return whether this time is a tick of the version's schedule."""
    return schedule.due(_schedule(version, zones), tick)


def overdue(
    version: Deployed, start: datetime, end: datetime, now: datetime, zones: Zones, grace: timedelta = timedelta(0)
) -> Iterator[datetime]:
    """Yield the version's ticks from `start` on and before `end` that are too old to start, by more than `grace`."""
    last = min(end, now - start_within(version) - grace)
    if start < last:
        yield from schedule.ticks_between(_schedule(version, zones), start, last)


def start_within(version: Deployed) -> timedelta:
    """Return how late a tick may start."""
    return timedelta(seconds=version.job.start_within_s)


def _schedule(version: Deployed, zones: Zones) -> schedule.Schedule:
    return schedule.parse(version.job.schedule, zones(version.job.timezone))
