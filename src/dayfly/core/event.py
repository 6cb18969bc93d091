"""Parses the launcher's event, as documented in docs/event.md, into a LaunchRequest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dayfly.core import names
from dayfly.core.records import Source
from dayfly.errors import FileError

FIELDS = {"job", "tick", "source", "request", "by", "env", "publish", "retry", "same_code"}
EXAMPLE = '{"job": "pi", "tick": "2026-11-24T22:41:00Z", "source": "schedule"}'


@dataclass(frozen=True, kw_only=True)
class LaunchAt:
    """A run of a job at a tick. The tick is the idempotency key: two events with the same tick start one run."""

    job: str
    tick: datetime
    source: Source
    request: str = ""
    by: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    publish: bool = False


@dataclass(frozen=True, kw_only=True)
class LaunchNow:
    """A run of a job by hand, now. `request` is an idempotency key: two events with the same key start one run."""

    job: str
    request: str
    by: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    publish: bool = False


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Another attempt of a run. `request` is an idempotency key: two events with the same key start one attempt."""

    run: names.RunName
    request: str
    by: str = ""
    same_code: bool = False


LaunchRequest = LaunchAt | LaunchNow | Retry
"""What an event asks for."""


def launch_request(event: Any, request: str) -> LaunchRequest:
    """Parse an event. `request`: the id of this invocation, used when the event names no request. Raises FileError."""
    if not isinstance(event, Mapping):
        raise _invalid("it is not a JSON object")
    unknown = sorted(set(event) - FIELDS)
    if unknown:
        raise _invalid(f"unknown field {', '.join(unknown)}")
    env = event.get("env") or {}
    if not isinstance(env, Mapping) or not all(isinstance(value, str) for value in env.values()):
        raise _invalid("env must be an object whose values are strings")
    by, request = str(event.get("by") or ""), str(event.get("request") or request)
    if event.get("retry"):
        return Retry(run=_run(event["retry"]), same_code=bool(event.get("same_code")), by=by, request=request)
    job, source = event.get("job"), _source(event.get("source"))
    if not isinstance(job, str) or not names.JOB_NAME.fullmatch(job):
        raise _invalid("job is missing or not the name of a job")
    publish = bool(event.get("publish"))
    if event.get("tick"):
        tick = _tick(event["tick"])
        return LaunchAt(job=job, tick=tick, source=source, env=dict(env), publish=publish, by=by, request=request)
    if source == Source.SCHEDULE:
        raise _invalid("an event with source schedule must have a tick")
    return LaunchNow(job=job, env=dict(env), publish=publish, by=by, request=request)


def _source(text: Any) -> Source:
    try:
        return Source(text or Source.HAND)
    except ValueError:
        raise _invalid(f"source must be schedule or hand, not {text!r}") from None


def _tick(text: Any) -> datetime:
    try:
        return names.utc_moment(str(text))
    except ValueError as error:
        raise _invalid(str(error)) from error


def _run(text: Any) -> names.RunName:
    try:
        return names.run_name(str(text))
    except ValueError as error:
        raise _invalid(str(error)) from error


def _invalid(what: str) -> FileError:
    return FileError(f"not a launcher event: {what}", hint=f"for example {EXAMPLE}")
