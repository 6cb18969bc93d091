"""Which files of a user's folder travel, and what git says of it. Reads the folder, changes nothing in it.

The rule is that of `git ls-files --cached --others --exclude-standard`; where git cannot be asked (no git, no
repository, a folder that its repository ignores) the .gitignore files are read here by the same rules. No zip, no
packages here.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pathspec import GitIgnoreSpec

from dayfly.errors import FileError

NEVER = frozenset({".dayfly", ".git", ".venv", "__pycache__"})
"""Names that never travel, at whatever depth, tracked or not."""


class Revision(NamedTuple):
    """State of the folder in git: the commit, and whether the folder differs from it (untracked files count)."""

    commit: str
    dirty: bool


class _Rules(NamedTuple):
    folder: Path
    spec: GitIgnoreSpec


def revision(folder: Path) -> Revision | None:
    """None: no git here, no repository, no commit yet, or a folder that the repository ignores."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None or _is_ignored_by_git(folder):
        return None
    status = _git(folder, "--no-optional-locks", "status", "--porcelain", "--", ".")
    return Revision(commit.strip(), bool(status is None or status.strip()))


def chosen(folder: Path, paths: Sequence[str], where: str = "bundle") -> tuple[str, ...]:
    """The files and links under `paths` that travel: relative, with `/`, sorted.

    `where` names the key of dayfly.toml in messages. Raises FileError: a path that is not there, leads out of the
    folder, or of which nothing would travel; a link that leads out of the folder; a name that is no UTF-8.
    """
    wanted = [_inside(folder, path, where) for path in paths]
    everything = listing(folder)
    found: set[str] = set()
    for path, text in zip(wanted, paths, strict=True):
        under = [name for name in everything if path == "." or name == path or name.startswith(path + "/")]
        if not under and path != ".":
            raise FileError(
                f"{where}: of {text!r} nothing would travel: it is empty or ignored",
                lines=(
                    ("why", f".gitignore holds, and these never travel: {', '.join(sorted(NEVER))}"),
                    ("do", f"git check-ignore -v {text}   names the rule; or take it out of {where}"),
                ),
            )
        found.update(under)
    _refuse_bad_names(found, where)
    _refuse_links_out(folder, found, where)
    return tuple(sorted(found))


def listing(folder: Path) -> list[str]:
    """Every file and link of the folder that travels, unsorted, links not followed."""
    names = _git_listing(folder)
    if names is None:
        names = list(_walk(folder, folder, _rules_above(folder)))
    return [name for name in names if NEVER.isdisjoint(name.split("/"))]


def _inside(folder: Path, text: str, where: str) -> str:
    path = os.path.normpath(text)
    if os.path.isabs(path) or path.split(os.sep)[0] == "..":
        raise FileError(
            f"{where}: {text!r} is not inside the folder of dayfly.toml",
            lines=(("do", "copy it into the folder, or put it in S3 and read it from there"),),
        )
    if not os.path.lexists(folder / path):
        raise FileError(f"{where}: there is no {text!r} in {folder}", lines=(("do", f"fix the path in {where}"),))
    return PurePosixPath(path).as_posix()


def _refuse_bad_names(names: set[str], where: str) -> None:
    bad = sorted(name for name in names if not _is_utf8(name) or "\\" in name)
    if bad:
        shown = ", ".join(repr(os.fsencode(name)) for name in bad[:3])
        raise FileError(
            f"{where}: {len(bad)} file name(s) are not UTF-8 or hold a backslash: {shown}",
            lines=(("do", "rename them or add them to .gitignore"),),
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_links_out(folder: Path, names: set[str], where: str) -> None:
    home = os.path.realpath(folder)
    out = []
    for name in sorted(names):
        path = folder / name
        if not path.is_symlink():
            continue
        target = os.readlink(path)
        by_words = os.path.normpath(os.path.join(os.path.dirname(name), target))
        by_disk = os.path.relpath(os.path.realpath(path), home)
        if os.path.isabs(target) or any(way.split(os.sep)[0] == ".." for way in (by_words, by_disk)):
            out.append(f"{name} -> {target}")
    if out:
        more = f" and {len(out) - 3} more" if len(out) > 3 else ""
        raise FileError(
            f"{where}: {len(out)} link(s) lead out of the folder or are absolute: {', '.join(out[:3])}{more}",
            lines=(
                ("why", "on the server there is only what the bundle holds; they would lead nowhere"),
                ("do", "copy what is needed into the folder, make the link relative, or add it to .gitignore"),
            ),
        )


# --- as git says it -------------------------------------------------------------------------------


def _git(folder: Path, *words: str) -> str | None:
    """What git answers; None when it is not there or says no."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    except OSError:
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None


def _is_ignored_by_git(folder: Path) -> bool:
    return _git(folder, "check-ignore", "-q", ".") is not None


def _git_listing(folder: Path) -> list[str] | None:
    if _git(folder, "rev-parse", "--is-inside-work-tree") != "true\n" or _is_ignored_by_git(folder):
        return None
    answer = _git(folder, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if answer is None:
        return None
    names: set[str] = set()
    for entry in filter(None, answer.split("\0")):
        name = entry.rstrip("/")
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            # A repository inside this one (a submodule, or untracked): git stops there, its own rules hold in it.
            inner = _git_listing(path) if (path / ".git").exists() else []
            names.update(f"{name}/{below}" for below in inner or [])
        elif os.path.lexists(path):  # a tracked file that was deleted is listed too
            names.add(name)
    return list(names)


# --- the same without git -------------------------------------------------------------------------


def _walk(folder: Path, top: Path, rules: list[_Rules]) -> Iterator[str]:
    rules = rules + _rules_of(folder, folder / ".gitignore")
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = folder / entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            if entry.name in NEVER or _is_ignored(path, is_folder, rules):
                continue
            if is_folder:
                yield from _walk(path, top, rules)
            elif entry.is_symlink() or entry.is_file():  # sockets, pipes and devices stay here
                yield path.relative_to(top).as_posix()


def _rules_of(folder: Path, file: Path) -> list[_Rules]:
    try:
        text = file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return []
    return [_Rules(folder, GitIgnoreSpec.from_lines(text.splitlines()))]


def _rules_above(folder: Path) -> list[_Rules]:
    """Rules of the repository around the folder, root first; none when they would ignore the whole folder."""
    folder = folder.absolute()
    chain = [folder, *folder.parents]
    root = next((index for index, path in enumerate(chain) if (path / ".git").exists()), None)
    if root is None:
        return []
    rules = _rules_of(chain[root], chain[root] / ".git" / "info" / "exclude")
    for path in reversed(chain[: root + 1]):
        if path != chain[root] and _is_ignored(path, True, rules):
            return []
        if path != folder:  # the walk reads the folder's own
            rules = rules + _rules_of(path, path / ".gitignore")
    return rules


def _is_ignored(path: Path, is_folder: bool, rules: list[_Rules]) -> bool:
    """The deepest file with an opinion decides, and in it the last line that fits."""
    absolute = path.absolute()
    for folder, spec in reversed(rules):
        name = absolute.relative_to(folder.absolute()).as_posix() + ("/" if is_folder else "")
        verdict = spec.check_file(name).include
        if verdict is not None:
            return verdict
    return False
