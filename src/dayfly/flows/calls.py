"""What a flow may want from the cloud: frozen calls, each typed by its answer, and `ask`.

A flow is a generator: it yields a call and is sent the answer, or has `errors.Unclear` thrown into it when nobody knows whether
it happened. cloud/interpreter.py answers with boto3, tests/model/cloud.py in memory. No I/O, no rule of any kind here.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar, cast

from dayfly.core.facts import FleetAnswer, Server

A = TypeVar("A")
T = TypeVar("T")


class Call(Generic[A]):
    """A wish whose answer is an A."""


Flow = Generator[Call[Any], Any, T]
"""A flow that ends with a T."""


def ask(call: Call[A]) -> Generator[Call[Any], Any, A]:
    """Yields the call, returns its answer with its type."""
    return cast(A, (yield call))


@dataclass(frozen=True)
class Stored:
    """An object as read: its bytes and the etag that a later conditional write must name."""

    body: bytes
    etag: str


@dataclass(frozen=True)
class Now(Call[datetime]):
    """What time it is, UTC."""


@dataclass(frozen=True)
class Say(Call[None]):
    """One line of the story, for the log of whoever walks."""

    line: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Get(Call[Stored | None]):
    """An object, or None when there is none."""

    key: str


@dataclass(frozen=True)
class PutNew(Call[bool]):
    """Writes a fact; False when another writer was first (its body then stands). Repeating one's own body is True."""

    key: str
    body: bytes


@dataclass(frozen=True)
class PutMatch(Call[bool]):
    """Replaces an object that still has this etag; False when it has not."""

    key: str
    body: bytes
    etag: str


@dataclass(frozen=True)
class Put(Call[None]):
    """Writes over whatever is there. Only for heartbeat.json."""

    key: str
    body: bytes


@dataclass(frozen=True)
class Delete(Call[bool]):
    """Removes an object; with an etag only if it still has it (False when not). Absent is True."""

    key: str
    etag: str | None = None


@dataclass(frozen=True)
class DeleteMany(Call[None]):
    """Removes objects, a thousand a call. Absent ones are fine."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class List(Call[tuple[str, ...]]):
    """All keys under a prefix, sorted. With `folders`, the next level of names only (each ends in `/`)."""

    prefix: str
    folders: bool = False


@dataclass(frozen=True)
class SignGet(Call[str]):
    """A link that lets its holder read one object for so long."""

    key: str
    seconds: int


@dataclass(frozen=True)
class CreateFleet(Call[FleetAnswer]):
    """Asks EC2 for one server, with the request as stored. A definite refusal is an answer; no clear answer is thrown."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class FleetServers(Call[tuple[Server, ...]]):
    """The servers that a fleet launched, as its own record tells; `request` is the one that made it."""

    fleet: str
    request: Mapping[str, Any]


@dataclass(frozen=True)
class Servers(Call[tuple[Server, ...]]):
    """This project's servers as EC2 sees them now: of one run, or all; terminated ones included while EC2 shows them."""

    run: str | None = None


@dataclass(frozen=True)
class EndServer(Call[None]):
    """Terminates one server of this project. Already gone is fine."""

    server: str


@dataclass(frozen=True)
class Console(Call[tuple[str, ...]]):
    """The last lines of a server's console that dayfly's own parts wrote; empty when there are none."""

    server: str


@dataclass(frozen=True)
class Arm(Call[None]):
    """Makes the kill schedule of a server. Already there is fine."""

    server: str
    at: datetime


@dataclass(frozen=True)
class IsArmed(Call[bool]):
    """Whether the kill schedule of a server exists."""

    server: str


@dataclass(frozen=True)
class Disarm(Call[None]):
    """Removes the kill schedule of a server. Absent is fine."""

    server: str
