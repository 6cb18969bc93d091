"""What a deploy changes: jobs that are new, changed, gone or the same, and the schedules that shall stand. Pure.

The stack is core/template.py's. A plan is a value: `deploy --plan` prints it, `deploy` prints it and does it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from dayfly.core import schedule
from dayfly.core.model import Deployed, Job, Removed, Scheduled, Version
from dayfly.project.file import durations

Kind = Literal["new", "changed", "gone", "same"]

EVENT = '{"job": "%s", "tick": "<aws.scheduler.scheduled-time>", "source": "schedule"}'


@dataclass(frozen=True, kw_only=True)
class JobChange:
    """One job: what a deploy does to it, and what differs, in words."""

    name: str
    kind: Kind
    words: tuple[str, ...]
    version: Deployed | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A deploy as a value. `stack` says in words what happens to the stack; empty: it is not touched."""

    changes: tuple[JobChange, ...]
    schedules: tuple[Scheduled, ...]
    stack: str

    @property
    def empty(self) -> bool:
        return not self.stack and all(change.kind == "same" for change in self.changes)


def jobs(there: Mapping[str, Version], wanted: Mapping[str, Deployed]) -> tuple[JobChange, ...]:
    """Compares what is deployed (newest version of each job) with what the file asks for."""
    changes: list[JobChange] = []
    for name, version in wanted.items():
        old = there.get(name)
        if not isinstance(old, Deployed):
            changes.append(JobChange(name=name, kind="new", words=(_summary(version),), version=version))
        elif old.digest == version.digest:
            changes.append(JobChange(name=name, kind="same", words=(), version=old))
        else:
            changes.append(JobChange(name=name, kind="changed", words=_differences(old, version), version=version))
    for name, old in there.items():
        if name not in wanted and isinstance(old, Deployed):
            words = ("gone from the file: its schedule goes; its runs and their results stay",)
            changes.append(JobChange(name=name, kind="gone", words=words, version=None))
    order = {"new": 0, "changed": 1, "gone": 2, "same": 3}
    return tuple(sorted(changes, key=lambda change: (order[change.kind], change.name)))


def effective(now: datetime, versions: Mapping[str, Version]) -> datetime:
    """From when a deploy's versions hold: the next whole second, later than any version there is.

    Rounded up: a tick of this very second was due before the deploy was done.
    """
    start = now.replace(microsecond=0) + timedelta(seconds=1)
    last = newest(versions)
    return start if last is None else max(start, last + timedelta(seconds=1))


def removed(name: str, since: datetime, by: str) -> Removed:
    """The version that says: this job is in the file no more."""
    return Removed(name=name, effective_from=since, deployed_by=by)


def schedules(wanted: Mapping[str, Job], zone: Mapping[str, ZoneInfo]) -> tuple[Scheduled, ...]:
    """The schedules of all jobs: one per EventBridge expression, named JOB, JOB.2, ..."""
    found: list[Scheduled] = []
    for name, job in sorted(wanted.items()):
        if not job.schedule:
            continue
        expressions = schedule.expressions(schedule.parse(job.schedule, zone[job.timezone]))
        for number, expression in enumerate(expressions, 1):
            found.append(
                Scheduled(
                    name=name if number == 1 else f"{name}.{number}",
                    expression=expression,
                    timezone=job.timezone,
                    event=EVENT % name,
                    # Scheduler takes 1 minute to 1 day; a tick handed over later than start_within is missed anyway.
                    max_age_s=min(86_400, max(60, job.start_within_s)),
                )
            )
    return tuple(found)


def _summary(version: Deployed) -> str:
    job = version.job
    when = ", ".join(job.schedule) or "by hand only"
    market = {"on-demand": "on demand", "spot": "spot", "spot-first": "spot first"}[job.market]
    return f"{when}, {' or '.join(job.servers)}, {market}, limit {durations.text(job.time_limit_s)}"


def _differences(old: Deployed, new: Deployed) -> tuple[str, ...]:
    words: list[str] = []
    before, after = asdict(old.job), asdict(new.job)
    for key, value in after.items():
        if before[key] != value:
            words.append(
                f"{key.removesuffix('_s').removesuffix('_gb')} {_text(key, before[key])} -> {_text(key, value)}"
            )
    old_code, new_code = (version.code.sha256[:7] if version.code else "none" for version in (old, new))
    if old_code != new_code:
        words.append(f"code {old_code} -> {new_code}")
    if old.launch != new.launch:
        words.append("launch template")
    if dict(old.tags) != dict(new.tags):
        words.append("tags")
    return tuple(words) or ("rewritten by this version of dayfly",)


def _text(key: str, value: Any) -> str:
    if key.endswith("_s"):
        return durations.text(value)
    if key.endswith("_gb"):
        return f"{value}GB"
    if key == "env":
        return f"{len(value)} values"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def newest(versions: Mapping[str, Version]) -> datetime | None:
    """When the last deploy took effect, or None."""
    return max((version.effective_from for version in versions.values()), default=None)
