"""One cron line as a value: reads crontab's five fields or EventBridge's six, matches times, writes EventBridge's form.

Only calendar fields are here. core/schedule.py has time zones, several lines, `rate` and `at`; core/readings.py suggests what a
rejected line may have meant.

The two dialects differ. crontab: 0 or 7 = Sunday, 1 = Monday, and two restricted day fields mean either. EventBridge:
1 = Sunday, one day field is `?`, a year at the end, and L, W, #.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from dayfly.core.days import EVERY_DAY, Days, LastDay, LastWeekday, NearestWorkday, NthWeekday, Numbers, Weekdays

FIRST_YEAR, LAST_YEAR = 1970, 2199
"""The years that EventBridge accepts."""

WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
"""In crontab's order, which dayfly uses too: 0 = Sunday."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class ScheduleError(ValueError):
    """A rejected expression: what is wrong, why, what it may have meant (`readings`), and `advice` in words."""

    def __init__(
        self, message: str, *, why: str = "", readings: tuple[str, ...] = (), advice: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.readings = readings
        self.advice = advice


@dataclass(frozen=True, slots=True)
class _Field:
    """One field. `high` is the last value of `*`; `top` the highest that may be written (crontab's 7 = Sunday)."""

    name: str
    low: int
    high: int
    top: int
    words: tuple[str, ...] = ()

    def name_of(self, value: int) -> str:
        """How a value is written: its word, if the field has words."""
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
    """Local times: each minute whose fields all match. `text` is the EventBridge expression, `cron(...)`."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    months: frozenset[int]
    days: Days
    years: frozenset[int] = YEARS

    def fits(self, local: datetime) -> bool:
        """Whether this local time is one of them; its seconds must be 0."""
        return (
            local.second == local.microsecond == 0
            and local.minute in self.minutes
            and local.hour in self.hours
            and self.fits_day(local.date())
        )

    def fits_day(self, day: date) -> bool:
        return day.year in self.years and day.month in self.months and self.days.fit(day)

    def times(self, first: date) -> Iterator[datetime]:
        """All local times from the start of `first` on, ascending, without zone. The last is in the year 2199."""
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
                    if day >= first and self.days.fit(day):
                        yield day


def crontab(fields: list[str]) -> tuple[Cron, ...]:
    """Reads five fields as cron(8) does. Two restricted day fields mean either, which takes two EventBridge expressions.

    Raises ScheduleError.
    """
    minute, hour, month_day, month, weekday = (field.upper() for field in fields)
    _refuse_other_signs(fields)
    minutes, hours = _values(_MINUTE, minute), _values(_HOUR, hour)
    months = _values(_MONTH, month)
    numbers = _values(_MONTH_DAY, month_day)
    weekdays = frozenset(day % 7 for day in _values(_CRONTAB_WEEKDAY, weekday))
    _refuse_step_with_day(month_day, weekday)
    chosen: list[Numbers | Weekdays]
    if weekday == "*":
        chosen = [Numbers(numbers)]
    elif len(weekdays) == 7 or (month_day != "*" and len(numbers) == 31):
        chosen = [EVERY_DAY]
    elif month_day == "*":
        chosen = [Weekdays(weekdays)]
    else:
        chosen = [Numbers(numbers), Weekdays(weekdays)]
    return tuple(_written(minutes, hours, months, days) for days in chosen)


def _refuse_step_with_day(month_day: str, weekday: str) -> None:
    if "*" in (month_day, weekday):
        return
    if month_day.startswith("*") or weekday.startswith("*"):
        raise ScheduleError(
            f'"{month_day}" as day of the month with "{weekday}" as day of the week',
            why="cron implementations differ on whether both must match or either; EventBridge cannot express both",
            advice=("leave one of the two fields at *",),
        )


def _refuse_other_signs(fields: list[str]) -> None:
    text = " ".join(fields)
    if "?" in text:
        raise ScheduleError('"?" is EventBridge\'s; cron writes * there', readings=(text.replace("?", "*"),))
    for field, spec in zip(fields, (_MINUTE, _HOUR, _MONTH_DAY, _MONTH, _CRONTAB_WEEKDAY), strict=True):
        if bare := re.search(r"(?:^|,)(\w+)/(\d+)", field):
            raise ScheduleError(
                f'{spec.name} "{field}": cron implementations differ on a step after a single number',
                advice=(f"name the end: {bare[1]}-{spec.high}/{bare[2]}",),
            )


def eventbridge(fields: list[str]) -> Cron:
    """Reads the six fields inside `cron(...)` as EventBridge does; the text is kept. Raises ScheduleError."""
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
        days=_days(month_day, weekday),
        years=_values(_YEAR, year),
    )


def _days(month_day: str, weekday: str) -> Days:
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
    return Numbers(_values(_MONTH_DAY, text))


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
        low, high = _span(field, span, open_end=bool(slash))
        step = 1
        if slash:
            step = _step(field, part, step_text)
        found.update(range(low, high + 1, step))
    return frozenset(found)


def _span(field: _Field, text: str, *, open_end: bool) -> tuple[int, int]:
    if text == "*":
        return field.low, field.high
    first, dash, last = text.partition("-")
    low = _number(field, first)
    if not dash and open_end:
        return low, field.high
    if not dash:
        return low, low
    high = _number(field, last)
    if field is _CRONTAB_WEEKDAY and high == 0 and low > 0:
        high = 7
    if high < low:
        listed = ",".join(field.name_of(value) for value in (*range(low, field.high + 1), *range(field.low, high + 1)))
        raise ScheduleError(f'{field.name} "{text}" runs backwards', advice=(f"name each: {listed}",))
    return low, high


def _step(field: _Field, part: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) == 0:
        raise ScheduleError(f'{field.name} "{part}": the step after / is a number from 1')
    return int(text)


def _number(field: _Field, text: str) -> int:
    if text in field.words:
        return field.words.index(text) + field.low
    if re.fullmatch(r"[0-9]{1,4}", text) and field.low <= int(text) <= field.top:
        return int(text)
    allowed = f"{field.low}-{field.top}"
    if field.words:
        allowed += f" or {field.words[0]}-{field.words[-1]}"
    raise ScheduleError(f'{field.name} "{text}" is not {allowed}')


# --- crontab's values as EventBridge writes them ---------------------------------------------------------------------


def _written(minutes: frozenset[int], hours: frozenset[int], months: frozenset[int], days: Numbers | Weekdays) -> Cron:
    if isinstance(days, Weekdays):
        month_day, weekday = "?", _runs(days.weekdays, WEEKDAYS)
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
    return _runs(values, tuple(str(number) for number in range(field.high + 1)))


def _runs(values: frozenset[int], words: tuple[str, ...]) -> str:
    """Values as a list; three or more in a row become a range."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    parts = []
    for run in runs:
        if len(run) > 2:
            parts.append(f"{words[run[0]]}-{words[run[-1]]}")
        else:
            parts += [words[value] for value in run]
    return ",".join(parts)
