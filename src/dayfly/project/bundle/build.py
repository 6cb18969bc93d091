"""What travels: a job's bundle (the user's files and wheels) and the functions' zips. Zip files named by their content.

Same input, same bytes (on one zlib): sorted names, one time, modes 755 and 644. `remote/` is read here as files and
never imported. Nothing is uploaded here; which files travel is decided in folder.py, which packages in wheels.py.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from dayfly.core.model import Code
from dayfly.errors import FileError
from dayfly.project import formatting
from dayfly.project.bundle import files as folders
from dayfly.project.bundle import wheels
from dayfly.project.bundle.wheels import Target as Target

LIMIT_BYTES = 500_000_000
"""Of the packed bundle: every run's boot downloads it."""

_TIME = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20
ROOMS = ("core", "flows", "cloud")
"""The rooms that run on both sides: each travels whole. With them go errors.py and the entry points in remote/ (not the agent)."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """A finished zip of `size` bytes; `files` counts the user's own; `source` is the file the wheels came from."""

    path: Path
    sha256: str
    size: int
    files: int
    wheels: tuple[str, ...] = ()
    python: str | None = None
    source: str | None = None
    commit: str | None = None
    dirty: bool = False

    def code(self, key: str) -> Code:
        """What a job version says of it, once it lies in the bucket under `key`."""
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


class _Entry(NamedTuple):
    """One name in a zip. `source` is a file of this machine, or the content itself (of a link: its target)."""

    name: str
    mode: int
    source: Path | bytes


class _TooLarge(Exception):
    pass


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
) -> Built | None:
    """Pack `paths` of `folder` and the packages that `python` names into `out/SHA256.zip`. None when `paths` is empty.

    `python` is "auto", a file of the folder, or "none". `cache` is a folder where installed wheels stay for the next
    call; `say` hears what takes its time. The user's files lie at the root of the zip, packages under .dayfly/site,
    scripts under .dayfly/bin. Raises FileError: a path, link or package that cannot travel, or over `limit_bytes`.
    """
    if not paths:
        return None
    prefix = f"jobs.{job}." if job else ""
    names = folders.chosen(folder, paths, f"{prefix}bundle")
    with tempfile.TemporaryDirectory() as scratch:
        gathered = wheels.gather(folder, python, target, cache or Path(scratch), where=f"{prefix}python", say=say)
        entries = [_entry(name, folder / name) for name in names]
        entries += _package_entries(gathered.roots)
        try:
            path, sha256, size = _packed(entries, out, limit_bytes, cache, say)
        except _TooLarge:
            raise _too_large(entries, limit_bytes, f"{prefix}bundle") from None
    revision = folders.revision(folder)
    return Built(
        path=path,
        sha256=sha256,
        size=size,
        files=len(names),
        wheels=gathered.wheels,
        python=target.python if python != "none" else None,
        source=gathered.source,
        commit=revision.commit if revision else None,
        dirty=revision.dirty if revision else False,
    )


def build_function_zip(handler: Literal["launcher", "sweeper"], package_root: Path, out: Path) -> Built:
    """Pack a function of this project into `out/SHA256.zip`: its entry point, the rooms that run on both sides, and tzdata.

    `package_root` is the folder of the package dayfly. Raises FileNotFoundError without that handler. boto3 is Lambda's own.
    """
    files = function_files(handler, package_root)
    entries = [_Entry(f"dayfly/{path}", 0o644, package_root / path) for path in files]
    entries += _tzdata_entries()
    path, sha256, size = _pack(entries, out, None)
    return Built(path=path, sha256=sha256, size=size, files=len(files))


def function_files(handler: str, package_root: Path) -> tuple[str, ...]:
    """The files of a function's zip, relative to `package_root`. Raises FileNotFoundError without `remote/HANDLER.py`."""
    entry = f"remote/{handler}.py"
    if not (package_root / entry).is_file():
        raise FileNotFoundError(f"no {entry} in {package_root}")
    found = ["__init__.py", "errors.py", "remote/__init__.py", "remote/environment.py", entry]
    for room in ROOMS:
        found += [path.relative_to(package_root).as_posix() for path in (package_root / room).rglob("*.py")]
    return tuple(sorted(found))


def read_agent_sources(package_root: Path) -> dict[str, str]:
    """The agent's files by name, as text, for the user data. Raises FileNotFoundError when there are none."""
    sources = {
        path.name: path.read_text(encoding="utf-8") for path in sorted((package_root / "remote" / "agent").glob("*.py"))
    }
    if not sources:
        raise FileNotFoundError(f"no remote/agent/*.py in {package_root}")
    return sources


def _tzdata_entries() -> list[_Entry]:
    spec = importlib.util.find_spec("tzdata")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package tzdata is not installed")
    home = Path(spec.submodule_search_locations[0])
    files = [path for path in home.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [_Entry(f"tzdata/{path.relative_to(home).as_posix()}", 0o644, path) for path in files]


# --- zip ------------------------------------------------------------------------------------------


def _package_entries(roots: Iterable[Path]) -> list[_Entry]:
    """Packages and scripts of all roots; where two hold one name, the later one (the user's own project) rules."""
    entries: dict[str, _Entry] = {}
    for root in roots:
        for part in ("site", "bin"):
            for path in (root / part).rglob("*"):
                if path.is_symlink() or path.is_file():
                    name = f".dayfly/{path.relative_to(root).as_posix()}"
                    entries[name] = _entry(name, path)
    return list(entries.values())


def _entry(name: str, path: Path) -> _Entry:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return _Entry(name, stat.S_IFLNK | 0o777, os.fsencode(os.readlink(path)))
    return _Entry(name, stat.S_IFREG | (0o755 if mode & 0o111 else 0o644), path)


def _packed(
    entries: Sequence[_Entry], out: Path, limit: int, cache: Path | None, say: Callable[[str], None]
) -> tuple[Path, str, int]:
    """`_pack`, or the zip that it made of the same entries before. Raises _TooLarge."""
    note = cache / f"packed-{_entries_digest(entries)}" if cache else None
    if note is not None and note.is_file():
        sha256 = note.read_text(encoding="ascii")
        path = out / f"{sha256}.zip"
        if path.is_file() and path.stat().st_size <= limit and _file_digest(path) == sha256:
            return path, sha256, path.stat().st_size
    say(f"packing {len(entries)} file{'s' if len(entries) != 1 else ''}, packages included")
    path, sha256, size = _pack(entries, out, limit)
    if note is not None:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(sha256, encoding="ascii")
    return path, sha256, size


def _entries_digest(entries: Iterable[_Entry]) -> str:
    whole = hashlib.sha256()
    for name, mode, source in sorted(entries, key=lambda entry: entry.name):
        content = hashlib.sha256(source).hexdigest() if isinstance(source, bytes) else _file_digest(source)
        whole.update(f"{name}\0{mode:o}\0{content}\0".encode())
    return whole.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pack(entries: Iterable[_Entry], out: Path, limit: int | None) -> tuple[Path, str, int]:
    """Write the zip and name it by its content. Raises _TooLarge as soon as it passes `limit` bytes."""
    out.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix="unfinished-", suffix=".zip", dir=out)
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    _write(archive, entry, limit)
            size = file.tell()
            if limit is not None and size > limit:
                raise _TooLarge
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        unfinished.chmod(0o644)
        return unfinished.rename(out / f"{sha256}.zip"), sha256, size
    finally:
        unfinished.unlink(missing_ok=True)


def _write(archive: zipfile.ZipFile, entry: _Entry, limit: int | None) -> None:
    info = zipfile.ZipInfo(entry.name, _TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix: the upper half of external_attr is the mode
    info.external_attr = (entry.mode | (0 if stat.S_IFMT(entry.mode) else stat.S_IFREG)) << 16
    if isinstance(entry.source, bytes):
        archive.writestr(info, entry.source)
        return
    info.file_size = entry.source.stat().st_size  # lets zipfile see whether it needs 64 bits
    with entry.source.open("rb") as source, archive.open(info, "w") as into:
        while piece := source.read(_PIECE):
            into.write(piece)
            if limit is not None and archive.fp is not None and archive.fp.tell() > limit:
                raise _TooLarge


# --- message 7 ------------------------------------------------------------------------------------


def _too_large(entries: Sequence[_Entry], limit: int, where: str) -> FileError:
    sizes = {e.name: len(e.source) if isinstance(e.source, bytes) else e.source.stat().st_size for e in entries}
    largest = _largest(sizes)[:3]
    own = [name for name, _, _ in largest if not name.startswith(".dayfly/")]
    lines = [("largest", " | ".join(_shown(name, size, count) for name, size, count in largest))]
    if own:
        ignore = f"add {' and '.join(own[:2])} to .gitignore (what git tracks already: git rm --cached)"
        lines.append(("do", f"{ignore}, or name in bundle what is needed"))
        lines.append(("or", "put data in S3 and read it from there"))
    if len(own) < len(largest):
        lines.append(("or" if own else "do", "fewer or smaller packages: .dayfly/site holds your dependencies"))
    total = formatting.size(sum(sizes.values()))
    return FileError(
        f"{where} is {total} of files; packed it passes the limit of {formatting.size(limit)} (every run's boot downloads it)",
        lines=tuple(lines),
    )


def _largest(sizes: dict[str, int]) -> list[tuple[str, int, int]]:
    """(name, bytes, files), largest first: a folder of the top as one, unless one file is nearly all of it."""
    groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, size in sizes.items():
        parts = name.split("/")
        depth = 3 if parts[:2] == [".dayfly", "site"] else 1
        groups["/".join(parts[:depth]) + ("/" if len(parts) > depth else "")].append((size, name))
    found = []
    for group, members in groups.items():
        total = sum(size for size, _ in members)
        size, name = max(members)
        found.append((name, size, 1) if size * 10 >= total * 9 else (group, total, len(members)))
    return sorted(found, key=lambda item: (-item[1], item[0]))


def _shown(name: str, size: int, count: int) -> str:
    return f"{name} {formatting.size(size)}" + (f", {count} files" if count > 1 else "")
