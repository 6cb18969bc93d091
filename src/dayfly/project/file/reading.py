"""What reading a file needs at every key: where the key stands, its problems, and the tables in which it is looked up.

No key is named here: those of the project are read in project_table.py, those of a job in job_table.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from dayfly.project.file import keys, toml_lines, values
from dayfly.project.file.problems import Problem

T = TypeVar("T")
Zones = Callable[[str], ZoneInfo]
"""Finds a time zone by name, like `ZoneInfo`. Raises KeyError, ValueError or OSError if there is none."""

Files = Callable[[str], str]
"""Returns the text of a file of the project's folder, by its relative path. Raises OSError or ValueError if there is none."""

NO_STRINGS: tuple[str, ...] = ()
EMPTY: Mapping[str, Any] = {}


@dataclass
class Reading:
    """The state while a file is read. For an invalid value it notes the problem and continues with the default."""

    lines: Mapping[toml_lines.Path, int]
    zones: Zones
    now: datetime | None
    margin_least: int
    files: Files
    problems: dict[tuple[str, int | None, str], Problem] = field(default_factory=dict)

    def note(self, path: toml_lines.Path, message: str, *remedies: str, why: str = "") -> None:
        """Note a problem of the key at `path`."""
        line = self._line(path)
        named = ".".join(quoted(part) for part in path if isinstance(part, str))
        problem = Problem(named, line, message, why, tuple(remedy for remedy in remedies if remedy))
        # Every job reads [defaults], but a problem there is reported once.
        self.problems.setdefault((named, line, message), problem)

    def _line(self, path: toml_lines.Path) -> int | None:
        """Return the line of the key, or of the nearest table around it."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def value(self, path: toml_lines.Path, value: Any, read_value: values.Reader[T], default: T) -> T:
        """Return the value as read. If it is invalid, note its problems and return `default`."""
        try:
            return read_value(value)
        except values.Invalid as error:
            for each in (error, *error.others):
                self.note((*path, *each.at), each.message, *each.remedies, why=each.why)
            return default

    def known(self, path: toml_lines.Path, table: Mapping[str, Any], scope: keys.Scope) -> None:
        """Note each key that this scope does not have."""
        own = keys.names(scope)
        for key in table:
            if key not in own:
                self.note((*path, key), "unknown key", _remedy_for_unknown(key, scope))


_PLACES: dict[keys.Scope, str] = {
    "project": "the top of the file",
    "network": "[network.REGION]",
    "job": "[jobs.NAME]",
}


def _remedy_for_unknown(key: str, scope: keys.Scope) -> str:
    """Return the remedy for an unknown key: the key of this scope with the most similar name, or the table where it belongs."""
    all_keys = f"All keys of a {scope}: dayfly check --keys"
    close = difflib.get_close_matches(key.lower().replace("-", "_"), keys.names(scope), n=1)
    if close:
        return f"did you mean {close[0]}? {all_keys}"
    for place, words in _PLACES.items():
        if key in keys.names(place):
            return f"{key} belongs to {words}"
    return all_keys


def quoted(part: str) -> str:
    return part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'


@dataclass
class Tables:
    """The tables in which a key is looked up, in this order: the job's own, then [defaults]. Each has its path."""

    reading: Reading
    tables: Sequence[tuple[toml_lines.Path, Mapping[str, Any]]]

    def place(self, key: str) -> toml_lines.Path:
        """Return the path of the table that has the key, or of the first one, and the key."""
        for path, table in self.tables:
            if key in table:
                return (*path, key)
        return (*self.tables[0][0], key)

    def take(self, key: str, read_value: values.Reader[T], default: T, *, required: str = "") -> T:
        """Return the key's value as read. `required` is the line that the remedy for a missing key shows."""
        for path, table in self.tables:
            if key in table:
                return self.reading.value((*path, key), table[key], read_value, default)
        if required:
            self.reading.note((*self.tables[0][0], key), "is missing", required)
        return default
