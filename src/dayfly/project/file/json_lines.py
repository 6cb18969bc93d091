"""Find the line of each value in a JSON text. json, which reads the values, does not report lines.

The text must be valid JSON, that is, json has accepted it. Nothing is validated here.
"""

from __future__ import annotations

import json
import re

Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCALAR = re.compile(r"[^,\]}\s]+")


def find(text: str) -> dict[Path, int]:
    """Return the line, counted from 1, of every value, by path: the keys and the indexes down to it. Of a key's value, its key's line."""
    found: dict[Path, int] = {}
    _value(text, _skip(text, 0), (), found)
    return found


def _value(text: str, at: int, path: Path, found: dict[Path, int]) -> int:
    """Note the value that begins at `at`, and return where it ends."""
    found.setdefault(path, text.count("\n", 0, at) + 1)
    match text[at]:
        case "{":
            return _object(text, at + 1, path, found)
        case "[":
            return _array(text, at + 1, path, found)
        case '"':
            return _end(_STRING, text, at)
    return _end(_SCALAR, text, at)


def _object(text: str, at: int, path: Path, found: dict[Path, int]) -> int:
    at = _skip(text, at)
    while text[at] != "}":
        end = _end(_STRING, text, at)
        own = (*path, str(json.loads(text[at:end])))
        found[own] = text.count("\n", 0, at) + 1
        at = _skip(text, _value(text, _skip(text, _skip(text, end) + 1), own, found))
        if text[at] == ",":
            at = _skip(text, at + 1)
    return at + 1


def _array(text: str, at: int, path: Path, found: dict[Path, int]) -> int:
    at, number = _skip(text, at), 0
    while text[at] != "]":
        at = _skip(text, _value(text, at, (*path, number), found))
        number += 1
        if text[at] == ",":
            at = _skip(text, at + 1)
    return at + 1


def _skip(text: str, at: int) -> int:
    return _end(_SPACE, text, at)


def _end(form: re.Pattern[str], text: str, at: int) -> int:
    found = form.match(text, at)
    if found is None:
        raise ValueError(f"not JSON at character {at}")
    return found.end()
