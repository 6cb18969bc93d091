"""S3 objects on disk: the content and the description are written together or not at all; a part is read without the rest.

Where a file lies is MiniStack's; which request reads a part is decided in handler.py.
"""

import contextvars
import logging
import mmap
import os
from pathlib import Path
from typing import Any

from localcloud.ministack import objects
from localcloud.ministack.requests import Handler
from localcloud.services.s3.races import place_of

_log = logging.getLogger("localcloud.s3")
_MAPPED_FROM = 1 << 20
_NOT_STORED = "We encountered an internal error. The machine's disk did not take the object: {}."
reads_part: contextvars.ContextVar[bool] = contextvars.ContextVar("localcloud_reads_part", default=False)
"""Whether the current request reads a part of an object only."""


class NotStored(Exception):
    """The disk did not take an object."""


class Writer:
    """Writes the files of an object beside their places and renames them when all are written."""

    def __init__(self) -> None:
        self._written: list[tuple[str, str]] = []
        self._failures: list[OSError] = []
        self._together = False

    def install(self) -> None:
        """Have MiniStack write objects with this writer."""
        objects.wrap_persist(self._persist, self._write)

    def _persist(self, persist: objects.Persist) -> objects.Persist:
        def keep(bucket: str, key: str, record: Any) -> None:
            self._written.clear()
            self._failures.clear()
            self._together = True
            try:
                persist(bucket, key, record)
            finally:
                self._together = False
            # MiniStack drops the body from memory once it is on disk.
            if self._failures or (isinstance(record, dict) and record.get("body") is not None):
                self._give_up(f"{bucket}/{key}")
            for temporary, path in self._written:
                os.replace(temporary, path)

        return keep

    def _write(self, path: str, data: Any, *, text: bool = False) -> None:
        temporary = f"{path}.tmp"
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(data.encode() if text else data)
        except OSError as error:
            # MiniStack only writes it to its log.
            self._failures.append(error)
            Path(temporary).unlink(missing_ok=True)
            raise
        if self._together:
            self._written.append((temporary, path))
        else:
            os.replace(temporary, path)

    def _give_up(self, name: str) -> None:
        """Remove what was written of an object. Raises NotStored."""
        for temporary, _ in self._written:
            Path(temporary).unlink(missing_ok=True)
        reason = self._failures[0].strerror if self._failures else "it cannot be written"
        raise NotStored(f"{name}: {reason}")


def map_parts(read: objects.Read) -> objects.Read:
    """Map the file of a large object when only a part of it is read."""

    def read_mapped(bucket: str, key: str, record: dict[str, Any]) -> Any:
        if not reads_part.get() or record.get("body") is not None or record.get("size", 0) < _MAPPED_FROM:
            return read(bucket, key, record)
        with objects.path_of(bucket, key).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    return read_mapped


def undo_unstored(handler: Handler) -> Handler:
    """Answer 500 for a write that the disk refused, and leave the object as it was."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        bucket, key = place_of(path)
        known = objects.objects(bucket)
        before = known.get(key)
        try:
            return await handler(method, path, headers, body, query)
        except NotStored as refused:
            _log.error("an object is not stored: %s", refused)
            if before is None:
                known.pop(key, None)
            else:
                known[key] = before
            return objects.error("InternalError", _NOT_STORED.format(refused), 500, path)

    return handle
