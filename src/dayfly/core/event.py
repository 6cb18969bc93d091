"""Parses the launcher's event, as documented in docs/event.md, into a LaunchRequest. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from dayfly.core import names, texts
from dayfly.core.reasons import Source
from dayfly.errors import FileError

FIELDS = {"job", "tick", "source", "request", "by", "env", "publish", "retry", "same_code"}
_SHOWN = 80
"""How much of a wrong value an answer repeats."""
_KINDS: tuple[tuple[type, str], ...] = (
    (Mapping, "an object"),
    (list, "a list"),
    (bool, "true or false"),  # before int: a bool is one
    (int, "a number"),
    (float, "a number"),
)
EXAMPLE = '{"job": "pi", "tick": "2026-11-24T22:41:00Z", "source": "schedule"}'


@dataclass(frozen=True, kw_only=True)
class LaunchAt:
    """A run of a job at a tick. The tick is the idempotency key: two events with the same tick start one run.

    With source backfill, a tick that was missed or skipped runs after all.
    """

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
    unknown = sorted(map(str, set(event) - FIELDS))
    if unknown:
        raise _invalid(f"unknown field {texts.escaped(', '.join(unknown))[:_SHOWN]}")
    by, request = _word(event, "by"), _word(event, "request") or request
    env, publish = _env(event), _flag(event, "publish")
    if "retry" in event:
        return Retry(run=_run(event), same_code=_flag(event, "same_code"), by=by, request=request)
    job, source = _job(event), _source(event)
    if "tick" in event:
        tick = _tick(event)
        return LaunchAt(job=job, tick=tick, source=source, env=env, publish=publish, by=by, request=request)
    if source != Source.HAND:
        raise _invalid(f"an event with source {source} must have a tick")
    return LaunchNow(job=job, env=env, publish=publish, by=by, request=request)


# --- one field each: absent, or of exactly its type -----------------------------------------------------------------------


def _word(event: Mapping[str, Any], name: str, absent: str = "") -> str:
    text = event.get(name, absent)
    if not isinstance(text, str):
        raise _invalid(f"{name} must be a string, not {_shown(text)}")
    fault = texts.word_fault(text)
    if fault:
        raise _invalid(f"{name} {fault}")
    return text


def _flag(event: Mapping[str, Any], name: str) -> bool:
    value = event.get(name, False)
    if not isinstance(value, bool):
        raise _invalid(f"{name} must be true or false, not {_shown(value)}")
    return value


def _env(event: Mapping[str, Any]) -> dict[str, str]:
    env = event.get("env", {})
    if not isinstance(env, Mapping):
        raise _invalid("env must be an object whose values are strings")
    for name, value in env.items():
        if not isinstance(value, str):
            raise _invalid(f"env must be an object whose values are strings; {_shown(name)} is {_shown(value)}")
        fault = texts.variable_fault(name) or texts.text_fault(value)
        if fault:
            raise _invalid(f"env: {_shown(name)} {fault}")
    fault = texts.variables_fault(env)
    if fault:
        raise _invalid(f"env {fault}")
    return dict(env)


def _job(event: Mapping[str, Any]) -> str:
    job = _word(event, "job")
    if not names.JOB_NAME.fullmatch(job):
        raise _invalid("job is missing or not the name of a job")
    return job


def _source(event: Mapping[str, Any]) -> Source:
    text = _word(event, "source", Source.HAND)
    try:
        return Source(text)
    except ValueError:
        raise _invalid(f"source must be schedule, hand or backfill, not {_shown(text)}") from None


def _tick(event: Mapping[str, Any]) -> datetime:
    text = _word(event, "tick")
    try:
        return names.utc_moment(text)
    except ValueError:
        raise _invalid(
            f"tick must be a UTC time like 2026-11-24T22:41:00Z, from 1970 to 2199, not {_shown(text)}"
        ) from None


def _run(event: Mapping[str, Any]) -> names.RunName:
    text = _word(event, "retry")
    try:
        return names.run_name(text)
    except ValueError:
        raise _invalid(
            f"retry must be the full name of a run, such as pi@2026-11-24T22:41:00Z, not {_shown(text)}"
        ) from None


def _shown(value: Any) -> str:
    """Return a wrong value for a message: the start of a string, or the kind of any other value."""
    if isinstance(value, str):
        return texts.escaped(f'"{value[:_SHOWN]}"')
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "null")


def _invalid(what: str) -> FileError:
    return FileError(f"not a launcher event: {what}", hint=f"for example {EXAMPLE}")
