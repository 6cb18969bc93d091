"""What a call is, how a flow makes one, and the calls that need no AWS: time, waiting, the log, output for the user.

A flow is a generator: it yields a call (a frozen value) where other code would do I/O, and is sent the answer. So the same flow
runs against AWS and in tests against a model in memory. No I/O and no decisions here.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

A = TypeVar("A")
T = TypeVar("T")


class Call(Generic[A]):
    """A request that a flow makes; its answer has the type A."""


Flow = Generator[Call[Any], Any, T]
"""A generator that yields calls, is sent their answers and returns a T."""


def ask(call: Call[A]) -> Generator[Call[Any], Any, A]:
    """Yield the call and return its answer, with the answer's type."""
    return cast(A, (yield call))


@dataclass(frozen=True)
class Now(Call[datetime]):
    """Read the current time, in UTC."""


@dataclass(frozen=True)
class Log(Call[None]):
    """Write one line, with `fields` beside it, to the log of the process that runs the flow."""

    line: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Sleep(Call[None]):
    """Wait this many seconds."""

    seconds: float


@dataclass(frozen=True)
class ShowBytes(Call[None]):
    """Show these bytes to the user at once, while the flow goes on."""

    body: bytes
