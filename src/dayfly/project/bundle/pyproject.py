"""Read what a project's pyproject.toml and uv.lock declare. No package is installed here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dayfly.errors import FileError


def read_pyproject(folder: Path) -> Mapping[str, Any]:
    """Return the folder's pyproject.toml; empty if there is none."""
    try:
        return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise FileError(f"pyproject.toml in {folder} cannot be read: {error}") from error


def project_name(folder: Path) -> str:
    """Return the declared name of the project, or else the name of its folder."""
    name: str = read_pyproject(folder).get("project", {}).get("name", folder.name)
    return name


def declares_dependencies(folder: Path) -> bool:
    """Return whether pyproject.toml has dependencies, listed or dynamic."""
    project = read_pyproject(folder).get("project", {})
    return bool(project.get("dependencies")) or "dependencies" in project.get("dynamic", ())


def is_package(folder: Path) -> bool:
    """Return whether the project must be built to a wheel: by uv's rule, or because it declares scripts."""
    declared = read_pyproject(folder)
    requested = declared.get("tool", {}).get("uv", {}).get("package")
    if requested is not None:
        return bool(requested)
    if "project" not in declared:
        return False
    return "build-system" in declared or bool(declared["project"].get("scripts"))


def refuse_stale_lock(lock: Path, where: str) -> None:
    """Raise FileError if uv.lock lacks a dependency of pyproject.toml. The job would fail only when it imports the package."""
    project = read_pyproject(lock.parent).get("project", {})
    try:
        packages = tomllib.loads(lock.read_text(encoding="utf-8")).get("package", [])
    except ValueError as error:
        raise FileError(f"{where}: uv.lock cannot be read: {error}", lines=(("do", "uv lock"),)) from error
    if not project:  # the root of a workspace has no project of its own
        return
    own = [package for package in packages if package["name"] == _normalized(project.get("name", ""))]
    problem = ""
    if not own:
        problem = "this project is not in it"
    elif missing := _missing(project, own[0]):
        problem = f"it lacks {', '.join(missing)}"
    if problem:
        raise FileError(f"{where}: uv.lock does not match pyproject.toml: {problem}", lines=(("do", "uv lock"),))


def _missing(project: Mapping[str, Any], locked: Mapping[str, Any]) -> list[str]:
    """Return the dependencies of a project that its entry in the lock does not have."""
    known = {item["name"] for item in locked.get("metadata", {}).get("requires-dist", [])}
    declared = {_normalized(requirement) for requirement in project.get("dependencies", [])}
    return sorted(declared - known)


def _normalized(requirement: str) -> str:
    """Return the package name of a requirement in the spelling that locks use."""
    name = re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]
    return re.sub(r"[-_.]+", "-", name).lower()
