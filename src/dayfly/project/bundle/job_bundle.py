"""Build a job's bundle: a zip of the user's files and of the packages that the job needs. Nothing is uploaded here.

The user's files are at the root of the zip, packages under .dayfly/site and scripts under .dayfly/bin. Which files
are included is decided in files.py, which packages in wheels.py; the format of the zip is in archive.py.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dayfly.core.model import Code
from dayfly.errors import FileError
from dayfly.project import formatting
from dayfly.project.bundle import files, git, wheels
from dayfly.project.bundle.archive import Entry, TooLargeError, Zip, read_entry, write_zip_once
from dayfly.project.bundle.target import Target

LIMIT_BYTES = 500_000_000
"""The limit of the packed bundle: the server downloads it in every run."""


@dataclass(frozen=True, kw_only=True)
class Bundle(Zip):
    """A job's bundle. `files` counts the user's own files; `source` is the file that lists the packages."""

    files: int
    wheels: tuple[str, ...] = ()
    python: str | None = None
    source: str | None = None
    commit: str | None = None
    dirty: bool = False

    def code(self, key: str) -> Code:
        """Return what a job version records about this bundle, stored in the bucket under `key`."""
        return Code(
            bundle=key,
            sha256=self.sha256,
            size=self.size,
            files=self.files,
            wheels=self.wheels,
            python=self.python,
            commit=self.commit,
            dirty=self.dirty,
        )


def build_job_bundle(
    folder: Path,
    paths: Sequence[str],
    python: str,
    target: Target,
    out: Path,
    limit_bytes: int = LIMIT_BYTES,
    *,
    job: str = "",
    cache: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Bundle | None:
    """Write `paths` of `folder`, and the packages that `python` asks for, to `out/SHA256.zip`. None if `paths` is empty.

    `python` is "auto", a file in the folder, or "none". `cache` is a folder that keeps installed wheels for the next call;
    `say` is called before slow work. Raises FileError for a path, link or package that cannot be included, and for a bundle
    over `limit_bytes`.
    """
    if not paths:
        return None
    prefix = ""
    if job:
        prefix = f"jobs.{job}."
    names = files.choose_files(folder, paths, f"{prefix}bundle")
    with tempfile.TemporaryDirectory() as scratch:
        store = cache or Path(scratch)
        installed = wheels.install_wheels(folder, python, target, store, where=f"{prefix}python", say=say)
        entries = [read_entry(name, folder / name) for name in names]
        entries += _package_entries(installed.roots)
        try:
            packed = write_zip_once(entries, out, limit_bytes, store, say)
        except TooLargeError:
            raise _too_large(entries, limit_bytes, f"{prefix}bundle") from None
    return _describe(packed, len(names), installed, target, git.read_revision(folder), has_python=python != "none")


def _describe(
    packed: Zip,
    file_count: int,
    installed: wheels.Installed,
    target: Target,
    revision: git.Revision | None,
    *,
    has_python: bool,
) -> Bundle:
    version, commit, dirty = None, None, False
    if has_python:
        version = target.python
    if revision is not None:
        commit, dirty = revision
    return Bundle(
        path=packed.path,
        sha256=packed.sha256,
        size=packed.size,
        files=file_count,
        wheels=installed.wheels,
        python=version,
        source=installed.source,
        commit=commit,
        dirty=dirty,
    )


def _package_entries(roots: Iterable[Path]) -> list[Entry]:
    """Return packages and scripts of all roots. If two roots have the same name, the later one (the user's project) wins."""
    entries: dict[str, Entry] = {}
    for root in roots:
        for path in (*(root / "site").rglob("*"), *(root / "bin").rglob("*")):
            if path.is_symlink() or path.is_file():
                name = f".dayfly/{path.relative_to(root).as_posix()}"
                entries[name] = read_entry(name, path)
    return list(entries.values())


# --- the error for a bundle over the limit ------------------------------------------------------------------------------


class _Part(NamedTuple):
    """A file, or a folder with `files` files, and its unpacked size in bytes."""

    name: str
    size: int
    files: int

    def __str__(self) -> str:
        text = f"{self.name} {formatting.size(self.size)}"
        if self.files > 1:
            text += f", {self.files} files"
        return text


def _too_large(entries: Sequence[Entry], limit: int, where: str) -> FileError:
    largest = _largest_parts(entries)[:3]
    remedies: list[str] = []
    own = [part.name for part in largest if not part.name.startswith(".dayfly/")]
    if own:
        ignore = f"add {' and '.join(own[:2])} to .gitignore (if git tracks it already: git rm --cached)"
        remedies.append(f"{ignore}, or list in bundle only what the job needs")
        remedies.append("put data in S3 and read it from there")
    if len(own) < len(largest):
        remedies.append("use fewer or smaller packages: .dayfly/site has your dependencies")
    total = formatting.size(sum(entry.size for entry in entries))
    return FileError(
        f"{where} has {total} of files; packed it exceeds the limit of {formatting.size(limit)} (every run downloads it)",
        lines=(
            ("largest", " | ".join(str(part) for part in largest)),
            ("do", remedies[0]),
            *(("or", remedy) for remedy in remedies[1:]),
        ),
    )


def _largest_parts(entries: Iterable[Entry]) -> list[_Part]:
    """Return the top-level files and folders, largest first. A folder that is nearly all one file is shown as that file."""
    by_folder: dict[str, list[_Part]] = defaultdict(list)
    for entry in entries:
        by_folder[_top(entry.name)].append(_Part(entry.name, entry.size, 1))
    found: list[_Part] = []
    for folder, members in by_folder.items():
        total = sum(file.size for file in members)
        largest = max(members, key=lambda file: file.size)
        if largest.size * 10 >= total * 9:
            found.append(largest)
        else:
            found.append(_Part(folder, total, len(members)))
    return sorted(found, key=lambda part: (-part.size, part.name))


def _top(name: str) -> str:
    """Return the top-level folder that holds the file, with a slash at the end; each installed package counts as one."""
    parts = name.split("/")
    depth = 1
    if parts[:2] == [".dayfly", "site"]:
        depth = 3
    if len(parts) > depth:
        return "/".join(parts[:depth]) + "/"
    return name
