"""Calls about objects in the project's bucket."""

from __future__ import annotations

from dataclasses import dataclass

from dayfly.flows.calls.call import Call


@dataclass(frozen=True)
class Stored:
    """An object as read: its bytes, and the etag that a conditional write must name."""

    body: bytes
    etag: str


@dataclass(frozen=True)
class Get(Call[Stored | None]):
    """Reads an object; None when there is none."""

    key: str


@dataclass(frozen=True)
class PutNew(Call[bool]):
    """Writes a fact. False when another writer was first; True when the same body is already there."""

    key: str
    body: bytes


@dataclass(frozen=True)
class PutMatch(Call[bool]):
    """Replaces an object if it still has this etag. False when it has another."""

    key: str
    body: bytes
    etag: str


@dataclass(frozen=True)
class Put(Call[None]):
    """Overwrites an object. Only for heartbeat.json."""

    key: str
    body: bytes


@dataclass(frozen=True)
class Delete(Call[bool]):
    """Removes an object; with an etag only if it still has it (False when not). True when there is no such object."""

    key: str
    etag: str | None = None


@dataclass(frozen=True)
class DeleteMany(Call[None]):
    """Removes objects, a thousand in one request. Missing ones are ignored."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class List(Call[tuple[str, ...]]):
    """All keys under a prefix, sorted. With `folders`, only the next level of names, each ending in `/`."""

    prefix: str
    folders: bool = False


@dataclass(frozen=True)
class SignGet(Call[str]):
    """A link that lets its holder read one object for this many seconds."""

    key: str
    seconds: int
