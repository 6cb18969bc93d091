"""Download the project's code by its presigned URL, verify it, and unpack it into the job's folder.

The archive is not trusted: its size and SHA-256 must be those in go.json, and no entry may leave the folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import time
import zipfile
from urllib.parse import urlsplit

from dayfly.remote.agent import web
from dayfly.remote.agent.names import say

_BLOCK = 256 << 10


class BadBundle(Exception):
    """The bundle is not the deployed one or not a valid archive; `network` is set if it could not be downloaded."""

    def __init__(self, text: str, network: bool = False) -> None:
        super().__init__(text)
        self.network = network


def fetch(url: str, sha256: str, size: int, path: str, until: float) -> None:
    """Download to `path`, retrying until `until` (monotonic seconds).

    Raises BadBundle, and OSError if the disk is full.
    """
    while True:
        try:
            found = _download(url, size, path)
            break
        except web.FAILURES as problem:
            if getattr(problem, "errno", None) == errno.ENOSPC:
                raise
            if time.monotonic() > until:
                raise BadBundle(f"cannot download the bundle: {problem!r}", network=True) from problem
            say(f"bundle: {problem!r}")
            time.sleep(2)
    if found != (size, sha256):
        raise BadBundle(f"the bundle is not the deployed one: {found[0]} bytes, SHA-256 {found[1]}")


def _download(url: str, size: int, path: str) -> tuple[int, str]:
    """Return the size and SHA-256 of what arrived. Stops at most one block after `size`.

    Raises OSError or HTTPException.
    """
    site = web.Site(url, 60)
    digest, count = hashlib.sha256(), 0
    try:
        answer = site.open("GET", "?" + urlsplit(url).query, {})
        if answer.status != 200:
            raise OSError(f"status {answer.status}: {answer.read(300)!r}")
        with open(path, "wb") as file:
            while count <= size:
                block = answer.read(_BLOCK)
                if not block:
                    break
                count += len(block)
                digest.update(block)
                file.write(block)
        if count < size and answer.getheader("content-length") == str(size):
            raise OSError(f"cut off after {count} of {size} bytes")
    finally:
        site.close()
    return count, digest.hexdigest()


def unpack(path: str, folder: str) -> None:
    """Write the archive's files, folders and symbolic links with their modes.

    Raises BadBundle (nothing outside the folder was touched) or OSError.
    """
    root = os.path.realpath(folder)
    try:
        with zipfile.ZipFile(path) as archive:
            links = [entry for entry in archive.infolist() if stat.S_ISLNK(entry.external_attr >> 16)]
            for entry in archive.infolist():
                if entry not in links:
                    _extract(archive, entry, root)
            # Links are made last, so that no file is written through one.
            for entry in links:
                target = archive.read(entry).decode()
                os.symlink(target, _path_inside(root, entry.filename))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as problem:
        raise BadBundle(f"cannot unpack the bundle: {problem}") from problem


def _extract(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, root: str) -> None:
    """Write one folder or file. The owner can always read and write it (and enter a folder)."""
    path = _path_inside(root, entry.filename)
    mode = (entry.external_attr >> 16) & 0o777
    owner = 0o600
    if entry.is_dir():
        owner = 0o700
        os.makedirs(path, exist_ok=True)
    else:
        with archive.open(entry) as source, open(path, "wb") as file:
            shutil.copyfileobj(source, file, _BLOCK)
    if mode:
        os.chmod(path, mode | owner)


def _path_inside(root: str, name: str) -> str:
    """Return where an entry belongs, and make its parent folders. Raises ValueError for a path outside `root`."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"path outside the folder: {name!r}")
    path = os.path.join(root, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path
