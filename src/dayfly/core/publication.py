"""Where a good result stands for others: the key `results` of a job, its folders, and the manifest that names them. Pure functions.

A folder in S3 cannot be replaced whole, so `latest/` holds only a manifest, which names the folder of a tick. That is written once and
its own manifest last, so a reader who begins at a manifest finds every file. How it is copied is flows/publishing.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.facts import Attempt, Facts
from dayfly.core.model import Deployed
from dayfly.core.reasons import Outcome, Source
from dayfly.core.record_json import BadRecord, moment_text, read_json
from dayfly.core.records import Claim, Closed, Output

OWN = "project"
"""The value of `results` for the project's own bucket."""
GIVE_UP_AFTER = timedelta(days=1)
"""So long after the close of an attempt its result is copied, if the bucket refuses it."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where results of a job stand. `bucket` is empty for the project's own; `prefix` ends with a slash, or is empty."""

    bucket: str
    prefix: str

    def text(self, own: str) -> str:
        """Return it as a URL. `own`: the name of the project's bucket."""
        return f"s3://{self.bucket or own}/{self.prefix}"

    @property
    def latest(self) -> str:
        """Return the key of the manifest that names the newest result."""
        return f"{self.prefix}latest/manifest.json"


def place(results: str, job: str) -> Place:
    """Return the place that a job's `results` names."""
    if results == OWN:
        return Place(bucket="", prefix=names.results_prefix(job))
    bucket, _, prefix = results.removeprefix("s3://").partition("/")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return Place(bucket=bucket, prefix=prefix)


def wanted(facts: Facts) -> str:
    """Return the value of `results` if the newest attempt's result has to be copied there; empty if not, or if it was."""
    match facts.claim, facts.attempt:
        case Claim(source=Source.HAND, publish=False), _:
            return ""
        case Claim(), Attempt(closed=Closed(outcome=Outcome.SUCCEEDED)) as attempt if attempt.outputs and facts.is_open:
            return _results(facts, attempt)
    return ""


def _results(facts: Facts, attempt: Attempt) -> str:
    match facts.version(attempt.intent.version):
        case Deployed(job=job) if not facts.published:
            return job.results or ""
    return ""


def folder(at: Place, run: names.RunName, attempt: int) -> str:
    """Return the prefix of one attempt's files. Another attempt of the tick has its own, so that no file is ever replaced."""
    return f"{at.prefix}{names.utc_text(run.tick)}/{attempt}/"


def is_own(output: Output, prefix: str) -> bool:
    """Return whether a file that a server reported is its own, and has a path that stays inside a folder."""
    inside = not {"", ".", ".."} & set(output.path.split("/")) and output.path != "manifest.json"
    return inside and output.key.startswith(prefix)


def manifest(run: names.RunName, attempt: int, at: datetime, place: str, to: str, outputs: tuple[Output, ...]) -> bytes:
    """Return the manifest of a result. `place`: the URL of its bucket, with a slash; `to`: the prefix of its files."""
    files = [{"path": one.path, "key": f"{to}{one.path}", "size": one.size, "sha256": one.sha256} for one in outputs]
    content: dict[str, Any] = {
        "format": names.FORMAT,
        "run": str(run),
        "job": run.job,
        "tick": names.utc_text(run.tick),
        "attempt": attempt,
        "at": moment_text(at),
        "folder": f"{place}{to}",
        "files": files,
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1).encode()


def is_newer(run: names.RunName, attempt: int, stored: bytes) -> bool:
    """Return whether a result is newer than the one that a manifest names. A manifest that cannot be read is replaced."""
    try:
        content = read_json(stored)
        current = names.run_name(str(content["run"])), int(content["attempt"])
    except (BadRecord, LookupError, ValueError, TypeError):
        return True
    return (run.tick, attempt) > (current[0].tick, current[1])


def names_run(stored: bytes, run: names.RunName) -> bool:
    """Return whether a manifest names this run, or cannot be read."""
    try:
        return str(read_json(stored)["run"]) == str(run)
    except (BadRecord, LookupError):
        return True
