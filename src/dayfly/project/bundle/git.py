"""Ask git about a folder: its files and its commit. Without git, ignore.py lists the files."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple


class Revision(NamedTuple):
    """The commit of the folder. `dirty`: the folder differs from it; untracked files count."""

    commit: str
    dirty: bool


def read_revision(folder: Path) -> Revision | None:
    """Return the folder's revision. None without git, repository or commit, and if the repository ignores the folder."""
    commit = _run(folder, "rev-parse", "--verify", "HEAD")
    if commit is None or _is_ignored(folder):
        return None
    status = _run(folder, "--no-optional-locks", "status", "--porcelain", "--", ".")
    dirty = status is None or status.strip() != ""
    return Revision(commit.strip(), dirty)


def list_files(folder: Path) -> list[str] | None:
    """Return the files that git tracks or would add. None if git cannot answer, or if its repository ignores the folder."""
    if _run(folder, "rev-parse", "--is-inside-work-tree") != "true\n" or _is_ignored(folder):
        return None
    answer = _run(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if answer is None:
        return None
    names: set[str] = set()
    for entry in filter(None, answer.split("\0")):
        name = entry.rstrip("/")
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            names.update(f"{name}/{below}" for below in _list_repository(path))
        elif os.path.lexists(path):  # git also lists a tracked file that was deleted
            names.add(name)
    return list(names)


def _list_repository(folder: Path) -> list[str]:
    """Return the files of a repository inside another: a submodule or an untracked one. Git does not list its files."""
    if not (folder / ".git").exists():
        return []
    return list_files(folder) or []


def _is_ignored(folder: Path) -> bool:
    return _run(folder, "check-ignore", "-q", ".") is not None


def _run(folder: Path, *arguments: str) -> str | None:
    """Run git in the folder and return its stdout. None if git is not installed or fails."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=False)
    except OSError:
        return None
    if done.returncode != 0:
        return None
    return os.fsdecode(done.stdout)
