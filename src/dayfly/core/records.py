"""The facts of a run as they stand in the bucket: one frozen record per object, and their JSON.

Records are written once and read for ever: a field is only ever added, with a default. Moments are UTC with milliseconds.
What the records mean together is core/facts.py; who writes which is flows/.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from dayfly.core import names

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Opened:
    """`open/RUN`: this run is not finished. `retry`: the attempt that a human asked for."""

    run: str
    source: str
    at: datetime
    request: str
    by: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    publish: bool = False
    retry: int | None = None
    same_code: bool = False


@dataclass(frozen=True, kw_only=True)
class Requested:
    """`requests/REQUEST~N`: which run (and for a retry which attempt) a wish got, so that delivered twice it is one."""

    run: str
    attempt: int | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Slot:
    """`slots/JOB.json`: which run of a job that does not overlap may live now."""

    holder: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Claim:
    """`claim.json`: what was decided about this tick, once. `decision` is run, skipped or missed."""

    run: str
    decision: str
    reason: str
    why: str
    version: str | None
    source: str
    at: datetime
    request: str = ""
    by: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    publish: bool = False


@dataclass(frozen=True, kw_only=True)
class Intent:
    """`N/intent.json`: what will be asked of EC2, word for word, per market; sent as stored and never rebuilt."""

    attempt: int
    version: str
    at: datetime
    launch: datetime
    launch_until: datetime
    deadline: datetime
    time_limit_s: int
    margin_s: int
    markets: tuple[str, ...]
    requests: Mapping[str, Any]
    role_id: str
    request: str = ""


@dataclass(frozen=True, kw_only=True)
class FleetError:
    """One pool that EC2 refused, or the whole request (`pool` empty)."""

    code: str
    message: str
    pool: str = ""


@dataclass(frozen=True, kw_only=True)
class SpotRefused:
    """`N/spot-refused.json`: a definite no to spot, so on-demand may be asked."""

    at: datetime
    errors: tuple[FleetError, ...]


@dataclass(frozen=True, kw_only=True)
class Elected:
    """`N/server.json`: the one server that may run the job, or none (`server` null) and why."""

    at: datetime
    server: str | None
    reason: str
    detail: str = ""
    errors: tuple[FleetError, ...] = ()
    type: str | None = None
    zone: str | None = None
    market: str | None = None
    image: str | None = None
    launched: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Absent:
    """`N/absent.json`: EC2 did not show the elected server, long after its launch: the first of two looks.

    One look that nothing followed for a while counts no more and is replaced.
    """

    at: datetime
    server: str


@dataclass(frozen=True, kw_only=True)
class EndOrder:
    """`N/end.json`: dayfly itself ended this attempt's server before the agent did, and why."""

    at: datetime
    by: str
    why: str
    server: str


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """`cancel.json`: a human wants this run to end."""

    at: datetime
    by: str


@dataclass(frozen=True, kw_only=True)
class Started:
    """`started.json`, by the agent: the command begins now."""

    at: datetime
    python: str = ""
    machine: str = ""
    cpus: int | None = None
    memory_mb: int | None = None
    user: str = ""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One stored file: path in the job's folder, key in the bucket, bytes, hex digest."""

    path: str
    key: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Log:
    """The job's log as stored: pieces of bytes, and its last lines."""

    pieces: int = 0
    bytes: int = 0
    lines: int = 0
    last: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Ended:
    """`ended.json`, by the agent, last of all: how the job ended and what was stored."""

    at: datetime
    outcome: str
    reason: str
    detail: str = ""
    job_started: datetime | None = None
    job_ended: datetime | None = None
    stored_at: datetime | None = None
    exit: int | None = None
    signal: int | None = None
    outputs: tuple[Output, ...] = ()
    missing: tuple[str, ...] = ()
    log: Log = Log()
    job_peak_memory_mb: int | None = None
    agent_peak_memory_mb: int | None = None


@dataclass(frozen=True, kw_only=True)
class Closed:
    """`N/closed.json`: the end of an attempt, decided after its server was gone. All effects follow from it."""

    at: datetime
    by: str
    outcome: str
    reason: str
    detail: str
    server: str | None
    gone: datetime | None
    ended_by: str
    exit: int | None = None
    console: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Latest:
    """`latest/JOB.json`: the last good result of a job, whole."""

    run: str
    attempt: int
    at: datetime
    prefix: str
    outputs: tuple[Output, ...]


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """`heartbeat.json`: the sweeper was here. `kept` is the last UTC day on which old results were removed.

    `ticks_since`: from when ticks must still be looked at, where one sweep was too short for all of them.
    """

    at: datetime
    ended: int
    open_runs: int
    kept: str
    ticks_since: datetime | None = None


def moment_text(moment: datetime) -> str:
    """`2026-11-24T22:41:00.600Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The inverse of `moment_text`; any number of decimals. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def encode(record: Any) -> bytes:
    """A record as JSON, keys sorted, with the format's number."""
    return json.dumps({"format": names.FORMAT, **_plain(record)}, sort_keys=True, ensure_ascii=False).encode()


def decode(kind: type[R], body: bytes) -> R:
    """JSON -> record. Unknown fields are ignored (a later dayfly wrote them). Raises ValueError for what is no such record."""
    try:
        return typing.cast(R, _typed(kind, json.loads(body)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__} record: {error}") from error


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _typed(kind: Any, value: Any) -> Any:
    if isinstance(kind, types.UnionType):
        if value is None:
            return None
        return _typed(next(arm for arm in typing.get_args(kind) if arm is not type(None)), value)
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return kind(**{f.name: _typed(hints[f.name], value[f.name]) for f in fields(kind) if f.name in value})  # type: ignore[operator]
    if kind is datetime:
        return moment(value)
    if typing.get_origin(kind) is tuple:
        return tuple(_typed(typing.get_args(kind)[0], item) for item in value)
    if kind in (str, int, bool) and not isinstance(value, kind):
        raise TypeError(f"{value!r} is not {kind.__name__}")
    return value
