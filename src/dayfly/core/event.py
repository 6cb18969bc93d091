"""The launcher's event, as documented in docs/event.md: what may be asked of it. Pure: a mapping in, a wish or a refusal out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dayfly.core import names
from dayfly.errors import FileError

KNOWN = {"job", "tick", "source", "request", "by", "env", "publish", "retry", "same_code"}
EXAMPLE = '{"job": "pi", "tick": "2026-11-24T22:41:00Z", "source": "schedule"}'


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What the event wants: a run of a job (at a tick, or now), or a retry of a run.

    `request` names one wish: two events with the same request are one. With a tick, the tick does.
    """

    job: str
    tick: datetime | None = None
    source: str = "hand"
    request: str = ""
    by: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    publish: bool = False
    retry: names.RunName | None = None
    same_code: bool = False


def launch_request(event: Any, request: str) -> LaunchRequest:
    """Reads an event. `request`: the id of this delivery, used when the event names none. Raises FileError."""
    if not isinstance(event, Mapping):
        raise _bad("it is not an object")
    unknown = sorted(set(event) - KNOWN)
    if unknown:
        raise _bad(f"unknown: {', '.join(unknown)}")
    env = event.get("env") or {}
    if not isinstance(env, Mapping) or not all(isinstance(value, str) for value in env.values()):
        raise _bad("env is not a table of strings")
    by, request = str(event.get("by") or ""), str(event.get("request") or request)
    if event.get("retry"):
        run = _run(event["retry"])
        return LaunchRequest(job=run.job, retry=run, same_code=bool(event.get("same_code")), by=by, request=request)
    job, source = event.get("job"), event.get("source") or "hand"
    if not isinstance(job, str) or not names.JOB_NAME.fullmatch(job):
        raise _bad("job is missing or no job's name")
    if source not in ("schedule", "hand"):
        raise _bad(f"source is {source!r}; it is schedule or hand")
    tick = _tick(event["tick"]) if event.get("tick") else None
    if tick is None and source == "schedule":
        raise _bad("a schedule's event names its tick")
    return LaunchRequest(
        job=job, tick=tick, source=source, env=dict(env), publish=bool(event.get("publish")), by=by, request=request
    )


def _tick(text: Any) -> datetime:
    try:
        return names.utc_moment(str(text))
    except ValueError as error:
        raise _bad(str(error)) from error


def _run(text: Any) -> names.RunName:
    try:
        return names.run_name(str(text))
    except ValueError as error:
        raise _bad(str(error)) from error


def _bad(what: str) -> FileError:
    return FileError(f"not an event of the launcher: {what}", hint=f"for example {EXAMPLE}")
