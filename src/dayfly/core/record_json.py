"""Writes records as JSON and reads them again. What the records are is core/records.py; a job version has core/versions.py."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

from dayfly.core import names
from dayfly.core.records import Elected, Election, NoServer

R = TypeVar("R")


def moment_text(moment: datetime) -> str:
    """Return a time as `2026-11-24T22:41:00.600Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """Read the text that `moment_text` writes, with any number of decimals. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def encode(record: Any) -> bytes:
    """Return a record as JSON, keys sorted, with the number of the format."""
    return json.dumps({"format": names.FORMAT, **_plain(record)}, sort_keys=True, ensure_ascii=False).encode()


def decode(kind: type[R], body: bytes) -> R:
    """Return a record from its JSON. Unknown fields are ignored: a later version may have written them. Raises ValueError."""
    try:
        return typing.cast(R, _typed(kind, json.loads(body)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__} record: {error}") from error


def decode_election(body: bytes) -> Election:
    """Return the content of `N/server.json`. Raises ValueError."""
    if b'"cause"' in body:
        return decode(NoServer, body)
    return decode(Elected, body)


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
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        return _typed(next(variant for variant in typing.get_args(kind) if variant is not type(None)), value)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{f.name: _typed(hints[f.name], value[f.name]) for f in fields(kind) if f.name in value})  # type: ignore[operator]
    if kind is datetime:
        return moment(value)
    if typing.get_origin(kind) is tuple:
        return tuple(_typed(typing.get_args(kind)[0], item) for item in value)
    if typing.get_origin(kind) is Mapping and is_dataclass(typing.get_args(kind)[1]):
        return {key: _typed(typing.get_args(kind)[1], item) for key, item in value.items()}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind(value)
    if kind in (str, int, bool) and not isinstance(value, kind):
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value
