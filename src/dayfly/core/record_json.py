"""Writes records as JSON and reads them again. What the records are is core/records.py; a job version has core/versions.py.

Others can write into the bucket, so every body is checked: its JSON, its types, and by core/record_checks.py its values.
"""

from __future__ import annotations

import functools
import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal, NoReturn, TypeVar

from dayfly.core import names
from dayfly.core.reasons import Flaw
from dayfly.core.record_checks import check
from dayfly.core.records import Elected, Election, NoServer

R = TypeVar("R")

_LARGEST_NUMBER = 2**53
"""Larger numbers are not the same in every reader of JSON."""


class BadRecord(ValueError):
    """A body is not the record that it should be."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(f"{flaw} ({detail})")
        self.flaw = flaw


def moment_text(moment: datetime) -> str:
    """Return a time as `2026-11-24T22:41:00.600Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Read the text that `moment_text` writes, with any number of decimals. Raises ValueError."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if found.tzinfo is None or not 1970 < found.year < 2200:
        raise ValueError(f"{text!r} is not a UTC time between 1971 and 2199")
    return found.astimezone(UTC)


def encode(record: Any) -> bytes:
    """Return a record as JSON, keys sorted, with the number of the format."""
    return json.dumps({"format": names.FORMAT, **_plain(record)}, sort_keys=True, ensure_ascii=False).encode()


def decode(kind: type[R], body: bytes) -> R:
    """Return a record from its JSON. Unknown fields are ignored: a later version may have written them. Raises BadRecord."""
    return typed(kind, read_json(body))


def decode_election(body: bytes) -> Election:
    """Return the content of `N/server.json`. Raises BadRecord."""
    if b'"cause"' in body:
        return decode(NoServer, body)
    return decode(Elected, body)


def typed(kind: type[R], content: Mapping[str, Any]) -> R:
    """Return a record from the content of its JSON. Raises BadRecord."""
    try:
        return typing.cast(R, _typed(kind, content))
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
        raise BadRecord(Flaw.WRONG_CONTENT, f"{kind.__name__}: {error}") from error


def read_json(body: bytes) -> Mapping[str, Any]:
    """Return the object that a body holds: UTF-8, numbers that every reader of JSON can hold. Raises BadRecord."""
    try:
        text = body.decode()
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_integer)
        if "\\u" in text:
            json.dumps(content, ensure_ascii=False).encode()  # fails for half of a surrogate pair
    except (ValueError, RecursionError) as error:
        raise BadRecord(Flaw.NOT_JSON, str(error)) from error
    if not isinstance(content, dict):
        raise BadRecord(Flaw.WRONG_CONTENT, "not an object")
    return content


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) > _LARGEST_NUMBER:
        raise ValueError(f"{text} is too large")
    return number


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _typed(kind: Any, value: Any) -> Any:
    """Return a value of this type. Raises TypeError, ValueError, or what a check of its content raises."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if isinstance(kind, types.UnionType):
        return _variant(arguments, value)
    if is_dataclass(kind):
        return _record(kind, value)
    if kind is datetime:
        return moment(value)
    if origin is tuple:
        return tuple(_typed(arguments[0], item) for item in _of_type(list, value))
    if origin is Mapping:
        return {key: _typed(arguments[1], item) for key, item in _of_type(dict, value).items()}
    if origin is Literal and value in arguments:
        return value
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    return _of_type(kind, value)


def _variant(kinds: tuple[Any, ...], value: Any) -> Any:
    """Return a value of the first type that it has."""
    if value is None and types.NoneType in kinds:
        return None
    *others, last = (kind for kind in kinds if kind is not types.NoneType)
    for kind in others:
        try:
            return _typed(kind, value)
        except (TypeError, ValueError):
            continue
    return _typed(last, value)


def _record(kind: Any, value: Any) -> Any:
    content, hints = _of_type(dict, value), _hints(kind)
    record = kind(**{f.name: _typed(hints[f.name], content[f.name]) for f in fields(kind) if f.name in content})
    check(record)
    return record


def _of_type(kind: Any, value: Any) -> Any:
    """Return the value if it has exactly this type: JSON's true is no number."""
    if type(value) is not kind:
        raise TypeError(f"{str(value)[:80]!r} is not {kind}")
    return value


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
