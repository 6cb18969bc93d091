"""Read requirements files: their lines, and which of them name the user's own projects. No package is installed here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dayfly.errors import FileError

_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"(?:-r|--requirement)[ =]*(?P<file>.+)")
_RELATIVE_OPTION = re.compile(r"(?P<option>-c|--constraint|-f|--find-links)(?![ =]*\w+://)[ =]*(?P<path>.+)")
_EDITABLE = re.compile(r"^(-e|--editable)[ =]+")
_EXTRAS = re.compile(r"\[[\w, .-]*\]$")


class Requirements(NamedTuple):
    """`lines` are for the package index. `projects` are folders of the user's own projects, which are built here."""

    lines: list[str]
    projects: list[Path]


def read_requirements(file: Path, where: str) -> Requirements:
    """Read a requirements file and the files that it includes. Raises FileError if one cannot be read."""
    return sort_out(list(_read_lines(file, where)), file.parent)


def _read_lines(file: Path, where: str) -> Iterator[str]:
    """Yield the lines without comments; included files are inserted and relative paths are made absolute."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FileError(f"{where}: {file.name} cannot be read: {error}") from error
    for line in logical_lines(text):
        line = _COMMENT.sub("", line).strip()
        if include := _INCLUDE.match(line):
            yield from _read_lines(file.parent / include["file"], where)
        elif relative := _RELATIVE_OPTION.match(line):
            yield f"{relative['option']} {(file.parent / relative['path']).resolve()}"
        elif line.startswith("./") and ".whl" in line:
            yield f"{file.parent.resolve()}{line[1:]}"
        elif line:
            yield line


def logical_lines(text: str) -> list[str]:
    """Return the lines of a text, those that end with a backslash joined with the next; empty lines are left out."""
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line]


def sort_out(lines: Sequence[str], base: Path) -> Requirements:
    """Separate the lines for the package index from the user's own projects. Paths are relative to `base`."""
    found = Requirements([], [])
    for line in lines:
        project = _project_folder(line, base)
        if project is None:
            found.lines.append(line)
        else:
            found.projects.append(project)
    return found


def _project_folder(line: str, base: Path) -> Path | None:
    """Return the folder that the line names, if it holds a pyproject.toml."""
    path = _EDITABLE.sub("", line)
    is_editable = path != line
    path = path.split(" ;")[0].split(" --hash")[0].strip().removeprefix("file://")
    path = _EXTRAS.sub("", path)
    if not is_editable and not path.startswith((".", "/")):
        return None
    if not (base / path / "pyproject.toml").is_file():
        return None
    return (base / path).resolve()
