"""Install a project's packages as wheels for the server's platform. uv does it, on the user's machine.

The server needs no package index, no pip and no virtual environment: the result is folders for PYTHONPATH (`site`) and PATH
(`bin`). They stay in a store (store.py), so dependencies without a lock are resolved once per store. No zip is written here.
Known limit: `.pth` files are not run on the server.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dayfly.errors import FileError
from dayfly.project.bundle import archive, files, pyproject, requirements, run_uv, store
from dayfly.project.bundle.run_uv import Installation
from dayfly.project.bundle.target import Target

_LOCKS = ("uv.lock", "pylock.toml", "requirements.txt")
"""Files that list packages, in the order in which "auto" looks for them. pyproject.toml comes last."""


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Installed packages. Each root has a `site` and a `bin`; `wheels` are names with version and tags.

    `source` is the file that lists the packages, relative to the user's folder.
    """

    roots: tuple[Path, ...] = ()
    wheels: tuple[str, ...] = ()
    source: str | None = None


def install_wheels(
    folder: Path, python: str, target: Target, store_folder: Path, *, where: str = "python", say: Callable[[str], None]
) -> Installed:
    """Install what `python` ("auto", a file in the folder, or "none") asks for, or find it in the store.

    A folder whose pyproject.toml declares a package is also built to a wheel, for its scripts. Raises FileError if the file
    does not exist, a package has no wheel for the target, the index cannot be reached, or a project cannot be built.
    """
    if python == "none":
        return Installed()
    installation = Installation(target=target, store=store_folder, where=where, say=say)
    source = _find_source(folder, python, where)
    roots: list[Path] = []
    projects: list[Path] = []
    if source is not None:
        dependencies = _dependencies(folder, source, installation)
        roots.append(dependencies)
        projects += [(folder / path).resolve() for path in store.read_projects(dependencies)]
    if pyproject.is_package(folder) and folder.resolve() not in projects:
        projects.append(folder.resolve())
    roots += [_built_project(project, installation) for project in projects]
    names = [name for root in roots for name in store.read_wheels(root)]
    return Installed(roots=tuple(roots), wheels=tuple(sorted(names)), source=_source_name(folder, source, roots))


def _find_source(folder: Path, python: str, where: str) -> Path | None:
    """Return the file that lists the packages: the named one, a lock, or pyproject.toml. None if nothing lists any."""
    if python != "auto":
        return _named_source(folder, python, where)
    for name in _LOCKS:
        if (folder / name).is_file():
            return folder / name
    if pyproject.declares_dependencies(folder):
        return folder / "pyproject.toml"
    return None


def _named_source(folder: Path, name: str, where: str) -> Path:
    path = folder / name
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        raise FileError(
            f"{where}: there is no file {name!r} in {folder}",
            lines=(("do", 'use "auto", "none", or a file in the folder: uv.lock, requirements.txt, pyproject.toml'),),
        )
    return path


def _source_name(folder: Path, source: Path | None, roots: list[Path]) -> str | None:
    if source is not None:
        return source.relative_to(folder).as_posix()
    if roots:
        return "pyproject.toml"  # it lists no packages but declares a project
    return None


# --- packages from the index --------------------------------------------------------------------------------------------


def _dependencies(folder: Path, source: Path, installation: Installation) -> Path:
    """Return the store's entry with the packages that `source` lists. They are installed if it does not exist yet."""
    if source.name == "uv.lock":
        pyproject.refuse_stale_lock(source, installation.where)
    target = installation.target
    key = store.entry_key(
        "dependencies", target.platform, target.python, source.name, *_texts(source, installation.where)
    )
    entry = installation.store / key
    if store.is_complete(entry):
        return entry
    installation.say(f"installing the packages of {source.name}, as wheels for {target}")
    with store.scratch_folder(installation.store) as scratch:
        projects = _install_source(source, scratch, installation)
        store.finish(scratch, entry, [os.path.relpath(project, folder.resolve()) for project in projects])
    return entry


def _texts(source: Path, where: str) -> list[bytes]:
    """Return everything that decides which packages `source` asks for."""
    texts = [source.read_bytes()]
    if source.name == "uv.lock":
        texts.append((source.parent / "pyproject.toml").read_bytes())
    elif source.suffix != ".toml":
        required = requirements.read_requirements(source, where)
        texts += [line.encode() for line in required.lines]
        texts += [(project / "pyproject.toml").read_bytes() for project in required.projects]
    return texts


def _install_source(source: Path, scratch: Path, installation: Installation) -> list[Path]:
    """Install the packages of `source` from the index. Return the user's own projects among them, which are built here."""
    site, folder = scratch / "site", source.parent
    if source.suffix == ".toml":
        run_uv.install(["-r", str(source)], site, folder, installation)
        return []
    if source.name == "uv.lock":
        lines = requirements.logical_lines(run_uv.export_lock(folder, installation))
        required = requirements.sort_out(lines, folder)
        options = ["--no-deps"]  # the lock already lists every package
    else:
        required = requirements.read_requirements(source, installation.where)
        options = [word for project in required.projects for word in ("-r", str(project / "pyproject.toml"))]
    if required.lines or options != ["--no-deps"]:
        wanted = scratch / "requirements.txt"
        wanted.write_text("\n".join(required.lines) + "\n", encoding="utf-8")
        run_uv.install(["-r", str(wanted), *options], site, folder, installation)
        wanted.unlink()
    return required.projects


# --- the user's own projects --------------------------------------------------------------------------------------------


def _built_project(project: Path, installation: Installation) -> Path:
    """Return the store's entry with a project of the user, built to a wheel and installed."""
    names = sorted(files.list_files(project))
    target = installation.target
    entry = installation.store / store.entry_key("project", target.python, *_contents(project, names))
    if store.is_complete(entry):
        return entry
    name = pyproject.project_name(project)
    installation.say(f"building {name}")
    with store.scratch_folder(installation.store) as scratch:
        sources, out = scratch / "project.tar", scratch / "wheels"
        _copy_sources(project, names, sources)
        wheel = run_uv.build_wheel(sources, out, project, name, installation)
        _refuse_compiled(wheel, name, installation)
        run_uv.install(["--no-deps", str(wheel)], scratch / "site", project, installation)
        sources.unlink()
        shutil.rmtree(out)
        store.finish(scratch, entry)
    return entry


def _copy_sources(project: Path, names: Iterable[str], sources: Path) -> None:
    """Write the project's files to an archive. uv builds in a copy of it: builders write files beside the sources."""
    with tarfile.open(sources, "w") as copy:
        for name in names:
            copy.add(project / name, f"project/{name}", recursive=False)


def _refuse_compiled(wheel: Path, name: str, installation: Installation) -> None:
    if wheel.name.endswith("-none-any.whl"):
        return
    raise FileError(
        f"{installation.where}: the project {name} has compiled parts; it cannot be built for {installation.target}",
        lines=(
            ("why", f"its wheel is {wheel.name}"),
            ("do", "publish its wheels to an index and lock them, or compile in `setup` on the server"),
        ),
    )


def _contents(project: Path, names: Iterable[str]) -> list[bytes]:
    """Return a line with name, mode and content for each file."""
    return [
        b"%s %o %s" % (os.fsencode(name), (project / name).lstat().st_mode, _content(project / name)) for name in names
    ]


def _content(path: Path) -> bytes:
    """Return the digest of a file, or the target of a link."""
    if path.is_symlink():
        return os.fsencode(os.readlink(path))
    return archive.digest_file(path).encode()
