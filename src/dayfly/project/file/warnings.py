"""What a valid dayfly.toml may surprise with in the coming year: clocks that change, times that are past. Errors live elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dayfly.core import schedule
from dayfly.core.cron import Cron
from dayfly.core.model import Job, Project
from dayfly.core.schedule import At, Schedule
from dayfly.project.file.problems import Problem

_AHEAD = timedelta(days=366)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Change:
    """A clock set forward or back: the local times from `start` to before `end` are missing, or come twice."""

    start: datetime
    end: datetime
    repeated: bool


def find_warnings(project: Project, now: datetime, zones: Callable[[str], ZoneInfo]) -> tuple[Problem, ...]:
    """Warnings about the year after `now` (aware). No line: the project no longer knows where it was written."""
    changes: dict[str, tuple[Change, ...]] = {}
    found: list[Problem] = []
    for job in project.jobs.values():
        zone = zones(job.timezone)
        if job.timezone not in changes:
            changes[job.timezone] = tuple(clock_changes(zone, now, now + _AHEAD))
        meant = schedule.parse(job.schedule, zone)
        found += _past(job, meant, now)
        found += _changing(job, meant, changes[job.timezone], now)
    return tuple(found)


def clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Change]:
    """The changes of this clock between two moments (aware), to the minute."""
    step = timedelta(hours=12)
    moment = start.astimezone(UTC).replace(second=0, microsecond=0)
    while moment < end:
        later = moment + step
        if _offset(moment, zone) != _offset(later, zone):
            yield _change(moment, later, zone)
        moment = later


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> Change:
    old = _offset(before, zone)
    while after - before > _MINUTE:
        middle = before + (after - before) // 2
        middle = middle.replace(second=0, microsecond=0)
        before, after = (middle, after) if _offset(middle, zone) == old else (before, middle)
    gone = (after + old).replace(tzinfo=None)
    come = (after + _offset(after, zone)).replace(tzinfo=None)
    return Change(min(gone, come), max(gone, come), come < gone)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None  # a ZoneInfo always has one
    return offset


def _past(job: Job, meant: Schedule, now: datetime) -> Iterator[Problem]:
    if not meant.entries or schedule.next_ticks(meant, now, 1):
        return
    path = f"jobs.{job.name}.schedule"
    text = ", ".join(job.schedule)
    yield Problem(
        path, None, f"{text} is past: no run is to come", remedies=("a later time, or remove it to run by hand",)
    )


def _changing(job: Job, meant: Schedule, changes: tuple[Change, ...], now: datetime) -> Iterator[Problem]:
    missing, twice = _hit(meant, changes, now, repeated=False), _hit(meant, changes, now, repeated=True)
    path = f"jobs.{job.name}.schedule"
    if missing:
        change, local = missing
        lost = "no run that night" if schedule.once_a_day(meant) else "no run then"
        also = f" ({_day(twice[1])}: {twice[1]:%H:%M} comes twice, one run)" if twice else ""
        message = f"on {_day(local)} {local.year} there is no {local:%H:%M} in {job.timezone}: {lost}{also}"
    elif twice:
        change, local = twice
        message = f"on {_day(local)} {local.year} {local:%H:%M} comes twice in {job.timezone}: one run, the first"
    else:
        return
    window = f"{change.start:%H:%M}-{change.end:%H:%M}"
    yield Problem(path, None, message, remedies=(f'move it out of {window}, or use timezone = "UTC"',))


def _hit(
    meant: Schedule, changes: tuple[Change, ...], now: datetime, *, repeated: bool
) -> tuple[Change, datetime] | None:
    """The first change that a time of the schedule falls into, and that time."""
    for change in changes:
        if change.repeated != repeated:
            continue
        times = [local for entry in meant.entries if _counts(entry, repeated) for local in _inside(entry, change)]
        ahead = [local for local in times if (schedule.instant(local, meant.zone) or now) >= now]
        if ahead:
            return change, min(ahead)
    return None


def _counts(entry: Cron | At, repeated: bool) -> bool:
    """A job of every hour loses nothing by a missing hour: its next tick is there in time. By a repeated one it does."""
    return repeated or isinstance(entry, At) or len(entry.hours) < 24


def _inside(entry: Cron | At, change: Change) -> Iterator[datetime]:
    local = change.start
    while local < change.end:
        if entry.fits(local):
            yield local
        local += _MINUTE


def _day(local: datetime) -> str:
    return f"{local.day} {local:%b}"
