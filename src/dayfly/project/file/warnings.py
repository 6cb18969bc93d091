"""Find what is valid in a dayfly.toml but surprising: ticks that a clock change drops or repeats in the next year, times in the past,
and server types that the catalogue does not have.

Errors are found in config.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from dayfly.core import schedule
from dayfly.core.cron import Cron
from dayfly.core.model import Job, Project
from dayfly.core.notification import Receivers
from dayfly.core.schedule import At, Schedule
from dayfly.project.file import catalogue
from dayfly.project.file.problems import Problem

_AHEAD = timedelta(days=366)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the clock. Local times from `start` to before `end` do not exist or, if `repeated`, occur twice."""

    start: datetime
    end: datetime
    repeated: bool


def find_warnings(project: Project, now: datetime, zones: Callable[[str], ZoneInfo]) -> tuple[Problem, ...]:
    """Return the warnings about the year after `now` (with a time zone). They have no line numbers, because a project has none."""
    changes: dict[str, tuple[Change, ...]] = {}
    found: list[Problem] = list(_notify(project))
    for job in project.jobs.values():
        zone = zones(job.timezone)
        if job.timezone not in changes:
            changes[job.timezone] = tuple(clock_changes(zone, now, now + _AHEAD))
        parsed = schedule.parse(job.schedule, zone)
        found += _past(job, parsed, now)
        found += _changing(job, parsed, changes[job.timezone], now)
        found += _unknown_types(job)
    return tuple(found)


def _notify(project: Project) -> Iterator[Problem]:
    """Yield a warning if nobody hears of failures, or nobody of dayfly's own alarms, which the topic mails."""
    receivers = Receivers(addresses=project.notify)
    if not any(job.schedule for job in project.jobs.values()):
        return
    if not project.notify:
        message = "is empty: nobody is told when a scheduled run fails or is missed"
        yield Problem("notify", None, message, remedies=('notify = ["you@acme.example"]',))
    elif not receivers.mails:
        message = (
            "has no e-mail address: nobody hears the alarms about dayfly itself (no sweep, an event that was lost)"
        )
        yield Problem("notify", None, message, remedies=("add an e-mail address; alarms do not go to URLs",))


def clock_changes(zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[Change]:
    """Yield the clock changes of this zone between two moments (with time zones), exact to the minute."""
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
        if _offset(middle, zone) == old:
            before = middle
        else:
            after = middle
    old_clock = (after + old).replace(tzinfo=None)
    new_clock = (after + _offset(after, zone)).replace(tzinfo=None)
    return Change(min(old_clock, new_clock), max(old_clock, new_clock), repeated=new_clock < old_clock)


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None  # a ZoneInfo always has one
    return offset


def _unknown_types(job: Job) -> Iterator[Problem]:
    day = catalogue.known_on()
    for server in job.servers:
        if server not in catalogue.types():
            message = f"{server} was not known as an EC2 type on {_day(day)} {day.year}; it may be newer"
            yield Problem(f"jobs.{job.name}.servers", None, message, remedies=("dayfly deploy asks AWS for it",))


def _past(job: Job, parsed: Schedule, now: datetime) -> Iterator[Problem]:
    if not parsed.entries or schedule.next_ticks(parsed, now, 1):
        return
    message = f"{', '.join(job.schedule)} is in the past: the job has no next tick"
    remedies = ("use a later time, or remove the schedule to run by hand",)
    yield Problem(f"jobs.{job.name}.schedule", None, message, remedies=remedies)


def _changing(job: Job, parsed: Schedule, changes: tuple[Change, ...], now: datetime) -> Iterator[Problem]:
    """Yield at most one warning: about a tick that does not exist, otherwise about one that occurs twice."""
    missing = _hit(parsed, changes, now, repeated=False)
    twice = _hit(parsed, changes, now, repeated=True)
    if missing:
        change, local = missing
        lost = "no run that night" if schedule.at_most_once_a_day(parsed) else "no run then"
        message = f"on {_day(local)} {local.year} there is no {local:%H:%M} in {job.timezone}: {lost}"
        if twice:
            message += f" ({_day(twice[1])}: {twice[1]:%H:%M} occurs twice, one run)"
    elif twice:
        change, local = twice
        message = f"on {_day(local)} {local.year} {local:%H:%M} occurs twice in {job.timezone}: one run, the first"
    else:
        return
    window = f"{change.start:%H:%M}-{change.end:%H:%M}"
    remedies = (f'move it out of {window}, or use timezone = "UTC"',)
    yield Problem(f"jobs.{job.name}.schedule", None, message, remedies=remedies)


def _hit(
    parsed: Schedule, changes: tuple[Change, ...], now: datetime, *, repeated: bool
) -> tuple[Change, datetime] | None:
    """Return the first change of this kind that affects a tick after `now`, and the local time of that tick."""
    entries = [entry for entry in parsed.entries if _is_affected(entry, repeated)]
    for change in changes:
        if change.repeated != repeated:
            continue
        times = [local for entry in entries for local in _inside(entry, change)]
        ahead = [local for local in times if (schedule.to_utc(local, parsed.zone) or now) >= now]
        if ahead:
            return change, min(ahead)
    return None


def _is_affected(entry: Cron | At, repeated: bool) -> bool:
    """Return whether a clock change matters. A missing hour does not matter to an hourly schedule: its next tick follows at once."""
    return repeated or isinstance(entry, At) or len(entry.hours) < 24


def _inside(entry: Cron | At, change: Change) -> Iterator[datetime]:
    local = change.start
    while local < change.end:
        if entry.matches(local):
            yield local
        local += _MINUTE


def _day(local: date) -> str:
    return f"{local.day} {local:%b}"
