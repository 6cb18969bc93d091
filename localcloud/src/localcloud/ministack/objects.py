"""MiniStack's S3: its buckets and objects, its unfinished uploads, and the calls that read and write them.

What S3 answers is decided in services.s3.
"""

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

from localcloud.ministack.requests import service

Answer = tuple[int, dict[str, str], Any]
Record = dict[str, Any]
Copy = Callable[[str, str, dict[str, str]], Answer]
"""CopyObject: bucket, key, headers."""
Put = Callable[[str, str, bytes, dict[str, str]], Answer]
"""PutObject: bucket, key, body, headers."""
Read = Callable[[str, str, Record], Any]
"""The body of an object: bucket, key, record."""
Persist = Callable[[str, str, Record], None]
"""Writing an object to disk: bucket, key, record."""


def error(code: str, message: str, status: int, path: str) -> Answer:
    """Return S3's answer for an error."""
    found: Answer = _s3()._error(code, message, status, path)
    return found


def bucket_exists(bucket: str) -> bool:
    """Return whether the bucket exists."""
    return _s3()._buckets.get(bucket) is not None


def objects(bucket: str) -> MutableMapping[str, Record]:
    """Return MiniStack's own records of a bucket's objects by key; writing to it changes the bucket."""
    found: MutableMapping[str, Record] = (_s3()._buckets.get(bucket) or {}).get("objects", {})
    return found


def failed_precondition(headers: dict[str, str], record: Record | None) -> Answer | None:
    """Return the answer when If-Match or If-None-Match forbids the write; None when neither does."""
    found: Answer | None = _s3()._check_put_preconditions(headers, record)
    return found


def path_of(bucket: str, key: str) -> Path:
    """Return the file that holds an object's content."""
    return Path(_s3()._object_disk_path(bucket, key))


def uploads() -> MutableMapping[str, Record]:
    """Return MiniStack's own records of unfinished multipart uploads of the current account, by upload id."""
    found: MutableMapping[str, Record] = _s3()._multipart_uploads
    return found


def delete_bucket(bucket: str) -> Answer:
    """Delete a bucket as DeleteBucket does; returns its answer."""
    found: Answer = _s3()._delete_bucket(bucket)
    return found


def wrap_copy(wrap: Callable[[Copy], Copy]) -> None:
    """Replace MiniStack's function for CopyObject by `wrap(that function)`."""
    _s3()._copy_object = wrap(_s3()._copy_object)


def wrap_put(wrap: Callable[[Put], Put]) -> None:
    """Replace MiniStack's function for PutObject by `wrap(that function)`."""
    _s3()._put_object = wrap(_s3()._put_object)


def wrap_read(wrap: Callable[[Read], Read]) -> None:
    """Replace MiniStack's function that reads an object's body by `wrap(that function)`."""
    _s3()._read_body = wrap(_s3()._read_body)


def wrap_persist(wrap: Callable[[Persist], Persist], write: Callable[..., None]) -> None:
    """Replace MiniStack's function that writes an object to disk by `wrap(that function)`.

    Each file of an object is written by `write(path, data, *, text=False)`.
    """
    s3 = _s3()
    s3._persist_object = wrap(s3._persist_object)
    s3._atomic_write = write


def _s3() -> Any:
    return service("s3")
