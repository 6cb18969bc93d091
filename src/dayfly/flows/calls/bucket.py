"""Calls about the bucket itself: whose it is, its settings, its size, files stored and downloaded whole, its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dayfly.flows.calls.call import Call

BucketState = Literal["absent", "owned", "denied"]
"""`denied`: there is a bucket of this name, and it belongs to another account or these credentials may not see it."""


@dataclass(frozen=True, kw_only=True)
class BucketSize:
    """What a bucket holds now."""

    objects: int
    bytes: int


@dataclass(frozen=True)
class FindBucket(Call[BucketState]):
    """Whether the project's bucket exists. `owner` is the account that it must belong to; None: any."""

    owner: str | None = None


@dataclass(frozen=True)
class MakeBucket(Call[bool]):
    """Creates the project's bucket. False when another account has a bucket of this name."""


@dataclass(frozen=True, kw_only=True)
class SetUpBucket(Call[None]):
    """Closes the bucket to the public and replaces its policy, its tags and its one lifecycle rule."""

    policy: Mapping[str, Any]
    tags: Mapping[str, str]
    abort_uploads_after_days: int


@dataclass(frozen=True)
class MeasureBucket(Call[BucketSize]):
    """Counts all objects of the bucket and their bytes."""


@dataclass(frozen=True)
class DeleteSomeObjects(Call[int]):
    """Deletes up to a thousand objects of the bucket and answers how many. 0: it has no object left."""


@dataclass(frozen=True)
class AbortSomeUploads(Call[int]):
    """Aborts up to a thousand unfinished uploads of the bucket and answers how many. 0: none is left."""


@dataclass(frozen=True)
class DeleteBucket(Call[bool]):
    """Deletes the bucket. False when it is not empty; True when there is none."""


@dataclass(frozen=True)
class Upload(Call[bool]):
    """Stores the file at `path` under a key that names its content. False when the key already exists."""

    key: str
    path: str


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A file as it arrived."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Download(Call[Downloaded | None]):
    """Writes an object to the file at `path`, whose folder is made. None when there is no such object."""

    key: str
    path: str
