"""The job's declared outputs: what the patterns match, stored one by one. Runs after all of the job is dead.

A pattern is relative to the job's folder: `*`, `?`, `[..]` within a name, `**` across folders. As in a shell a leading dot
must be named.
"""

from __future__ import annotations

import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from dayfly.remote.agent import words
from dayfly.remote.agent.s3 import PART, Bucket, Changed, Refused, Slice

_AT_ONCE = 6


class Found(NamedTuple):
    paths: list[str]
    missing: list[str]  # patterns that matched no regular file
    refused: list[str]  # matches that are links to the outside


def find(folder: str, patterns: list[str]) -> Found:
    """Regular files (or links to such inside the folder) that match, sorted, each once."""
    tests = {pattern: re.compile(expression(pattern)) for pattern in patterns}
    hits: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    refused: set[str] = set()
    root = os.path.realpath(folder)
    for at, folders, files in os.walk(root):
        if at == root and ".dayfly" in folders:
            folders.remove(".dayfly")
        for name in files:
            path = os.path.relpath(os.path.join(at, name), root)
            for pattern, test in tests.items():
                if test.fullmatch(path):
                    if _storable(root, path):
                        hits[pattern].append(path)
                    elif os.path.islink(os.path.join(root, path)):
                        refused.add(path)
    found = sorted({path for paths in hits.values() for path in paths})
    return Found(found, [pattern for pattern in patterns if not hits[pattern]], sorted(refused))


def store(bucket: Bucket, prefix: str, folder: str, paths: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Store them all; records as in ended.json of those that are whole in the bucket, and words for those that are not."""

    def one(path: str) -> tuple[dict[str, Any], str]:
        key, full = words.output_key(prefix, path), os.path.join(folder, path)
        try:
            key.encode()
            before = os.stat(full)
            size = before.st_size
            digest = bucket.put_large(key, full, size) if size > PART else bucket.put(key, Slice(full, 0, size))
            after = os.stat(full)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise Changed("it changed while it was stored")
        except (Refused, Changed, OSError, UnicodeEncodeError) as problem:
            return {}, f"{path.encode('utf-8', 'backslashreplace').decode()}: {problem}"
        return {"path": path, "key": key, "size": size, "sha256": digest}, ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = list(pool.map(one, paths))
    return [record for record, words_ in done if not words_], [words_ for _, words_ in done if words_]


def expression(pattern: str) -> str:
    """The pattern as a regular expression for a whole relative path."""
    while pattern.startswith("./"):
        pattern = pattern[2:]
    if pattern.endswith("/"):
        pattern += "**"
    parts = pattern.split("/")
    text = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            text += r"(?:(?!\.)[^/]+/)*" + (r"(?!\.)[^/]+" if last else "")
        else:
            text += _name(part) + ("" if last else "/")
    return "(?s:" + text + ")"


def _name(part: str) -> str:
    text = "" if part.startswith(".") else r"(?!\.)"
    at = 0
    while at < len(part):
        sign = part[at]
        end = part.find("]", at + 2) if sign == "[" else -1
        if sign == "*":
            text += "[^/]*"
        elif sign == "?":
            text += "[^/]"
        elif end > 0:
            inner = part[at + 1 : end].replace("\\", "\\\\").replace("[", "\\[")
            text += "[" + ("^" + inner[1:] if inner[0] == "!" else inner.replace("^", "\\^")) + "]"
            at = end
        else:
            text += re.escape(sign)
        at += 1
    return text


def _storable(root: str, path: str) -> bool:
    real = os.path.realpath(os.path.join(root, path))
    if real != root and not real.startswith(root + os.sep):
        return False
    try:
        return stat.S_ISREG(os.stat(real).st_mode)
    except OSError:
        return False
