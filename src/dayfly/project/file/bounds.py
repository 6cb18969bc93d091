"""Bounds of a dayfly.toml as a whole, checked before any key is read: a file beyond them cannot be read or explained in a second.

What each key may hold is in values.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from dayfly.core import texts
from dayfly.project.file.toml_lines import Path

CHARACTERS = 1_000_000
"""The longest file."""
DEEPEST = 8
"""How deep tables and lists may nest. The deepest key that there is, an element of env, has four levels."""
ENTRIES = 1_000
"""The most entries that one table or one list may have."""
_LARGEST_NUMBER = 2**63 - 1
"""TOML's largest number."""
TOO_DEEP = f"tables and lists nest more than {DEEPEST} levels deep"
TOO_MANY_DIGITS = "a number has too many digits"


class Fault(NamedTuple):
    """What is beyond a bound, and where. An empty path: somewhere in the file."""

    path: Path
    message: str


def first_fault(tables: dict[str, Any]) -> Fault | None:
    """Return the first part of a file that is beyond a bound; None if there is none. Uses no recursion."""
    left: list[tuple[Path, Any]] = [((), tables)]
    while left:
        path, value = left.pop()
        if len(path) > DEEPEST:
            return Fault((), TOO_DEEP)
        fault = _fault(value)
        if fault:
            return Fault(path, fault)
        left.extend(((*path, key), part) for key, part in _parts(value))
    return None


def _fault(value: Any) -> str:
    if isinstance(value, dict | list) and len(value) > ENTRIES:
        return f"has {len(value):,} entries; at most {ENTRIES:,}"
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        return TOO_MANY_DIGITS
    if isinstance(value, dict):
        return next((f"a key {fault}" for fault in map(texts.word_fault, value) if fault), "")
    return ""


def _parts(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)
