"""Calls about the bucket itself: its owner, settings, size and deletion; and files uploaded or downloaded whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dayfly.flows.calls.call import Call

BucketState = Literal["absent", "owned", "denied"]
"""`denied`: there is a bucket of this name, and it belongs to another account or these credentials may not see it."""

BucketCreation = Literal["made", "taken", "busy"]
"""`taken`: another account has a bucket of this name. `busy`: S3 still deletes the last one of this name, or another command makes it."""


@dataclass(frozen=True, kw_only=True)
class BucketSize:
    """What a bucket holds now."""

    objects: int
    bytes: int


@dataclass(frozen=True)
class FindBucket(Call[BucketState]):
    """Find out whether the project's bucket exists. `owner` is the account that it must belong to; None means any."""

    owner: str | None = None


@dataclass(frozen=True)
class CreateBucket(Call[BucketCreation]):
    """Create the project's bucket, unless it exists."""


@dataclass(frozen=True, kw_only=True)
class SetUpBucket(Call[None]):
    """Block public access to the bucket and replace its policy, its tags and its one lifecycle rule."""

    policy: Mapping[str, Any]
    tags: Mapping[str, str]
    abort_uploads_after_days: int


@dataclass(frozen=True)
class MeasureBucket(Call[BucketSize]):
    """Count all objects of the bucket and their bytes."""


@dataclass(frozen=True)
class DeleteSomeObjects(Call[int]):
    """Delete up to a thousand objects of the bucket. The answer is how many; 0 means that none was left."""


@dataclass(frozen=True)
class AbortSomeUploads(Call[int]):
    """Abort up to a thousand unfinished uploads of the bucket. The answer is how many; 0 means that none was left."""


@dataclass(frozen=True)
class DeleteBucket(Call[bool]):
    """Delete the bucket. False when it is not empty; True when there is none."""


@dataclass(frozen=True)
class ObjectUrl(Call[str]):
    """Give the plain URL of an object, without a signature: whoever opens it needs the right to read the object."""

    key: str


@dataclass(frozen=True)
class Upload(Call[bool]):
    """Store the file at `path` under a key that names its content. False when the key already exists.

    An object that was last written before `fresh` counts as written now.
    """

    key: str
    path: str
    fresh: datetime


@dataclass(frozen=True, kw_only=True)
class Downloaded:
    """A downloaded file: its size and hex SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Download(Call[Downloaded | None]):
    """Write an object to the file at `path`, and create its folder. None when there is no such object."""

    key: str
    path: str
