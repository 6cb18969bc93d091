"""The project's code: fetched by its short-lived link, checked, unpacked into the job's folder.

Nothing is believed but size and hash from go.json; no path leaves the folder.
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
from dayfly.remote.agent.words import say

_BLOCK = 256 << 10


class Broken(Exception):
    """The bundle is not the one that was named, or not one at all; `network` where it could not be fetched."""

    def __init__(self, words: str, network: bool = False) -> None:
        super().__init__(words)
        self.network = network


def fetch(url: str, sha256: str, size: int, path: str, until: float) -> None:
    """Download to `path`, again and again until `until` (monotonic). Raises Broken, OSError for the disk."""
    while True:
        try:
            found = _download(url, size, path)
            break
        except web.FAILURES as problem:
            if getattr(problem, "errno", None) == errno.ENOSPC:
                raise
            if time.monotonic() > until:
                raise Broken(f"the bundle could not be fetched: {problem!r}", network=True) from problem
            say(f"bundle: {problem!r}")
            time.sleep(2)
    if found != (size, sha256):
        raise Broken(f"the bundle is not the one that was named: {found[0]} bytes, SHA-256 {found[1]}")


def _download(url: str, size: int, path: str) -> tuple[int, str]:
    """Size and hash of what came; at most one block more than `size` is kept. Raises Broken, HTTPException, OSError."""
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
        site.drop()
    return count, digest.hexdigest()


def unpack(path: str, folder: str) -> None:
    """Files, folders and symbolic links with their modes. Raises Broken (nothing outside is touched), OSError."""
    root = os.path.realpath(folder)
    try:
        with zipfile.ZipFile(path) as archive:
            links = [entry for entry in archive.infolist() if stat.S_ISLNK(entry.external_attr >> 16)]
            for entry in archive.infolist():
                if entry not in links:
                    _place(archive, entry, root)
            # Links come last, so that no file is written through one.
            for entry in links:
                target = archive.read(entry).decode()
                os.symlink(target, _inside(root, entry.filename))
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as problem:
        raise Broken(f"the bundle can not be unpacked: {problem}") from problem


def _place(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, root: str) -> None:
    path = _inside(root, entry.filename)
    mode = (entry.external_attr >> 16) & 0o777
    if entry.is_dir():
        os.makedirs(path, exist_ok=True)
    else:
        with archive.open(entry) as source, open(path, "wb") as file:
            shutil.copyfileobj(source, file, _BLOCK)
    if mode:
        os.chmod(path, mode | (0o700 if entry.is_dir() else 0o600))


def _inside(root: str, name: str) -> str:
    """The place of an entry, its parent folders made. Raises ValueError for one outside."""
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"a path that leads outside: {name!r}")
    path = os.path.join(root, *parts)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path
