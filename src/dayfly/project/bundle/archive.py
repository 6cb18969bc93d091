"""Write a zip that depends on its entries alone: the same entries give the same bytes (with the same zlib).

Names are sorted, every entry has the same time, and its mode is 755, 644 or that of a link. Which files go into a zip is
decided in job_bundle.py and function_zips.py.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from dayfly.project import formatting

_TIME = (1980, 1, 1, 0, 0, 0)
_CREATED_ON_UNIX = 3
"""With this system, the upper half of an entry's external attributes is its Unix mode."""
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Zip:
    """A finished zip of `size` bytes. Its file is named SHA256.zip."""

    path: Path
    sha256: str
    size: int


class Entry(NamedTuple):
    """One name in a zip. `source` is a file on this machine or the content itself; the content of a link is its target."""

    name: str
    mode: int
    source: Path | bytes

    @property
    def size(self) -> int:
        """The unpacked size in bytes."""
        if isinstance(self.source, bytes):
            return len(self.source)
        return self.source.stat().st_size


class TooLargeError(Exception):
    """The zip is larger than its limit."""


def read_entry(name: str, path: Path) -> Entry:
    """Return the entry for a file or link on this machine."""
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return Entry(name, stat.S_IFLNK | 0o777, os.fsencode(os.readlink(path)))
    if mode & 0o111:
        return Entry(name, stat.S_IFREG | 0o755, path)
    return Entry(name, stat.S_IFREG | 0o644, path)


def write_zip(entries: Iterable[Entry], out: Path, limit: int = sys.maxsize) -> Zip:
    """Write the entries to `out/SHA256.zip`. Raises TooLargeError as soon as the zip exceeds `limit` bytes."""
    out.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="unfinished-", suffix=".zip", dir=out)
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    _write_entry(archive, file, entry, limit)
            size = file.tell()
            if size > limit:
                raise TooLargeError
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        unfinished.chmod(0o644)
        path = unfinished.rename(out / f"{sha256}.zip")
        return Zip(path=path, sha256=sha256, size=size)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_entry(archive: zipfile.ZipFile, file: IO[bytes], entry: Entry, limit: int) -> None:
    """Write an entry to the archive, which writes to `file`."""
    info = zipfile.ZipInfo(entry.name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = _CREATED_ON_UNIX
    info.external_attr = entry.mode << 16
    if isinstance(entry.source, bytes):
        archive.writestr(info, entry.source)
        return
    info.file_size = entry.size  # zipfile needs it to decide whether the entry needs 64-bit sizes
    with entry.source.open("rb") as source, archive.open(info, "w") as target:
        while block := source.read(_BLOCK_BYTES):
            target.write(block)
            if file.tell() > limit:
                raise TooLargeError


def write_zip_once(entries: Sequence[Entry], out: Path, limit: int, cache: Path, say: Callable[[str], None]) -> Zip:
    """Return the zip of these entries from an earlier call with the same `cache`, or write it.

    Compression takes long, so `cache` keeps the name of the zip under a digest of the entries. Raises TooLargeError.
    """
    record = cache / f"packed-{_digest(entries)}"
    known = _known_zip(record, out, limit)
    if known is not None:
        return known
    say(f"packing {formatting.number_of(len(entries), 'file')}, packages included")
    written = write_zip(entries, out, limit)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(written.sha256, encoding="ascii")
    return written


def _known_zip(record: Path, out: Path, limit: int) -> Zip | None:
    """Return the recorded zip; None if there is no record, or if the file is missing, changed or over the limit."""
    if not record.is_file():
        return None
    sha256 = record.read_text(encoding="ascii")
    path = out / f"{sha256}.zip"
    if not path.is_file() or path.stat().st_size > limit or digest_file(path) != sha256:
        return None
    return Zip(path=path, sha256=sha256, size=path.stat().st_size)


def _digest(entries: Iterable[Entry]) -> str:
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.name):
        digest.update(f"{entry.name}\0{entry.mode:o}\0{_digest_content(entry)}\0".encode())
    return digest.hexdigest()


def _digest_content(entry: Entry) -> str:
    if isinstance(entry.source, bytes):
        return hashlib.sha256(entry.source).hexdigest()
    return digest_file(entry.source)


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
