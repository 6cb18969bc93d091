"""Keep installed packages in a folder, under a key made of everything that they were installed from.

An entry is complete when it exists: it is prepared in a scratch folder and moved in one rename. Two processes may
prepare the same entry at once; the first one stays.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dayfly.project.bundle import cleaning

SCRATCH_PREFIX = "unfinished-"
_LAYOUT = 1
"""The layout of an entry. A new number makes older entries unknown."""
_RECORD = "wheels.json"


def entry_key(kind: str, *parts: str | bytes) -> str:
    """Return the name of the entry that was made from these parts."""
    digest = hashlib.sha256(f"{_LAYOUT}".encode())
    for part in parts:
        if isinstance(part, str):
            part = part.encode()
        digest.update(b"%d:" % len(part) + part)
    return f"{kind}-{digest.hexdigest()[:32]}"


def is_complete(entry: Path) -> bool:
    """Return whether the entry exists."""
    return (entry / _RECORD).is_file()


def read_wheels(entry: Path) -> list[str]:
    """Return the names of the wheels in an entry."""
    return list(_read(entry)["wheels"])


def read_projects(entry: Path) -> list[str]:
    """Return the user's own projects that the entry's source names, relative to the user's folder."""
    return list(_read(entry)["local"])


def _read(entry: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((entry / _RECORD).read_text())
    return record


@contextmanager
def scratch_folder(store: Path) -> Iterator[Path]:
    """Make a scratch folder in the store, so that a rename can move it, and remove it at the end if it is still there."""
    store.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH_PREFIX, dir=store))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def finish(scratch: Path, entry: Path, projects: Sequence[str] = ()) -> None:
    """Clean the packages in `scratch`, record them, and move them to `entry`."""
    wheels = cleaning.clean(scratch / "site", scratch / "bin")
    (scratch / _RECORD).write_text(json.dumps({"wheels": wheels, "local": list(projects)}))
    try:
        scratch.rename(entry)
    except OSError:
        # Another process was first. Its entry was made from the same parts.
        if not is_complete(entry):
            raise
