"""When a job is due: parses expressions into a schedule, finds its ticks, describes it for screens and for EventBridge.

A schedule names minutes of the local clock. A minute that the clock skips has no tick; a minute that comes twice has one tick, the
first. Expressions that name the same minute name one tick. core/claim.py decides whether a tick leads to a run.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from dayfly.core import suggestions
from dayfly.core.cron import FIRST_YEAR, LAST_YEAR, WEEKDAYS, YEARS, Cron, ScheduleError, crontab, eventbridge
from dayfly.core.days import Days, LastDay, LastWeekday, MonthDays, NearestWorkday, NthWeekday, Weekdays

__all__ = [
    "At",
    "Schedule",
    "ScheduleError",
    "at_most_once_a_day",
    "describe",
    "due",
    "expressions",
    "next_ticks",
    "parse",
    "ticks_between",
    "to_utc",
]

_MACROS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_CALL = re.compile(r"(cron|rate|at)\s*\((.*)\)", re.IGNORECASE | re.DOTALL)
_RATE = re.compile(r"([0-9]{1,6})\s+(minute|hour|day)s?", re.IGNORECASE)
_EXPRESSION_LIMIT = 256  # characters, of EventBridge Scheduler


@dataclass(frozen=True, slots=True)
class At:
    """One local minute, once. `text` is the EventBridge expression."""

    text: str
    moment: datetime

    def matches(self, local: datetime) -> bool:
        return local == self.moment

    def times(self, first: date) -> Iterator[datetime]:
        if self.moment.date() >= first:
            yield self.moment


@dataclass(frozen=True, slots=True)
class Schedule:
    """The result of `parse`: expressions in one time zone. Without entries the job runs by hand only."""

    written: tuple[str, ...]
    entries: tuple[Cron | At, ...]
    zone: ZoneInfo


def parse(written: str | Sequence[str], zone: ZoneInfo) -> Schedule:
    """Read one expression or several in this time zone. Raises ScheduleError.

    Five fields are crontab's, `cron(...)` is EventBridge's; `rate(N unit)` is every N-th minute or hour of the clock, or
    every midnight; `at(2027-01-31T06:00:00)` is one time.
    """
    if isinstance(written, str):
        written = (written,)
    lines = tuple(written)
    entries: dict[str, Cron | At] = {}
    for line in lines:
        for entry in _entries(line.strip(), zone):
            entries.setdefault(entry.text, entry)
    return Schedule(lines, tuple(entries.values()), zone)


def expressions(schedule: Schedule) -> tuple[str, ...]:
    """Return the EventBridge Scheduler expressions to create, each once, in the schedule's time zone."""
    return tuple(entry.text for entry in schedule.entries)


def due(schedule: Schedule, tick: datetime) -> bool:
    """Return whether this aware time is a tick: a whole minute that matches. Of a repeated local time only the first is one."""
    local = tick.astimezone(schedule.zone)
    if local.fold:
        return False
    plain = local.replace(tzinfo=None)
    return any(entry.matches(plain) for entry in schedule.entries)


def ticks_between(schedule: Schedule, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the ticks from `start` on and before `end` (both aware), ascending, in UTC, each once.

    A generator, because a schedule of every minute has 525,600 ticks in a year.
    """
    # When the clock goes back across midnight, a future tick can have yesterday's date. So the search starts a day earlier.
    first = start.astimezone(schedule.zone).date()
    times = [entry.times(first - timedelta(days=1)) for entry in schedule.entries]
    previous: datetime | None = None
    for local in heapq.merge(*times):
        if local == previous:
            continue
        previous = local
        tick = to_utc(local, schedule.zone)
        if tick is None or tick < start:
            continue
        if tick >= end:
            return
        yield tick


def next_ticks(schedule: Schedule, after: datetime, count: int) -> tuple[datetime, ...]:
    """Return the next `count` ticks later than `after` (aware), in UTC; fewer if the schedule has no more before 2200."""
    start = after + timedelta(microseconds=1)
    return tuple(islice(ticks_between(schedule, start, datetime(LAST_YEAR, 12, 30, tzinfo=UTC)), count))


def to_utc(local: datetime, zone: ZoneInfo) -> datetime | None:
    """Return the UTC time of a naive local time: the first if the clock repeats it, None if the clock skips it."""
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local:
        return None
    return moment


# --- reading --------------------------------------------------------------------------------------------------------


def _entries(text: str, zone: ZoneInfo) -> tuple[Cron | At, ...]:
    if call := _CALL.fullmatch(text):
        inner = call[2].strip()
        match call[1].lower():
            case "cron":
                return _reject_never_due(text, (_eventbridge_cron(text, inner),))
            case "rate":
                return crontab(_rate(text, inner).split())
            case _:
                return (_at(text, inner, zone),)
    if text.startswith("@"):
        if text.lower() not in _MACROS:
            known = ", ".join(_MACROS)
            raise ScheduleError(f'"{text}" is not a name that dayfly knows', advice=(f"use one of {known}",))
        text = _MACROS[text.lower()]
    fields = text.split()
    if len(fields) != 5:
        raise suggestions.wrong_field_count(text)
    return _reject_never_due(text, crontab(fields))


def _eventbridge_cron(text: str, inner: str) -> Cron:
    fields = inner.split()
    if refusal := suggestions.wrong_cron_fields(text, fields):
        raise refusal
    found = eventbridge(fields)
    if len(found.text) > _EXPRESSION_LIMIT:
        raise ScheduleError(f"the expression has {len(found.text)} characters; EventBridge allows {_EXPRESSION_LIMIT}")
    return found


def _reject_never_due(text: str, crons: tuple[Cron, ...]) -> tuple[Cron, ...]:
    for cron in crons:
        if next(cron.times(date.min), None) is None:
            raise ScheduleError(f'"{text}" is never due: none of its months has such a day')
    return crons


def _rate(text: str, inner: str) -> str:
    """Return an interval as five crontab fields."""
    found = _RATE.fullmatch(inner)
    if found is None or int(found[1]) == 0:
        raise ScheduleError(
            f'"{text}" is not like rate(15 minutes)', why="it takes a number from 1, and minutes, hours or days"
        )
    number, unit = int(found[1]), found[2].lower()
    if unit == "minute" and number % 60 == 0:
        number, unit = number // 60, "hour"
    if unit == "hour" and number == 24:
        number, unit = 1, "day"
    match unit:
        case "minute" if 60 % number == 0:
            return f"*/{number} * * * *"
        case "hour" if 24 % number == 0:
            return f"0 */{number} * * *"
        case "day" if number == 1:
            return "0 0 * * *"
    raise suggestions.uneven_rate(text, number, unit)


def _at(text: str, inner: str, zone: ZoneInfo) -> At:
    try:
        moment = datetime.strptime(inner, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        raise ScheduleError(
            f'"{text}" is not like at(2027-01-31T06:00:00)',
            why="it takes a local time in the job's time zone, without Z or offset",
        ) from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ScheduleError(f'"{text}" is not in the years {FIRST_YEAR} to {LAST_YEAR}')
    if moment.second:
        whole = _at_text(moment.replace(second=0))
        raise ScheduleError(f'"{text}": ticks are whole minutes', suggestions=(whole,))
    if to_utc(moment, zone) is None:
        later = moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
        why = "the clock skips it"
        raise ScheduleError(f'"{text}" does not exist in {zone.key}', why=why, suggestions=(_at_text(later),))
    return At(_at_text(moment), moment)


def _at_text(moment: datetime) -> str:
    return f"at({moment:%Y-%m-%dT%H:%M:%S})"


# --- describing --------------------------------------------------------------------------------------------------------


def describe(schedule: Schedule) -> str:
    """Return a short description: `every day`, `Mon-Fri`, `Sundays`, `every 15 minutes`, `once`; else the expression."""
    descriptions = list(dict.fromkeys(_description(entry) for entry in schedule.entries))
    match descriptions:
        case []:
            return "by hand"
        case [one] if len(schedule.entries) == 1:
            return one
        case [one]:
            return f"{one}, {len(schedule.entries)} expressions"
        case [one, two]:
            return f"{one} and {two}"
        case _:
            return f"{len(schedule.entries)} expressions"


def _description(entry: Cron | At) -> str:
    if isinstance(entry, At):
        return "once"
    days = _day_description(entry.days)
    if not days or len(entry.months) < 12 or entry.years != YEARS:
        return entry.text
    frequency = _frequency(entry)
    if days == _EVERY_DAY:
        return frequency or days
    if frequency:
        return f"{days}, {frequency}"
    return days


def _frequency(cron: Cron) -> str:
    """Return how frequency the job is due in a day; empty for once."""
    match len(cron.hours), len(cron.minutes):
        case 1, 1:
            return ""
        case 24, 1:
            return "every hour"
        case 24, _:
            return _interval(cron.minutes, 60, "minute") or _times(cron)
        case _, 1:
            return _interval(cron.hours, 24, "hour") or _times(cron)
    return _times(cron)


def _times(cron: Cron) -> str:
    count = len(cron.minutes) * len(cron.hours)
    return f"{count} times a day"


def _interval(values: tuple[int, ...], whole: int, unit: str) -> str:
    """Return `every 15 minutes` if the values divide the whole evenly, else an empty string."""
    step = whole // len(values)
    if len(values) == 1 or step * len(values) != whole or values != tuple(range(values[0], whole, step)):
        return ""
    if step == 1:
        return f"every {unit}"
    return f"every {step} {unit}s"


_EVERY_DAY = "every day"


def _day_description(days: Days) -> str:
    """Return a short description of the days; empty when there is none."""
    match days:
        case LastDay():
            return "last day of the month"
        case NthWeekday(weekday, n):
            return f"{_ordinal(n)} {_short(weekday)} of the month"
        case LastWeekday(weekday):
            return f"last {_short(weekday)} of the month"
        case NearestWorkday():
            return ""
        case Weekdays(weekdays) if len(weekdays) == 7:
            return _EVERY_DAY
        case Weekdays(weekdays):
            return _weekday_description(weekdays)
        case MonthDays(numbers) if len(numbers) == 31:
            return _EVERY_DAY
        case MonthDays(numbers) if len(numbers) <= 3:
            return "monthly, on the " + ", ".join(_ordinal(number) for number in sorted(numbers))
    return ""


_LONG = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays")


def _weekday_description(weekdays: frozenset[int]) -> str:
    if len(weekdays) == 1:
        return _LONG[min(weekdays)]
    # Three or more days in a row, also across the end of the week, become a range: then one day has no day before it.
    first = [day for day in weekdays if (day - 1) % 7 not in weekdays]
    if len(first) == 1 and len(weekdays) > 2:
        return f"{_short(first[0])}-{_short((first[0] + len(weekdays) - 1) % 7)}"
    # Sorted from Monday, so that Sat and Sun stand together.
    return ", ".join(_short(day) for day in sorted(weekdays, key=lambda day: (day + 6) % 7))


def _short(weekday: int) -> str:
    return WEEKDAYS[weekday].title()


def _ordinal(number: int) -> str:
    if number in (11, 12, 13):
        return f"{number}th"
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def at_most_once_a_day(schedule: Schedule) -> bool:
    """Return whether each expression has at most one tick a day. Then a minute that the clock skips skips a whole day."""
    return all(isinstance(entry, At) or len(entry.minutes) * len(entry.hours) == 1 for entry in schedule.entries)
