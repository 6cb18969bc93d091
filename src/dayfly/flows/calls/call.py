"""What a call is, how a flow makes one, and the calls that need no AWS: time, waiting, the log, bytes to show.

A call is a frozen value, typed by its answer. No I/O and no rule here.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

A = TypeVar("A")
T = TypeVar("T")


class Call(Generic[A]):
    """A request of a flow whose answer is an A."""


Flow = Generator[Call[Any], Any, T]
"""A generator that yields calls, is sent their answers and returns a T."""


def ask(call: Call[A]) -> Generator[Call[Any], Any, A]:
    """Yields the call and returns its answer, with the answer's type."""
    return cast(A, (yield call))


@dataclass(frozen=True)
class Now(Call[datetime]):
    """The current time, UTC."""


@dataclass(frozen=True)
class Log(Call[None]):
    """Writes one line to the log of the process that runs the flow; `fields` go beside it."""

    line: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Sleep(Call[None]):
    """Waits this many seconds."""

    seconds: float


@dataclass(frozen=True)
class Emit(Call[None]):
    """Passes bytes to the process that runs the flow, which shows them at once."""

    body: bytes
