"""Which days of a month a cron line names: one type for each way to name them. Days of the week count from Sunday, which is 0."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class MonthDays:
    """Days of the month by their number."""

    numbers: frozenset[int]

    def matches(self, day: date) -> bool:
        return day.day in self.numbers


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Days by their day of the week."""

    weekdays: frozenset[int]

    def matches(self, day: date) -> bool:
        return weekday_of(day) in self.weekdays


@dataclass(frozen=True, slots=True)
class LastDay:
    """The last day of the month."""

    def matches(self, day: date) -> bool:
        return day.day == _days_in_month(day)


@dataclass(frozen=True, slots=True)
class NearestWorkday:
    """The day from Monday to Friday nearest to this number, in the same month; none when the month has no such number."""

    number: int

    def matches(self, day: date) -> bool:
        length = _days_in_month(day)
        return self.number <= length and day.day == _nearest_workday(day.replace(day=self.number), length)


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """The n-th of one day of the week in the month."""

    weekday: int
    n: int

    def matches(self, day: date) -> bool:
        week = (day.day + 6) // 7
        return self.weekday == weekday_of(day) and self.n == week


@dataclass(frozen=True, slots=True)
class LastWeekday:
    """The last of one day of the week in the month."""

    weekday: int

    def matches(self, day: date) -> bool:
        return weekday_of(day) == self.weekday and day.day > _days_in_month(day) - 7


Days = MonthDays | Weekdays | LastDay | NearestWorkday | NthWeekday | LastWeekday

EVERY_DAY = MonthDays(frozenset(range(1, 32)))


def weekday_of(day: date) -> int:
    """Return the day of the week; 0 is Sunday."""
    return day.isoweekday() % 7


def _days_in_month(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_workday(day: date, length: int) -> int:
    """Return the workday nearest to this day in its month, which has `length` days. Here 6 is Saturday and 7 is Sunday."""
    match day.isoweekday():
        case 6 if day.day == 1:
            return 3
        case 6:
            return day.day - 1
        case 7 if day.day == length:
            return length - 2
        case 7:
            return day.day + 1
        case _:
            return day.day
