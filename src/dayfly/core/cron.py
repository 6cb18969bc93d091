"""One cron line as a value, read from crontab's five fields or EventBridge's six, and written as EventBridge's `cron(...)`.

Only calendar fields are here. core/schedule.py has time zones, several lines, `rate` and `at`; core/suggestions.py suggests what a
rejected line may have meant.

The two dialects differ. crontab: 0 and 7 are Sunday, 1 is Monday; when both day fields are restricted, a day that matches one of
them is enough. EventBridge: 1 is Sunday; one day field is `?`, the sixth field is the year, and L, W and # are allowed.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from dayfly.core.days import EVERY_DAY, Days, LastDay, LastWeekday, MonthDays, NearestWorkday, NthWeekday, Weekdays

FIRST_YEAR, LAST_YEAR = 1970, 2199
"""The years that EventBridge accepts."""

WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
"""In crontab's order, which dayfly uses too: 0 is Sunday."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class ScheduleError(ValueError):
    """A rejected expression: what is wrong, why, valid expressions that may be meant (`suggestions`), and `advice` in words."""

    def __init__(
        self, message: str, *, why: str = "", suggestions: tuple[str, ...] = (), advice: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.suggestions = suggestions
        self.advice = advice


@dataclass(frozen=True, slots=True)
class _Field:
    """One field. `*` means `low` to `high`. `max_written` is the highest number accepted: 7 for crontab's second Sunday."""

    name: str
    low: int
    high: int
    max_written: int
    words: tuple[str, ...] = ()

    def name_of(self, value: int) -> str:
        """Return the value as it is written: its word, if the field has words."""
        if self.words:
            return self.words[value - self.low]
        return str(value)

    @property
    def all(self) -> frozenset[int]:
        return frozenset(range(self.low, self.high + 1))


_MINUTE = _Field("minute", 0, 59, 59)
_HOUR = _Field("hour", 0, 23, 23)
_MONTH_DAY = _Field("day of the month", 1, 31, 31)
_MONTH = _Field("month", 1, 12, 12, _MONTHS)
_CRONTAB_WEEKDAY = _Field("day of the week", 0, 6, 7, WEEKDAYS)
_EVENTBRIDGE_WEEKDAY = _Field("day of the week", 1, 7, 7, WEEKDAYS)
_YEAR = _Field("year", FIRST_YEAR, LAST_YEAR, LAST_YEAR)
YEARS = _YEAR.all


@dataclass(frozen=True, slots=True)
class Cron:
    """The minutes of the local clock whose fields all match. `text` is the EventBridge expression, `cron(...)`."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    days: Days
    years: frozenset[int] = YEARS

    def matches(self, local: datetime) -> bool:
        """Return whether this local time matches; its seconds must be 0."""
        return (
            local.second == local.microsecond == 0
            and local.minute in self.minutes
            and local.hour in self.hours
            and self.matches_day(local.date())
        )

    def matches_day(self, day: date) -> bool:
        return day.year in self.years and day.month in self.months and self.days.matches(day)

    def times(self, first: date) -> Iterator[datetime]:
        """Yield all matching local times from the start of the day `first` on, ascending, without zone, up to the year 2199."""
        for day in self._days(first):
            for hour in self.hours:
                for minute in self.minutes:
                    yield datetime.combine(day, time(hour, minute))

    def _days(self, first: date) -> Iterator[date]:
        for year in sorted(self.years):
            for month in sorted(self.months):
                if (year, month) < (first.year, first.month):
                    continue
                for number in range(1, calendar.monthrange(year, month)[1] + 1):
                    day = date(year, month, number)
                    if day >= first and self.days.matches(day):
                        yield day


def crontab(fields: list[str]) -> tuple[Cron, ...]:
    """Read five fields as cron(8) does. Two restricted day fields need two EventBridge expressions, so two values.

    Raises ScheduleError.
    """
    minute, hour, month_day, month, weekday = (field.upper() for field in fields)
    _reject_question_mark(fields)
    _reject_open_steps(fields)
    minutes, hours = _values(_MINUTE, minute), _values(_HOUR, hour)
    months = _values(_MONTH, month)
    numbers = _values(_MONTH_DAY, month_day)
    weekdays = frozenset(day % 7 for day in _values(_CRONTAB_WEEKDAY, weekday))
    _reject_star_step_with_day(month_day, weekday)
    chosen: list[MonthDays | Weekdays]
    if weekday == "*":
        chosen = [MonthDays(numbers)]
    elif len(weekdays) == 7 or (month_day != "*" and len(numbers) == 31):
        chosen = [EVERY_DAY]
    elif month_day == "*":
        chosen = [Weekdays(weekdays)]
    else:
        chosen = [MonthDays(numbers), Weekdays(weekdays)]
    return tuple(_cron_from_values(minutes, hours, months, days) for days in chosen)


def _reject_star_step_with_day(month_day: str, weekday: str) -> None:
    if "*" in (month_day, weekday):
        return
    if month_day.startswith("*") or weekday.startswith("*"):
        raise ScheduleError(
            f'"{month_day}" as day of the month with "{weekday}" as day of the week',
            why="cron implementations differ on whether both must match or either; EventBridge cannot express both",
            advice=("leave one of the two fields at *",),
        )


def _reject_question_mark(fields: list[str]) -> None:
    text = " ".join(fields)
    if "?" in text:
        raise ScheduleError('"?" belongs to EventBridge; crontab uses *', suggestions=(text.replace("?", "*"),))


def _reject_open_steps(fields: list[str]) -> None:
    """Reject a step after a single number, such as 5/15."""
    for field, spec in zip(fields, (_MINUTE, _HOUR, _MONTH_DAY, _MONTH, _CRONTAB_WEEKDAY), strict=True):
        if bare := re.search(r"(?:^|,)(\w+)/(\d+)", field):
            raise ScheduleError(
                f'{spec.name} "{field}": cron implementations differ on a step after a single number',
                advice=(f"name the end: {bare[1]}-{spec.high}/{bare[2]}",),
            )


def eventbridge(fields: list[str]) -> Cron:
    """Read the six fields inside `cron(...)` as EventBridge does, and keep them as the text. Raises ScheduleError."""
    minute, hour, month_day, month, weekday, year = (field.upper() for field in fields)
    if (month_day == "?") == (weekday == "?"):
        raise ScheduleError(
            'EventBridge needs "?" in exactly one of the two day fields (the third and the fifth)',
            why="it cannot combine a day of the month with a day of the week",
        )
    return Cron(
        text=f"cron({' '.join((minute, hour, month_day, month, weekday, year))})",
        minutes=tuple(sorted(_values(_MINUTE, minute))),
        hours=tuple(sorted(_values(_HOUR, hour))),
        months=_values(_MONTH, month),
        days=_matching_days(month_day, weekday),
        years=_values(_YEAR, year),
    )


def _matching_days(month_day: str, weekday: str) -> Days:
    if weekday == "?":
        return _month_days(month_day)
    return _week_days(weekday)


def _month_days(text: str) -> Days:
    if text == "L":
        return LastDay()
    if found := re.fullmatch(r"(\d{1,2})W", text):
        return NearestWorkday(_number(_MONTH_DAY, found[1]))
    if re.search(r"[LW#]", text):
        raise ScheduleError(f'day of the month "{text}" is not L or a day like 15W', why="L and W stand alone")
    return MonthDays(_values(_MONTH_DAY, text))


def _week_days(text: str) -> Days:
    if text == "L":
        return Weekdays(frozenset({6}))
    if found := re.fullmatch(r"(\w+)#([1-5])", text):
        return NthWeekday(_number(_EVENTBRIDGE_WEEKDAY, found[1]) - 1, int(found[2]))
    if found := re.fullmatch(r"([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)L", text):
        return LastWeekday(_number(_EVENTBRIDGE_WEEKDAY, found[1]) - 1)
    if re.search(r"#|L|\dW", text):
        raise ScheduleError(
            f'day of the week "{text}" is not like 6L (last Friday) or 3#2 (second Tuesday)', why="L and # stand alone"
        )
    return Weekdays(frozenset(day - 1 for day in _values(_EVENTBRIDGE_WEEKDAY, text)))


# --- one field ------------------------------------------------------------------------------------------------------


def _values(field: _Field, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        low, high = _span(field, span, has_step=bool(slash))
        step = 1
        if slash:
            step = _step(field, part, step_text)
        found.update(range(low, high + 1, step))
    return frozenset(found)


def _span(field: _Field, text: str, *, has_step: bool) -> tuple[int, int]:
    if text == "*":
        return field.low, field.high
    first, dash, last = text.partition("-")
    low = _number(field, first)
    if not dash and has_step:
        return low, field.high
    if not dash:
        return low, low
    high = _number(field, last)
    if field is _CRONTAB_WEEKDAY and high == 0 and low > 0:
        high = 7
    if high < low:
        values = (*range(low, field.high + 1), *range(field.low, high + 1))
        listed = ",".join(field.name_of(value) for value in values)
        raise ScheduleError(f'{field.name} "{text}" runs backwards', advice=(f"name each: {listed}",))
    return low, high


def _step(field: _Field, part: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) == 0:
        raise ScheduleError(f'{field.name} "{part}": the step after / must be 1 or more')
    return int(text)


def _number(field: _Field, text: str) -> int:
    if text in field.words:
        return field.words.index(text) + field.low
    if re.fullmatch(r"[0-9]{1,4}", text) and field.low <= int(text) <= field.max_written:
        return int(text)
    allowed = f"{field.low}-{field.max_written}"
    if field.words:
        allowed += f" or {field.words[0]}-{field.words[-1]}"
    raise ScheduleError(f'{field.name} "{text}" is not {allowed}')


# --- from values to EventBridge's text -----------------------------------------------------------------------------


def _cron_from_values(
    minutes: frozenset[int], hours: frozenset[int], months: frozenset[int], days: MonthDays | Weekdays
) -> Cron:
    if isinstance(days, Weekdays):
        month_day, weekday = "?", _ranges(days.weekdays, WEEKDAYS)
    else:
        month_day, weekday = _field_text(days.numbers, _MONTH_DAY), "?"
    parts = (_field_text(minutes, _MINUTE), _field_text(hours, _HOUR), month_day, _field_text(months, _MONTH), weekday)
    return Cron(f"cron({' '.join(parts)} *)", tuple(sorted(minutes)), tuple(sorted(hours)), months, days)


def _field_text(values: frozenset[int], field: _Field) -> str:
    if values == field.all:
        return "*"
    ordered = sorted(values)
    if len(ordered) > 2:
        step = ordered[1] - ordered[0]
        if step > 1 and ordered == list(range(ordered[0], field.high + 1, step)):
            return f"{ordered[0]}/{step}"
    return _ranges(values, tuple(str(number) for number in range(field.high + 1)))


def _ranges(values: frozenset[int], words: tuple[str, ...]) -> str:
    """Return the values as a list; three or more in a row become a range."""
    ranges: list[list[int]] = []
    for value in sorted(values):
        if ranges and ranges[-1][-1] == value - 1:
            ranges[-1].append(value)
        else:
            ranges.append([value])
    parts = []
    for found in ranges:
        if len(found) > 2:
            parts.append(f"{words[found[0]]}-{words[found[-1]]}")
        else:
            parts += [words[value] for value in found]
    return ",".join(parts)
