"""Find the files that the job's output patterns match, and upload them. Call it when all the job's processes are gone.

A pattern is relative to the job's folder: `*`, `?`, `[..]` within a name, `**` across folders. As in a shell, a leading dot
must be written out.
"""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from dayfly.remote.agent.s3 import Bucket, Changed, Refused, Slice

_AT_ONCE = 6


class Matches(NamedTuple):
    """What the patterns matched: relative paths."""

    paths: list[str]
    missing: list[str]  # patterns that matched no regular file
    refused: list[str]  # matches that link outside the job's folder


NONE = Matches([], [], [])


def find(folder: str, patterns: list[str]) -> Matches:
    """Return the regular files that match (also through links inside the folder), sorted and without duplicates."""
    hits: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    refused: set[str] = set()
    root = os.path.realpath(folder)
    for at, folders, files in os.walk(root):
        if at == root and ".dayfly" in folders:
            folders.remove(".dayfly")
        for name in files:
            path = os.path.relpath(f"{at}/{name}", root)
            for pattern in patterns:
                if matches(path.split("/"), _parts(pattern)):
                    if _storable(root, path):
                        hits[pattern].append(path)
                    elif os.path.islink(f"{root}/{path}"):
                        refused.add(path)
    found = sorted({path for paths in hits.values() for path in paths})
    return Matches(found, [pattern for pattern in patterns if not hits[pattern]], sorted(refused))


def store(bucket: Bucket, prefix: str, folder: str, paths: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Upload the files. Returns the `outputs` of ended.json for those stored whole, and an error text for each of the others."""

    def put(path: str) -> tuple[dict[str, Any], str]:
        key, full = f"{prefix}output/{path}", f"{folder}/{path}"
        try:
            key.encode()
            before = os.stat(full)
            size = before.st_size
            digest = bucket.put(key, Slice(full, 0, size))
            after = os.stat(full)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise Changed("changed while it was uploaded")
        except (Refused, Changed, OSError, UnicodeEncodeError) as problem:
            return {}, f"{path.encode('utf-8', 'backslashreplace').decode()}: {problem}"
        return {"path": path, "key": key, "size": size, "sha256": digest}, ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = list(pool.map(put, paths))
    return [record for record, error in done if not error], [error for _, error in done if error]


def matches(path: list[str], pattern: list[str]) -> bool:
    """Return whether a relative path matches a pattern, both split at `/`."""
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        below = len(path) > 1 and not path[0].startswith(".") and matches(path[1:], pattern)
        return below or matches(path, rest or ["*"])
    if not path or path[0].startswith(".") > head.startswith(".") or not fnmatchcase(path[0], head):
        return False
    if rest:
        return matches(path[1:], rest)
    return len(path) == 1


def _parts(pattern: str) -> list[str]:
    """Split a pattern: `./out/` -> ["out", "**"], since a folder means everything in it."""
    return [part or "**" for part in pattern.split("/") if part != "."]


def _storable(root: str, path: str) -> bool:
    """Return whether a path is a regular file inside `root`, links followed."""
    real = os.path.realpath(f"{root}/{path}")
    if real != root and not real.startswith(root + os.sep):
        return False
    try:
        return stat.S_ISREG(os.stat(real).st_mode)
    except OSError:
        return False
