"""The job's declared outputs: what the patterns match, stored one by one. Runs after all of the job is dead.

A pattern is relative to the job's folder: `*`, `?`, `[..]` within a name, `**` across folders. As in a shell a leading dot
must be named.
"""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from dayfly.remote.agent.s3 import Bucket, Changed, Refused, Slice

_AT_ONCE = 6


class Found(NamedTuple):
    paths: list[str]
    missing: list[str]  # patterns that matched no regular file
    refused: list[str]  # matches that are links to the outside


def find(folder: str, patterns: list[str]) -> Found:
    """Regular files (or links to such inside the folder) that match, sorted, each once."""
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
    return Found(found, [pattern for pattern in patterns if not hits[pattern]], sorted(refused))


def store(bucket: Bucket, prefix: str, folder: str, paths: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Store them all; records as in ended.json of those that are whole in the bucket, and words for those that are not."""

    def one(path: str) -> tuple[dict[str, Any], str]:
        key, full = f"{prefix}output/{path}", f"{folder}/{path}"
        try:
            key.encode()
            before = os.stat(full)
            size = before.st_size
            digest = bucket.put(key, Slice(full, 0, size))
            after = os.stat(full)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise Changed("it changed while it was stored")
        except (Refused, Changed, OSError, UnicodeEncodeError) as problem:
            return {}, f"{path.encode('utf-8', 'backslashreplace').decode()}: {problem}"
        return {"path": path, "key": key, "size": size, "sha256": digest}, ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = list(pool.map(one, paths))
    return [record for record, words_ in done if not words_], [words_ for _, words_ in done if words_]


def matches(path: list[str], pattern: list[str]) -> bool:
    """Whether a relative path fits a pattern, both split at `/`."""
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        below = len(path) > 1 and not path[0].startswith(".") and matches(path[1:], pattern)
        return below or matches(path, rest or ["*"])
    if not path or path[0].startswith(".") > head.startswith(".") or not fnmatchcase(path[0], head):
        return False
    return matches(path[1:], rest) if rest else len(path) == 1


def _parts(pattern: str) -> list[str]:
    """`./out/` -> ["out", "**"]: a folder means all that is in it."""
    return [part or "**" for part in pattern.split("/") if part != "."]


def _storable(root: str, path: str) -> bool:
    real = os.path.realpath(f"{root}/{path}")
    if real != root and not real.startswith(root + os.sep):
        return False
    try:
        return stat.S_ISREG(os.stat(real).st_mode)
    except OSError:
        return False
