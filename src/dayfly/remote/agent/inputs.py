"""Download the last good results of the jobs that this job reads (`reads = ["job:NAME"]`) into a folder, before the command starts.

Each is listed in its run's ended.json, which another job's server wrote: its paths are checked, and every file's size and SHA-256.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from dayfly.remote.agent.outcome import NotStarted
from dayfly.remote.agent.s3 import Bucket, Refused

_AT_ONCE = 4
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_RECORD = "ended.json"
_RECORD_BYTES = 8 << 20
"""As much as dayfly reads of such a record: ten thousand outputs take 3 MB."""


class _File(NamedTuple):
    job: str
    path: str
    key: str
    size: int
    sha256: str


def download(bucket: Bucket, inputs: Iterable[Mapping[str, Any]], folder: str) -> None:
    """Write each output to `folder/JOB/PATH`, in the time that `bucket` has.

    Raises NotStarted: `no-input` names the file that is missing or is not the one recorded; `disk-full`.
    """
    files = [file for entry in inputs for file in _list(bucket, entry)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(lambda file: _fetch(bucket, file, folder), files):
            pass


def _list(bucket: Bucket, entry: Mapping[str, Any]) -> list[_File]:
    """Return the files of one job. Raises NotStarted."""
    job, ended = str(entry["job"]), str(entry["ended"])
    try:
        if not _JOB.fullmatch(job) or not ended.startswith(f"out/{job}/") or not ended.endswith("/" + _RECORD):
            raise ValueError(f"not a job's record: {ended}")
        outputs = json.loads(bucket.read(ended, _RECORD_BYTES))["outputs"]
        return [_checked(job, ended[: -len(_RECORD)], output) for output in outputs]
    except (Refused, ValueError, LookupError, TypeError, AttributeError) as problem:
        raise NotStarted("no-input", f"{job}: cannot read {entry.get('run')}: {problem}") from problem


def _checked(job: str, prefix: str, output: Mapping[str, Any]) -> _File:
    """Return an output as a file below the job's folder. Raises ValueError if its path or key leads elsewhere."""
    path, key = str(output["path"]), str(output["key"])
    if {"", ".", ".."} & set(path.split("/")) or "\0" in path or key != f"{prefix}output/{path}":
        raise ValueError(f"a path outside the run: {path!r}")
    return _File(job, path, key, int(output["size"]), str(output["sha256"]))


def _fetch(bucket: Bucket, file: _File, folder: str) -> None:
    """Download one file and check it. Raises NotStarted."""
    path, name = f"{folder}/{file.job}/{file.path}", f"{file.job}: {file.path}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        found = bucket.download(file.key, file.size, path)
    except Refused as problem:
        raise NotStarted("no-input", f"{name}: {problem.code}: {problem.text}") from problem
    except OSError as problem:
        reason = "no-input"
        if problem.errno == errno.ENOSPC:
            reason = "disk-full"
        raise NotStarted(reason, f"{name}: {problem}") from problem
    if found != (file.size, file.sha256):
        raise NotStarted("no-input", f"{name} is not the file recorded: {found[0]} bytes, SHA-256 {found[1]}")
