"""Which days of a month a cron line names: one type for each way to name them. Days of the week count from 0 = Sunday."""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Numbers:
    """Days by their number."""

    numbers: frozenset[int]

    def fit(self, day: date) -> bool:
        return day.day in self.numbers


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Days by their day of the week."""

    weekdays: frozenset[int]

    def fit(self, day: date) -> bool:
        return weekday_of(day) in self.weekdays


@dataclass(frozen=True, slots=True)
class LastDay:
    """The last day of the month."""

    def fit(self, day: date) -> bool:
        return day.day == _length(day)


@dataclass(frozen=True, slots=True)
class NearestWorkday:
    """The day from Monday to Friday nearest to this number, in the same month; none when the month has no such number."""

    number: int

    def fit(self, day: date) -> bool:
        length = _length(day)
        return self.number <= length and day.day == _nearest_workday(day.replace(day=self.number), length)


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """The n-th of one day of the week in the month."""

    weekday: int
    n: int

    def fit(self, day: date) -> bool:
        return (self.weekday, self.n) == (weekday_of(day), (day.day + 6) // 7)


@dataclass(frozen=True, slots=True)
class LastWeekday:
    """The last of one day of the week in the month."""

    weekday: int

    def fit(self, day: date) -> bool:
        return weekday_of(day) == self.weekday and day.day > _length(day) - 7


Days = Numbers | Weekdays | LastDay | NearestWorkday | NthWeekday | LastWeekday

EVERY_DAY = Numbers(frozenset(range(1, 32)))


def weekday_of(day: date) -> int:
    """0 = Sunday."""
    return day.isoweekday() % 7


def _length(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_workday(day: date, length: int) -> int:
    """The Monday to Friday nearest to this day, without leaving its month of `length` days."""
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
