"""A project's dependencies as wheels for the server's platform, unpacked on the user's machine by uv.

The server needs no package index, no pip and no venv: what this module leaves behind is a folder for PYTHONPATH (`site`)
and one for PATH (`bin`). What was installed once stays in a store, by the hash of all that went in (dependencies without
a lock are therefore resolved once per store). No zip here. Known limit: `.pth` files are not run on the server.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uv

from dayfly.core.model import Architecture
from dayfly.errors import FileError
from dayfly.project.bundle import cleaning
from dayfly.project.bundle import files as folders

Say = Callable[[str], None]

_LAYOUT = 1  # of what lies in the cache; a change makes older entries unknown
_GLIBC = ("2.40", "2.39", "2.38", "2.37", "2.36", "2.35", "2.34", "2.33", "2.32", "2.31", "2.28", "2.17")
_STOCK = {"debian-13": ("3.13", "2.41")}
_MACHINES: Mapping[Architecture, str] = {"arm64": "aarch64", "x86_64": "x86_64"}
_LOCKS = ("uv.lock", "pylock.toml", "requirements.txt")
_NO_WHEEL = re.compile(
    r"[Ww]heels are required for `([^`]+)`|Because (?:all versions of )?([A-Za-z0-9._-]+)\S* (?:has|have) no "
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """What really runs the job: machine as in `uname -m`, Python as `3.13`, glibc as `2.41` (None: 2.17, the oldest)."""

    machine: str
    python: str
    glibc: str | None = None

    @property
    def platform(self) -> str:
        """The nearest platform that uv knows: wheels for an older glibc run on a newer one."""
        have = _version(self.glibc or "2.17")
        return f"{self.machine}-manylinux_" + next((g for g in _GLIBC if _version(g) <= have), "2.17").replace(".", "_")

    def __str__(self) -> str:
        return f"Linux {'arm64' if self.machine == 'aarch64' else self.machine}, Python {self.python}"


def image_target(image: str, architecture: Architecture) -> Target | None:
    """What a stock image runs. None for an image that is not ours: its Python is not known here."""
    if image not in _STOCK:
        return None
    python, glibc = _STOCK[image]
    return Target(machine=_MACHINES[architecture], python=python, glibc=glibc)


def local_target(machine: str, python: str) -> Target:
    """For a guest that is a process of this machine: its C library is ours."""
    return Target(machine=machine, python=python, glibc=platform.libc_ver()[1] or None)


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Folders with `site` and `bin` in them, the wheels' names (name-version-tags), the file that asked for them."""

    roots: tuple[Path, ...] = ()
    wheels: tuple[str, ...] = ()
    source: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Order:
    """One call of uv: what to install for whom, and how to speak of it."""

    target: Target
    store: Path
    where: str
    say: Say


def gather(folder: Path, python: str, target: Target, store: Path, *, where: str = "python", say: Say) -> Gathered:
    """Install what `python` ("auto", a file of the folder, or "none") asks for into `store`, or find it there.

    A folder whose pyproject.toml declares a package is built to a wheel too, for its scripts. Raises FileError: no such
    file, a package without a wheel for the target, an index out of reach, a project that cannot be built.
    """
    if python == "none":
        return Gathered()
    order = _Order(target=target, store=store, where=where, say=say)
    source = _source(folder, python, where)
    if source is not None and source.name == "uv.lock":
        _refuse_stale(source, where)
    roots: list[Path] = []
    projects: list[Path] = []
    if source is not None:
        root, local = _dependencies(folder, source, order)
        roots.append(root)
        projects += local
    if _is_package(folder) and folder.resolve() not in projects:
        projects.append(folder.resolve())
    roots += [_project(project, order) for project in projects]
    wheels = [name for root in roots for name in json.loads((root / "wheels.json").read_text())["wheels"]]
    shown = None
    if source is not None:
        shown = source.relative_to(folder).as_posix()
    elif roots:
        shown = "pyproject.toml"
    return Gathered(roots=tuple(roots), wheels=tuple(sorted(wheels)), source=shown)


# --- what is asked for ----------------------------------------------------------------------------


def _source(folder: Path, python: str, where: str) -> Path | None:
    """The file that says which packages: the one named, or a lock before pyproject.toml."""
    if python != "auto":
        path = folder / python
        if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
            raise FileError(
                f"{where}: there is no file {python!r} in {folder}",
                lines=(("do", '"auto", "none", or a file of the folder: uv.lock, requirements.txt, pyproject.toml'),),
            )
        return path
    for name in _LOCKS:
        if (folder / name).is_file():
            return folder / name
    project = _pyproject(folder).get("project", {})
    return (
        folder / "pyproject.toml"
        if project.get("dependencies") or "dependencies" in project.get("dynamic", ())
        else None
    )


def _pyproject(folder: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FileError(f"pyproject.toml in {folder} cannot be read: {error}") from error


def _is_package(folder: Path) -> bool:
    """Whether there is something to build: uv's own rule, and scripts count as a request to build."""
    declared = _pyproject(folder)
    requested = declared.get("tool", {}).get("uv", {}).get("package")
    if requested is not None:
        return bool(requested)
    return "project" in declared and ("build-system" in declared or bool(declared["project"].get("scripts")))


def _refuse_stale(lock: Path, where: str) -> None:
    """A lock that was made before the last change of pyproject.toml would leave a package out, and the job would find out."""
    project = _pyproject(lock.parent).get("project", {})
    try:
        locked = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", [])
    except ValueError as error:
        raise FileError(f"{where}: uv.lock cannot be read: {error}", lines=(("do", "uv lock"),)) from error
    if not project:  # the root of a workspace
        return
    own = next((p for p in locked if p["name"] == _plain(project.get("name", ""))), None)
    known = {item["name"] for item in own.get("metadata", {}).get("requires-dist", [])} if own else set()
    missing = sorted({_plain(text) for text in project.get("dependencies", [])} - known)
    if own is None or missing:
        what = f"it lacks {', '.join(missing)}" if missing else "this project is not in it"
        raise FileError(f"{where}: uv.lock does not fit pyproject.toml: {what}", lines=(("do", "uv lock"),))


def _plain(requirement: str) -> str:
    """The name in a requirement, as locks write it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]).lower()


def _requirements(source: Path, where: str) -> list[str]:
    """The lines of a requirements file, what it includes by `-r` in place, without comments."""
    try:
        text = source.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FileError(f"{where}: {source.name} cannot be read: {error}") from error
    lines: list[str] = []
    for raw in text.replace("\\\n", " ").splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        included = re.match(r"(?:-r|--requirement)[ =]*(.+)", line)
        beside = re.match(r"(-c|--constraint|-f|--find-links)[ =]*(?!\w+://)(.+)", line)
        if included:
            lines += _requirements(source.parent / included[1], where)
        elif beside:
            lines.append(f"{beside[1]} {(source.parent / beside[2]).resolve()}")
        elif line.startswith("./") and ".whl" in line:
            lines.append(str(source.parent.resolve()) + line[1:])
        elif line:
            lines.append(line)
    return lines


def _split(lines: Sequence[str], base: Path) -> tuple[list[str], list[Path]]:
    """Lines for the index, and the folders of the user's own projects among them (which are built here)."""
    others: list[str] = []
    local: list[Path] = []
    for line in lines:
        path = re.sub(r"^(-e|--editable)[ =]+", "", line)
        editable = path != line
        path = re.sub(r"\[[\w, .-]*\]$", "", path.split(" ;")[0].split(" --hash")[0].strip().removeprefix("file://"))
        if (editable or path.startswith((".", "/"))) and (base / path / "pyproject.toml").is_file():
            local.append((base / path).resolve())
        else:
            others.append(line)
    return others, local


# --- uv -------------------------------------------------------------------------------------------


def _dependencies(folder: Path, source: Path, order: _Order) -> tuple[Path, list[Path]]:
    """Install what `source` names. Also the folders of the user's own projects that it names."""
    texts = [source.read_bytes()]
    if source.name == "uv.lock":
        texts.append((source.parent / "pyproject.toml").read_bytes())
    elif source.suffix != ".toml":
        others, named = _split(_requirements(source, order.where), source.parent)
        texts += [line.encode() for line in others]
        texts += [(path / "pyproject.toml").read_bytes() for path in named]
    root = order.store / _key("dependencies", order.target.platform, order.target.python, source.name, *texts)
    if not _is_whole(root):
        with _scratch(order.store) as scratch:
            local = _install_source(source, order, scratch)
            _settle(scratch, root, local=[os.path.relpath(path, folder.resolve()) for path in local])
    record = json.loads((root / "wheels.json").read_text())
    return root, [(folder / path).resolve() for path in record["local"]]


def _install_source(source: Path, order: _Order, scratch: Path) -> list[Path]:
    order.say(f"installing what {source.name} names, as wheels for {order.target}")
    if source.suffix == ".toml":
        _install(order, scratch, ["-r", str(source)], source.parent)
        return []
    if source.name == "uv.lock":
        words = ["--frozen", "--no-dev", "--no-emit-project", "--no-editable", "--no-header", "--no-annotate"]
        text = _uv(["export", *words, "--project", str(source.parent)], source.parent, order)
        lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    else:
        lines = _requirements(source, order.where)
    others, local = _split(lines, source.parent)
    wanted = scratch / "requirements.txt"
    wanted.write_text("\n".join(others) + "\n", encoding="utf-8")
    if source.name == "uv.lock":
        more = ["--no-deps"]  # a uv.lock is the whole closure: nothing is left to resolve
    else:
        more = [word for path in local for word in ("-r", str(path / "pyproject.toml"))]
    if others or more != ["--no-deps"]:
        _install(order, scratch, ["-r", str(wanted), *more], source.parent)
    wanted.unlink()
    return local


def _install(order: _Order, scratch: Path, what: Sequence[str], folder: Path) -> None:
    words = ["pip", "install", "--target", str(scratch / "site"), "--python", sys.executable]
    words += ["--python-platform", order.target.platform, "--python-version", order.target.python]
    _uv([*words, "--only-binary", ":all:", "--link-mode", "copy", *what], folder, order)


def _project(project: Path, order: _Order) -> Path:
    """Build a project of the user to a wheel, in a copy (builders write beside sources), and unpack it."""
    files = folders.listing(project)
    content = [b"%s %o %s" % (os.fsencode(n), _mode(project / n), _digest(project / n)) for n in sorted(files)]
    root = order.store / _key("project", order.target.python, *content)
    if _is_whole(root):
        return root
    name = _pyproject(project).get("project", {}).get("name", project.name)
    order.say(f"building {name}")
    with _scratch(order.store) as scratch:
        archive, wheels = scratch / "project.tar", scratch / "wheels"
        with tarfile.open(archive, "w") as copy:
            for file in files:
                copy.add(project / file, f"project/{file}", recursive=False)
        # An archive is unpacked by uv, while its settings (indexes, by relative paths too) still come from the folder.
        words = ["build", "--wheel", "--out-dir", str(wheels), "--python", sys.executable, str(archive)]
        _uv(words, project, order, building=name)
        wheel = next(wheels.glob("*.whl"))
        if not wheel.name.endswith("-none-any.whl"):
            raise FileError(
                f"{order.where}: the project {name} has compiled parts; it cannot be built for {order.target}",
                lines=(
                    ("why", f"its wheel is {wheel.name}"),
                    ("do", "publish its wheels to an index and lock them, or compile in `setup` on the server"),
                ),
            )
        _install(order, scratch, ["--no-deps", str(wheel)], project)
        archive.unlink()
        shutil.rmtree(wheels)
        _settle(scratch, root, local=[])
    return root


def _uv(words: Sequence[str], folder: Path, order: _Order, *, building: str = "") -> str:
    """Run uv, return its stdout. Raises FileError with uv's own words."""
    command = [uv.find_uv_bin(), "--no-progress", "--color", "never", "--no-python-downloads", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return done.stdout
    raise _refusal(done.stderr, order, building)


def _refusal(stderr: str, order: _Order, building: str) -> FileError:
    told = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith(("Using ", "hint:"))]
    told = [re.sub(r"^(error|cause): ", "", line) for line in told]
    told = [
        re.sub(r"[^\s`]*/unfinished-[^/\s]+/", "", line) for line in told
    ]  # a temporary folder that no longer exists
    why = tuple(("" if index else "why", line) for index, line in enumerate(told[-6:]))
    no_wheel = _NO_WHEEL.search(stderr)
    if building:
        message = f"{order.where}: the project {building} cannot be built to a wheel"
        do = "try `uv build --wheel`; if it is no package: [tool.uv] package = false in pyproject.toml"
    elif no_wheel:
        package = no_wheel[1] or no_wheel[2]
        message = f"{order.where}: {package} has no wheel for {order.target}"
        do = f"lock a version of {package} that has one, take an image with another Python, or install it by `setup`"
    elif "Failed to fetch" in stderr or "error sending request" in stderr:
        message = f"{order.where}: the package index cannot be reached"
        do = "retry when reachable; downloads are cached"
    else:
        message = f"{order.where}: its packages cannot be installed for {order.target}"
        do = 'fix the file (uv lock), name another, or python = "none"'
    return FileError(message, lines=(*why, ("do", do)))


# --- the store ------------------------------------------------------------------------------------


def _settle(scratch: Path, root: Path, *, local: Sequence[str]) -> None:
    """Clean `scratch`, record what is in it, and move it to `root` at one go."""
    names = cleaning.clean(scratch / "site", scratch / "bin")
    (scratch / "wheels.json").write_text(json.dumps({"wheels": names, "local": list(local)}))
    try:
        scratch.rename(root)
    except OSError:
        # Someone else was quicker: what lies there came from the same input, and only ever arrives whole.
        if not _is_whole(root):
            raise


def _is_whole(root: Path) -> bool:
    return (root / "wheels.json").is_file()


@contextmanager
def _scratch(store: Path) -> Iterator[Path]:
    """A folder beside the finished ones, so that the move at the end is one rename; gone afterwards if still there."""
    store.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="unfinished-", dir=store))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _key(kind: str, *parts: str | bytes) -> str:
    whole = hashlib.sha256(f"{_LAYOUT}".encode())
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        whole.update(b"%d:" % len(raw) + raw)
    return f"{kind}-{whole.hexdigest()[:32]}"


def _mode(path: Path) -> int:
    return path.lstat().st_mode


def _digest(path: Path) -> bytes:
    if path.is_symlink():
        return os.fsencode(os.readlink(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
