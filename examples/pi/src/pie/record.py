"""Write the two files of a run: the digits and a small JSON beside them. Each is written whole and then renamed."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

FORMAT = 1


@dataclass(slots=True)
class Result:
    """One complete file of digits; `checked` lists `what` was checked, `from` and `to` which digit (counted from 1)."""

    digits: int
    sha256: str
    method: str
    checked: list[dict[str, object]] = field(default_factory=list)

    @property
    def second(self) -> int:
        """Number of digits, from the first, that a second formula confirmed."""
        return max((int(str(c["to"])) for c in self.checked if "second formula" in str(c["what"])), default=0)


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds requested and used since the process started, whether that is late, cores, and what ended the search."""

    asked: float
    used: float
    late: bool
    cores: int
    ended_by: str


def describe(result: Result, spent: Spent) -> dict[str, object]:
    """Return the JSON beside the digits."""
    rest = []
    if result.second < result.digits:
        what = "by a second formula; these rest on one computation and its proved error bound"
        rest = [{"what": what, "from": result.second + 1, "to": result.digits}]
    return {
        "format": FORMAT,
        "digits": result.digits,
        "seconds_asked": spent.asked,
        "seconds_used": round(spent.used, 2),
        "late": spent.late,
        "ended_by": spent.ended_by,
        "cores": spent.cores,
        "method": result.method,
        "checked": result.checked,
        "not_checked": rest,
        "sha256": result.sha256,
    }


def sentence(result: Result, spent: Spent) -> str:
    """Return one line for people that claims no more than `checked` does."""
    start = f"{result.digits:,} digits of pi in {spent.used:.1f} s"
    if result.second >= result.digits:
        return f"{start}, all confirmed by a second formula"
    return f"{start}, read back; the first {result.second:,} confirmed by a second formula"


def write_small(path: Path, data: bytes) -> str:
    """Replace `path` by `data` atomically and durably; return the SHA-256 in hex. Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        move(part, path)
    finally:
        part.unlink(missing_ok=True)
    return hashlib.sha256(data).hexdigest()


def write_description(path: Path, result: Result, spent: Spent) -> None:
    """Replace the JSON at `path`. Raises OSError."""
    write_small(path, json.dumps(describe(result, spent), indent=2).encode() + b"\n")


def move(part: Path, path: Path) -> None:
    """Rename a file that is on disk to its final name, durably. Raises OSError."""
    os.replace(part, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
