"""Download a file by a presigned link of go.json (`url`, `sha256`, `size`) and verify it: the agent, and later the bundle."""

from __future__ import annotations

import errno
import hashlib
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from dayfly.remote.boot import web
from dayfly.remote.boot.names import say

_BLOCK = 256 << 10
_TRY_AGAIN = (408, 429)


class NoNetwork(Exception):
    """The file could not be downloaded."""


class WrongFile(Exception):
    """The file is not the deployed one."""


def fetch(what: str, link: Mapping[str, Any], path: str, until: float) -> None:
    """Download to `path`; transient failures are retried until `until` (monotonic seconds). `what`: its name in messages.

    Raises NoNetwork, WrongFile, and OSError if the disk is full.
    """
    wanted = int(link["size"]), str(link["sha256"])
    while True:
        try:
            found = _download(what, link["url"], wanted[0], path, until)
            break
        except web.FAILURES as problem:
            if getattr(problem, "errno", None) == errno.ENOSPC:
                raise
            if time.monotonic() > until:
                raise NoNetwork(f"cannot download the {what}: {problem!r}") from problem
            say(f"{what}: {problem!r}")
            time.sleep(2)
    if found != wanted:
        raise WrongFile(f"the {what} is not the deployed one: {found[0]} bytes, SHA-256 {found[1]}")


def _download(what: str, url: str, size: int, path: str, until: float) -> tuple[int, str]:
    """Return the size and SHA-256 of what arrived: at most one block over `size`. Raises NoNetwork for a link that is refused."""
    site = web.Site(url, 60)
    digest, count = hashlib.sha256(), 0
    late = max(until, time.monotonic() + 60)
    try:
        answer = site.open("GET", "?" + urlsplit(url).query, {})
        if answer.status != 200:
            text = f"status {answer.status}: {answer.read(300)!r}"
            if 400 <= answer.status < 500 and answer.status not in _TRY_AGAIN:
                raise NoNetwork(f"the link to the {what} is refused: {text}")
            raise OSError(text)
        with open(path, "wb") as file:
            while count <= size and time.monotonic() < late:
                block = answer.read1(_BLOCK)  # what has arrived, so that a slow sender cannot pass `late`
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
