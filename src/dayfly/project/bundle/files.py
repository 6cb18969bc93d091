"""Choose the files of the user's folder that go into a bundle, and refuse those that a server could not use.

The files are those that git lists (git.py); if git cannot list them, ignore.py applies the same rules. Nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from dayfly.errors import FileError
from dayfly.project.bundle import git, ignore

EXCLUDED = frozenset({".dayfly", ".git", ".venv", "__pycache__"})
"""Names that are never included, at any depth, tracked or not."""


def choose_files(folder: Path, paths: Sequence[str], where: str = "bundle") -> tuple[str, ...]:
    """Return the files and links under `paths` that go into the bundle: relative to `folder`, with `/`, sorted.

    `where` is the key of dayfly.toml for messages. Raises FileError for a path that does not exist, leads out of the folder
    or has no file to include; for a link that leads out of the folder; and for a name that is not UTF-8.
    """
    all_files = list_files(folder)
    chosen: set[str] = set()
    for path in paths:
        chosen.update(_files_under(_normalized(folder, path, where), all_files, path, where))
    _refuse_unsafe_names(chosen, where)
    _refuse_outside_links(folder, chosen, where)
    return tuple(sorted(chosen))


def list_files(folder: Path) -> list[str]:
    """Return every file and link of the folder that can go into a bundle, unsorted. Links are not followed."""
    names = git.list_files(folder)
    if names is None:
        names = ignore.list_files(folder, EXCLUDED)
    return [name for name in names if EXCLUDED.isdisjoint(name.split("/"))]


def _normalized(folder: Path, path: str, where: str) -> str:
    """Return a path of dayfly.toml relative to the folder, with `/`. Raises FileError if it is outside or missing."""
    normal = os.path.normpath(path)
    if os.path.isabs(normal) or _leads_out(normal):
        raise FileError(
            f"{where}: {path!r} is outside the folder of dayfly.toml",
            lines=(("do", "copy it into the folder, or put it in S3 and read it from there"),),
        )
    if not os.path.lexists(folder / normal):
        raise FileError(f"{where}: there is no {path!r} in {folder}", lines=(("do", f"fix the path in {where}"),))
    return PurePosixPath(normal).as_posix()


def _leads_out(path: str) -> bool:
    return path.split(os.sep)[0] == ".."


def _files_under(normal: str, all_files: Iterable[str], path: str, where: str) -> list[str]:
    """Return the files at or below a path. Raises FileError if there are none, except for the whole folder."""
    if normal == ".":
        return list(all_files)
    found = [name for name in all_files if name == normal or name.startswith(f"{normal}/")]
    if not found:
        raise FileError(
            f"{where}: {path!r} has no file to include: it is empty or ignored",
            lines=(
                ("why", f".gitignore applies, and these are never included: {', '.join(sorted(EXCLUDED))}"),
                ("do", f"find the rule with `git check-ignore -v {path}`, or remove the path from {where}"),
            ),
        )
    return found


def _refuse_unsafe_names(names: Iterable[str], where: str) -> None:
    unsafe = sorted(name for name in names if not _is_utf8(name) or "\\" in name)
    if unsafe:
        shown = ", ".join(repr(os.fsencode(name)) for name in unsafe[:3])
        raise FileError(
            f"{where}: {len(unsafe)} file name(s) are not UTF-8 or contain a backslash: {shown}",
            lines=(("do", "rename them or add them to .gitignore"),),
        )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_outside_links(folder: Path, names: Iterable[str], where: str) -> None:
    outside = [
        f"{name} -> {os.readlink(folder / name)}"
        for name in sorted(names)
        if (folder / name).is_symlink() and _link_leads_out(folder, name)
    ]
    if not outside:
        return
    shown = ", ".join(outside[:3])
    if len(outside) > 3:
        shown += f" and {len(outside) - 3} more"
    raise FileError(
        f"{where}: {len(outside)} link(s) lead out of the folder or are absolute: {shown}",
        lines=(
            ("why", "the server has only what is in the bundle, so these links would be broken"),
            ("do", "copy the files into the folder, make the link relative, or add it to .gitignore"),
        ),
    )


def _link_leads_out(folder: Path, name: str) -> bool:
    """Return whether the link is absolute or leads out of the folder, as written or after other links are resolved."""
    target = os.readlink(folder / name)
    as_written = os.path.normpath(os.path.join(os.path.dirname(name), target))
    resolved = os.path.relpath(os.path.realpath(folder / name), os.path.realpath(folder))
    return os.path.isabs(target) or _leads_out(as_written) or _leads_out(resolved)
