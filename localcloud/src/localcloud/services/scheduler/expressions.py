"""Schedule expressions: cron(...), rate(...), at(...), and when they are due next. Pure: values in, values out.

Daylight saving time as in AWS: a local time that does not exist is skipped, and one that occurs twice is due the first time.
"""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

_MONTHS = {
    name: i + 1
    for i, name in enumerate(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"])
}
_DAYS = {name: i + 1 for i, name in enumerate(["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"])}
_UNITS = {"minute": 60, "hour": 3600, "day": 86400}
_LAST_YEAR = 2199


class BadExpression(ValueError):
    """The text is not a schedule expression."""


@dataclass(frozen=True)
class At:
    """One moment."""

    moment: datetime

    def after(self, moment: datetime) -> datetime | None:
        """Return the moment itself if it is later than `moment`, else None."""
        if self.moment > moment:
            return self.moment
        return None


@dataclass(frozen=True)
class Rate:
    """Every `step`, counted from `anchor`, which is the first time."""

    step: timedelta
    anchor: datetime

    def after(self, moment: datetime) -> datetime | None:
        """Return the first time later than `moment`."""
        if moment < self.anchor:
            return self.anchor
        return self.anchor + ((moment - self.anchor) // self.step + 1) * self.step


@dataclass(frozen=True)
class Cron:
    """Six fields on the wall clock of a zone."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    month_days: str
    months: tuple[int, ...]
    week_days: str
    years: tuple[int, ...]
    zone: ZoneInfo

    def after(self, moment: datetime) -> datetime | None:
        """Return the first time later than `moment`; None when no year is left."""
        day = moment.astimezone(self.zone).date() - timedelta(days=1)
        for candidate in self._days(day):
            for hour in self.hours:
                for minute in self.minutes:
                    due = _instant(datetime.combine(candidate, time(hour, minute)), self.zone)
                    if due is not None and due > moment:
                        return due
        return None

    def _days(self, start: date) -> Iterator[date]:
        for year in (year for year in self.years if year >= start.year):
            for month in (month for month in self.months if (year, month) >= (start.year, start.month)):
                for number in _days_of(self, year, month):
                    if (day := date(year, month, number)) >= start:
                        yield day


Expression = At | Rate | Cron


def parse(text: str, zone: ZoneInfo, anchor: datetime) -> Expression:
    """Read an expression; `anchor` is the first time of a rate. Raises BadExpression."""
    found = re.fullmatch(r"(cron|rate|at)\((.*)\)", text)
    if found is None:
        raise BadExpression(f"Invalid Schedule Expression {text}.")
    kind, inner = found.groups()
    try:
        if kind == "cron":
            return _cron(inner, zone)
        if kind == "rate":
            return _rate(inner, anchor)
        return _at(inner, zone)
    except (ValueError, KeyError, IndexError) as error:
        raise BadExpression(f"Invalid Schedule Expression {text}.") from error


def _at(inner: str, zone: ZoneInfo) -> At:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", inner):
        raise ValueError(inner)
    local = datetime.fromisoformat(inner)
    return At(_instant(local, zone) or local.replace(tzinfo=zone).astimezone(UTC))


def _rate(inner: str, anchor: datetime) -> Rate:
    found = re.fullmatch(r"(\d+) (minute|hour|day)(s?)", inner)
    if found is None:
        raise ValueError(inner)
    count, unit, plural = int(found[1]), found[2], found[3]
    if count == 0 or (count == 1) == bool(plural):
        raise ValueError(inner)
    return Rate(timedelta(seconds=count * _UNITS[unit]), anchor)


def _cron(inner: str, zone: ZoneInfo) -> Cron:
    fields = inner.upper().split()
    if len(fields) != 6 or (fields[2] == "?") == (fields[4] == "?"):
        raise ValueError(inner)
    minutes, hours, month_days, months, week_days, years = fields
    cron = Cron(
        minutes=_numbers(minutes, 0, 59),
        hours=_numbers(hours, 0, 23),
        month_days=month_days,
        months=_numbers(months, 1, 12, _MONTHS),
        week_days=week_days,
        years=_numbers(years, 1970, _LAST_YEAR),
        zone=zone,
    )
    # Reads the day fields, which raises for what no month can have.
    _days_of(cron, 2024, 1)
    return cron


def _numbers(field: str, low: int, high: int, names: dict[str, int] | None = None) -> tuple[int, ...]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, last = _span(span, low, high, names or {})
        if step and "-" not in span:
            last = high
        if not (low <= first <= high and low <= last <= high) or (step and int(step) < 1):
            raise ValueError(field)
        if first <= last:
            found.update(range(first, last + 1, int(step or 1)))
        else:
            found.update(range(first, high + 1), range(low, last + 1))
    return tuple(sorted(found))


def _span(span: str, low: int, high: int, names: dict[str, int]) -> tuple[int, int]:
    if span == "*":
        return low, high
    ends = [_number(end, names) for end in span.split("-")]
    if len(ends) > 2:
        raise ValueError(span)
    return ends[0], ends[-1]


def _number(text: str, names: dict[str, int]) -> int:
    if text in names:
        return names[text]
    return int(text)


def _days_of(cron: Cron, year: int, month: int) -> list[int]:
    """Return the days of a month on which the expression is due, in order."""
    length = monthrange(year, month)[1]
    if cron.week_days == "?":
        days = {day for part in cron.month_days.split(",") for day in _month_days(part, year, month, length)}
    else:
        days = {day for part in cron.week_days.split(",") for day in _week_days(part, year, month, length)}
    return sorted(days)


def _month_days(part: str, year: int, month: int, length: int) -> list[int]:
    if part == "L":
        return [length]
    if part == "LW":
        return [_weekday_near(length, year, month, length)]
    if part.endswith("W"):
        wanted = int(part[:-1])
        if not 1 <= wanted <= 31:
            raise ValueError(part)
        if wanted > length:
            return []
        return [_weekday_near(wanted, year, month, length)]
    return [day for day in _numbers(part, 1, 31) if day <= length]


def _weekday_near(wanted: int, year: int, month: int, length: int) -> int:
    """Return the weekday nearest to a day of the month, without leaving the month."""
    weekday = date(year, month, wanted).weekday()
    if weekday == 5:
        return wanted - 1 if wanted > 1 else wanted + 2
    if weekday == 6:
        return wanted + 1 if wanted < length else wanted - 2
    return wanted


def _week_days(part: str, year: int, month: int, length: int) -> list[int]:
    """Return the days of a day-of-week part: 1-7 is SUN-SAT, `nL` the last one, `n#k` the k-th."""
    if "#" in part:
        name, _, count = part.partition("#")
        if not 1 <= int(count) <= 5:
            raise ValueError(part)
        return _dates_of(_day_number(name), year, month, length)[int(count) - 1 : int(count)]
    if part == "L":
        return _dates_of(7, year, month, length)
    if part.endswith("L"):
        return _dates_of(_day_number(part[:-1]), year, month, length)[-1:]
    return [day for wanted in _numbers(part, 1, 7, _DAYS) for day in _dates_of(wanted, year, month, length)]


def _day_number(name: str) -> int:
    number = _number(name, _DAYS)
    if not 1 <= number <= 7:
        raise ValueError(name)
    return number


def _dates_of(week_day: int, year: int, month: int, length: int) -> list[int]:
    """Return the days of a month that are that day of the week, 1 to 7 for SUN to SAT."""
    first = 1 + (week_day - 2 - date(year, month, 1).weekday()) % 7
    return list(range(first, length + 1, 7))


def _instant(local: datetime, zone: ZoneInfo) -> datetime | None:
    """Return a wall-clock time as UTC: the first of two; None for one that does not exist."""
    due = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return due if due.astimezone(zone).replace(tzinfo=None) == local else None
