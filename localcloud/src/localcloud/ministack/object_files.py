"""Repairs the files of S3 objects before MiniStack reads them, because MiniStack does not check them.

DIR/s3/.../KEY              an object's content
DIR/s3/.../KEY.meta.json    its description
"""

import json
from pathlib import Path
from typing import Any

from localcloud.errors import CloudError

_SAME_TIME_NS = 1_000_000_000


def repair_objects(directory: Path) -> None:
    """Remove descriptions older than their object, which a kill left behind.

    Raises CloudError for an object that was damaged in another way.
    """
    for description in (directory / "s3").rglob("*.meta.json"):
        data = description.with_name(description.name.removesuffix(".meta.json"))
        if data.is_file():
            _repair(data, description)


def _repair(data: Path, description: Path) -> None:
    content, described = data.stat(), _read(description)
    age = content.st_mtime_ns - description.stat().st_mtime_ns
    if age > 0:
        description.unlink()
    elif described is None or described.get("size", content.st_size) != content.st_size:
        if -age >= _SAME_TIME_NS:
            raise CloudError(
                f"The object at {data} is damaged: it does not match the description beside it.",
                "Restore both files from a copy, or remove both; the object is lost then.",
            )
        # Two writes within a moment: the times of files cannot tell which came first.
        description.unlink()


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
