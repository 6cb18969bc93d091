"""Which version of a job is in force at a time, and which ticks its schedule makes due. Nothing about runs or claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from dayfly.core import names, schedule
from dayfly.core.model import Deployed, Version

Zones = Callable[[str], ZoneInfo]
"""The time zone of a name such as Europe/Berlin."""


class Period(NamedTuple):
    """The version with this key is in force from `start` to before `end`."""

    key: str
    start: datetime
    end: datetime


def in_force(versions: Iterable[Version], moment: datetime) -> Version | None:
    """The version in force: the newest whose `effective_from` is not later than `moment`."""
    held = [version for version in versions if version.effective_from <= moment]
    return max(held, key=lambda version: version.effective_from, default=None)


def key_in_force(keys: Iterable[str], moment: datetime) -> str | None:
    """The same by the keys of the versions alone."""
    held = [key for key in keys if names.version_since(key) <= moment]
    return max(held, key=names.version_since, default=None)


def periods(keys: Iterable[str], until: datetime) -> list[Period]:
    """When each of a job's versions is in force, oldest first; the newest until `until`."""
    ordered = sorted(keys, key=names.version_since)
    starts = [names.version_since(key) for key in ordered]
    return [Period(*each) for each in zip(ordered, starts, [*starts[1:], until], strict=False)]


def is_due(version: Deployed, tick: datetime, zones: Zones) -> bool:
    """Whether the version's schedule makes this tick due."""
    return schedule.due(_schedule(version, zones), tick)


def overdue(
    version: Deployed, start: datetime, end: datetime, now: datetime, zones: Zones, grace: timedelta = timedelta(0)
) -> Iterator[datetime]:
    """The version's ticks from `start` to before `end` that are older than start_within plus `grace`."""
    last = min(end, now - start_within(version) - grace)
    if start < last:
        yield from schedule.ticks_between(_schedule(version, zones), start, last)


def start_within(version: Deployed) -> timedelta:
    """How late a tick may start."""
    return timedelta(seconds=version.job.start_within_s)


def _schedule(version: Deployed, zones: Zones) -> schedule.Schedule:
    return schedule.parse(version.job.schedule, zones(version.job.timezone))
