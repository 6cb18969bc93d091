"""Whether a path matches a pattern of `outputs`, by the rules of the agent, which cannot import this module. A test compares them.

A pattern is relative to the job's folder: `*`, `?`, `[..]` within a name, `**` across folders. As in a shell, a leading dot
must be written out.
"""

from __future__ import annotations

from fnmatch import fnmatchcase


def matches(path: str, pattern: str) -> bool:
    """Return whether a relative path matches. `./out/` means everything in the folder `out`."""
    parts = [part or "**" for part in pattern.split("/") if part != "."]
    return _matches(path.split("/"), parts)


def _matches(path: list[str], pattern: list[str]) -> bool:
    head, rest = pattern[0], pattern[1:]
    if head == "**":
        below = len(path) > 1 and not path[0].startswith(".") and _matches(path[1:], pattern)
        return below or _matches(path, rest or ["*"])
    if not path or path[0].startswith(".") > head.startswith(".") or not fnmatchcase(path[0], head):
        return False
    if rest:
        return _matches(path[1:], rest)
    return len(path) == 1
