"""Calls about objects in the project's bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dayfly.flows.calls.call import Call


@dataclass(frozen=True)
class Stored:
    """An object as read: its bytes, and the etag that a conditional write must name."""

    body: bytes
    etag: str


@dataclass(frozen=True)
class TooLarge:
    """An object that is larger than asked for, so it was not read."""

    etag: str


LARGEST_RECORD = 24 << 20
"""Bytes. The largest record that dayfly writes is the receipt of a run with tens of thousands of outputs."""


@dataclass(frozen=True)
class Get(Call[Stored | TooLarge | None]):
    """Read an object of at most this many bytes. None when there is none. `bucket`: empty for the project's own."""

    key: str
    most: int = LARGEST_RECORD
    bucket: str = ""


@dataclass(frozen=True)
class PutNew(Call[bool]):
    """Write an object that must not exist yet. False when another body is there; True when the same body is.

    `bucket`: empty for the project's own.
    """

    key: str
    body: bytes
    bucket: str = ""


@dataclass(frozen=True)
class PutMatch(Call[bool]):
    """Replace an object if it still has this etag. False when it has another. `bucket`: empty for the project's own."""

    key: str
    body: bytes
    etag: str
    bucket: str = ""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """One object to copy: from a key of the project's bucket to a key of another place. `size` in bytes."""

    source: str
    to: str
    size: int


@dataclass(frozen=True)
class Copy(Call[None]):
    """Copy objects of the project's bucket inside S3, several at once. `bucket`: where to; empty for the project's own."""

    copies: tuple[Copied, ...]
    bucket: str = ""


@dataclass(frozen=True)
class Put(Call[None]):
    """Overwrite an object. Only for heartbeat.json."""

    key: str
    body: bytes


@dataclass(frozen=True)
class Delete(Call[bool]):
    """Delete an object; with an etag, only if the object still has it. False when it has another, True when it is gone."""

    key: str
    etag: str | None = None


@dataclass(frozen=True)
class DeleteMany(Call[None]):
    """Delete objects, a thousand in one request. Missing ones are ignored."""

    keys: tuple[str, ...]


@dataclass(frozen=True)
class List(Call[tuple[str, ...]]):
    """List all keys under a prefix, sorted. With `folders`, only the next level of names, each ending in `/`."""

    prefix: str
    folders: bool = False


PAGE = 1000
"""Keys in one page of a listing."""


@dataclass(frozen=True)
class ListSizes(Call[Mapping[str, int]]):
    """List a page of up to PAGE keys under a prefix that sort after `after`, each with its size in bytes. One request."""

    prefix: str
    after: str


@dataclass(frozen=True)
class ListFrom(Call[tuple[str, ...]]):
    """List up to `most` keys (at most 1,000) under a prefix that sort after `after`, in order. One request."""

    prefix: str
    after: str
    most: int = 1000


@dataclass(frozen=True)
class ListOlder(Call[tuple[str, ...]]):
    """List all keys under a prefix whose objects were last written before this time, sorted."""

    prefix: str
    before: datetime


@dataclass(frozen=True)
class SignGet(Call[str]):
    """Sign a URL with which anyone can read one object for this many seconds."""

    key: str
    seconds: int
