"""Validate and convert values of any key of dayfly.toml. Each function takes tomllib's value and raises Invalid with remedies.

Values that only one key has are in project_values.py and job_values.py; rules that need a second key are in project_table.py
and job_table.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from dayfly.core import texts
from dayfly.core.model import LONGEST
from dayfly.project.file import durations

T = TypeVar("T")
Reader = Callable[[Any], T]
"""Validates and converts a value from tomllib. Raises Invalid."""

_LONGEST = int(LONGEST.total_seconds())


class Invalid(Exception):
    """A value that is not valid: what is wrong, why, and the remedies, the best first.

    `at`: the path to the invalid part inside the value. `others`: further problems of the same list or table.
    """

    def __init__(self, message: str, *remedies: str, why: str = "", at: tuple[str | int, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.remedies = remedies
        self.why = why
        self.at = at
        self.others: tuple[Invalid, ...] = ()


def string(value: Any) -> str:
    """Return any string, also an empty one."""
    if isinstance(value, str):
        fault = texts.text_fault(value)
        if fault:
            raise Invalid(f"a string {fault}")
        return value
    remedy = f'in quotes: "{value}"' if is_number(value) else ""
    raise Invalid(f"expected a string, not {kind(value)}: {shown(value)}", remedy)


def filled(value: Any) -> str:
    """Return a string that is not blank."""
    text = string(value)
    if not text.strip():
        raise Invalid("is empty", "fill it in, or remove the key")
    return text


def flag(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise Invalid(f"expected true or false, not {kind(value)}: {shown(value)}")
    return value


def strings(value: Any, read: Reader[str] = filled) -> tuple[str, ...]:
    """Return a list of strings without duplicates, each read by `read`."""
    if isinstance(value, str):
        raise Invalid("expected a list", f'["{value}"]')
    if not isinstance(value, list):
        raise Invalid(f"expected a list of strings, not {kind(value)}: {shown(value)}")
    found: list[str] = []

    def once(element: Any) -> None:
        text = read(element)
        if text in found:
            raise Invalid(f'"{text}" is in the list twice', "remove one of the two")
        found.append(text)

    read_each(enumerate(value), once)
    return tuple(found)


def at_least_one(value: Any, read: Reader[str] = filled) -> tuple[str, ...]:
    """Return a list of strings that is not empty."""
    found = strings(value, read)
    if not found:
        raise Invalid("the list is empty", "name at least one")
    return found


def table(value: Any) -> dict[str, Any]:
    """Return a table; its content is not checked."""
    if not isinstance(value, dict):
        raise Invalid(f"expected a table, not {kind(value)}: {shown(value)}")
    return value


def read_each(parts: Iterable[tuple[str | int, Any]], take: Callable[[Any], object]) -> None:
    """Call `take` with every part. Raises all its errors together at the end, each with the key of its part."""
    invalid: list[Invalid] = []
    for key, part in parts:
        try:
            take(part)
        except Invalid as error:
            error.at = (key, *error.at)
            invalid.append(error)
    if invalid:
        invalid[0].others = tuple(invalid[1:])
        raise invalid[0]


def one_of(*known: str) -> Reader[str]:
    """Return a reader that accepts only these words."""

    def read(value: Any) -> str:
        text = string(value)
        if text not in known:
            raise Invalid(f'"{text}" is not an allowed value', " or ".join(f'"{word}"' for word in known))
        return text

    return read


def duration(least: int, most: int = _LONGEST, *, why: str = "") -> Reader[int]:
    """Return a reader of a duration, in seconds, between two bounds. `why`: the reason for the bounds."""

    def read(value: Any) -> int:
        form = 'a duration like "90s", "45m", "2h30m" or "7d"'
        if isinstance(value, int) and not isinstance(value, bool):
            raise Invalid(f"{value} has no unit; expected {form}", f'"{value}s"', f'"{value}m"')
        text = string(value)
        try:
            whole = durations.seconds(text)
        except ValueError:
            raise Invalid(f'"{text}" is not {form}') from None
        if whole < least:
            raise Invalid(f'"{text}" is too short', f'at least "{durations.text(least)}"', why=why)
        if whole > most:
            raise Invalid(f'"{text}" is too long', f'at most "{durations.text(most)}"', why=why)
        return whole

    return read


# --- words for messages ------------------------------------------------------------------------------------------------------------


def shown(value: Any) -> str:
    """Return a value as it is written in the file, shortened to 60 characters."""
    text = str(value)
    if isinstance(value, bool):
        text = text.lower()
    elif isinstance(value, str):
        text = f'"{text}"'
    return text if len(text) <= 60 else text[:57] + "..."


def offer(text: str, form: re.Pattern[str]) -> list[str]:
    """Return the text as a remedy if it has the right form, otherwise nothing."""
    if not form.fullmatch(text):
        return []
    return [shown(text)]


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS: tuple[tuple[type, str], ...] = (
    (Mapping, "a table"),
    (list, "a list"),
    (bool, "true or false"),  # before int: a bool is one
    (str, "a string"),
    (int, "a number"),
    (float, "a number"),
)


def kind(value: Any) -> str:
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "a date")
