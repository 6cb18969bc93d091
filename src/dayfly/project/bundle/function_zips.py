"""Build the zips of the two Lambda functions.

`remote/` is read as files and never imported. The format of a zip is in archive.py.
"""

from __future__ import annotations

import importlib.util
import stat
from pathlib import Path
from typing import Literal

from dayfly.project.bundle.archive import Entry, Zip, write_zip

ROOMS = ("core", "flows", "cloud")
"""The rooms that run both on the laptop and in Lambda. Every function's zip has all their modules."""
_MODE = stat.S_IFREG | 0o644


def build_function_zip(handler: Literal["launcher", "sweeper"], package_root: Path, out: Path) -> Zip:
    """Write a function's zip to `out/SHA256.zip`: its entry point, the shared rooms and tzdata. Lambda itself has boto3.

    `package_root` is the folder of the package dayfly. Raises FileNotFoundError if it does not have this handler.
    """
    entries = [Entry(f"dayfly/{path}", _MODE, package_root / path) for path in function_files(handler, package_root)]
    return write_zip(entries + _tzdata_entries(), out)


def function_files(handler: str, package_root: Path) -> tuple[str, ...]:
    """Return dayfly's files in a function's zip, relative to `package_root`.

    Raises FileNotFoundError if there is no `remote/HANDLER.py`.
    """
    entry_point = f"remote/{handler}.py"
    if not (package_root / entry_point).is_file():
        raise FileNotFoundError(f"no {entry_point} in {package_root}")
    found = ["__init__.py", "errors.py", "remote/__init__.py", "remote/environment.py", entry_point]
    for room in ROOMS:
        found += [path.relative_to(package_root).as_posix() for path in (package_root / room).rglob("*.py")]
    return tuple(sorted(found))


def _tzdata_entries() -> list[Entry]:
    """Return the files of the installed package tzdata. Lambda's own time zones may be missing or old."""
    spec = importlib.util.find_spec("tzdata")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("the package tzdata is not installed")
    home = Path(spec.submodule_search_locations[0])
    files = [path for path in home.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return [Entry(f"tzdata/{path.relative_to(home).as_posix()}", _MODE, path) for path in files]
