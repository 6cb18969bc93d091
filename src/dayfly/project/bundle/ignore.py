"""List the files of a folder by the rules of its .gitignore files, for folders that git cannot list.

The rules are those of `git ls-files --cached --others --exclude-standard`, without the user's global ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Set
from pathlib import Path
from typing import NamedTuple

from pathspec import GitIgnoreSpec


class _Rules(NamedTuple):
    """The patterns of one file; they apply below `folder`."""

    folder: Path
    patterns: GitIgnoreSpec


def list_files(folder: Path, skipped: Set[str]) -> list[str]:
    """Return the files and links that no rule ignores. Links are not followed; names in `skipped` are left out at any depth."""
    return [path.relative_to(folder).as_posix() for path in _walk(folder, skipped, _inherited_rules(folder))]


def _walk(folder: Path, skipped: Set[str], inherited: list[_Rules]) -> Iterator[Path]:
    rules = inherited + _read_rules(folder, folder / ".gitignore")
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder / entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name in skipped or _is_ignored(path, rules, is_folder=is_folder):
                continue
            if is_folder:
                yield from _walk(path, skipped, rules)
            elif entry.is_symlink() or entry.is_file():  # not sockets, pipes and devices
                yield path


def _read_rules(folder: Path, file: Path) -> list[_Rules]:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [_Rules(folder, GitIgnoreSpec.from_lines(text.splitlines()))]


def _inherited_rules(folder: Path) -> list[_Rules]:
    """Return the rules of the repository around the folder, from its root down, without the folder's own.

    None apply if they ignore the folder itself.
    """
    folder = folder.absolute()
    path_to_folder = _path_from_repository(folder)
    if not path_to_folder:
        return []
    root = path_to_folder[0]
    rules = _read_rules(root, root / ".git" / "info" / "exclude")
    for path in path_to_folder:
        if path != root and _is_ignored(path, rules, is_folder=True):
            return []
        if path != folder:
            rules = rules + _read_rules(path, path / ".gitignore")
    return rules


def _path_from_repository(folder: Path) -> list[Path]:
    """Return every folder from the repository's root down to this one; none if it is in no repository."""
    found: list[Path] = []
    for path in (folder, *folder.parents):
        found.append(path)
        if (path / ".git").exists():
            return found[::-1]
    return []


def _is_ignored(path: Path, rules: list[_Rules], *, is_folder: bool) -> bool:
    """Return whether the path is ignored: the deepest file with a matching pattern decides, by its last match."""
    absolute = path.absolute()
    for folder, patterns in reversed(rules):
        name = absolute.relative_to(folder.absolute()).as_posix()
        if is_folder:
            name += "/"
        ignored = patterns.check_file(name).include
        if ignored is not None:
            return ignored
    return False
