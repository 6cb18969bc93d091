"""The folder that a command works in, and the project that its dayfly.toml describes. Calls no cloud and imports nothing that could.

A command works in the nearest folder, from the current one upwards, that has a dayfly.toml. Where there is none, the project that
`dayfly demo` left under .dayfly/demo is used.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

from dayfly.core.model import Project
from dayfly.errors import FileError
from dayfly.project.file import bounds, config

FILE = "dayfly.toml"
SCHEMA = ".dayfly/dayfly.schema.json"
"""Where an editor finds the JSON schema. It is a copy, because the package's location differs between machines."""
_MOST_BYTES = 4 * bounds.CHARACTERS


def folder() -> Path:
    """Return the folder that holds `.dayfly`: the nearest one upwards with a dayfly.toml, otherwise the current folder."""
    here = Path.cwd()
    for each in (here, *here.parents):
        if (each / FILE).is_file():
            return each
    return here


def project_folder() -> Path:
    """Return the folder with the project's files: `folder()`, or the demo's project if `folder()` has no dayfly.toml."""
    here = folder()
    demo = here / ".dayfly" / "demo"
    if (here / FILE).is_file() or not (demo / FILE).is_file():
        return here
    return demo


def write_schema(home: Path) -> None:
    """Copy the JSON schema of dayfly.toml into this folder's `.dayfly`, unless the current one is there."""
    text = (resources.files("dayfly") / "dayfly.schema.json").read_text(encoding="utf-8")
    path = home / SCHEMA
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")


def refresh_schema() -> None:
    """Copy the schema again if dayfly.toml refers to the copy and it is missing or out of date."""
    home = project_folder()
    first = (home / FILE).read_text(encoding="utf-8").partition("\n")[0]
    if first.strip() == f"#:schema {SCHEMA}":
        write_schema(home)


def read_project() -> Project:
    """Return the project of this folder. Raises FileError with all problems of the file."""
    home = project_folder()
    path = home / FILE
    if not path.is_file():
        raise FileError(f"no {FILE} in this folder or above it", hint="dayfly init")
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise FileError(f"{FILE} has {size:,} bytes; at most {_MOST_BYTES:,}")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{FILE} cannot be read: {error}") from error
    short_margin = home != folder() or os.environ.get("DAYFLY_SHORT_MARGIN") == "1"

    def files(path: str) -> str:
        with (home / path).open(encoding="utf-8") as file:
            return file.read(bounds.CHARACTERS)

    return config.read(text, zones=ZoneInfo, now=datetime.now(UTC), allow_short_margin=short_margin, files=files)
