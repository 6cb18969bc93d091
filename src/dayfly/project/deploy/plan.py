"""Plan a deploy: which jobs are new, changed, removed from the file or the same, and which schedules they need. No I/O.

`deploy --plan` prints a plan; `deploy` prints it and applies it. The stack's template is built in project/stack.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from dayfly.core import schedule
from dayfly.core.model import Agent, Code, Deployed, Job, JobSchedule, Removed, Version
from dayfly.project.file import durations

Kind = Literal["new", "changed", "gone", "same"]
StackChange = Literal["", "new", "again", "changes"]
"""What happens to the stack; `again`: it is deleted and made again, because its creation or deletion failed; empty: nothing."""

EVENT = '{"job": "%s", "tick": "<aws.scheduler.scheduled-time>", "source": "schedule"}'
_ORDER: Mapping[Kind, int] = {"new": 0, "changed": 1, "gone": 2, "same": 3}
_EVERY_DISK = {"disk_throughput": 125, "disk_iops": 3_000}
"""What a volume has if the job does not say it."""
_MARKETS = {"on-demand": "on demand", "spot": "spot", "spot-first": "spot first"}


@dataclass(frozen=True, kw_only=True)
class JobChange:
    """What a deploy does to one job. `words` say what differs. `version`: the new one; for a job that is gone, the last one."""

    name: str
    kind: Kind
    words: tuple[str, ...]
    version: Deployed


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that a deploy would change. `starts`: the functions, which a destroy that was cut off left stopped."""

    changes: tuple[JobChange, ...]
    schedules: tuple[JobSchedule, ...]
    stack: StackChange
    starts: bool = False

    @property
    def empty(self) -> bool:
        return not (self.stack or self.starts) and all(change.kind == "same" for change in self.changes)


def job_changes(existing: Mapping[str, Version], wanted: Mapping[str, Deployed]) -> tuple[JobChange, ...]:
    """Compare each job's newest version in the bucket with the file, and return what a deploy does to it."""
    changes = [_job_change(existing.get(name), version) for name, version in wanted.items()]
    for name, old in existing.items():
        if name not in wanted and isinstance(old, Deployed):
            words = ("no longer in the file: its schedule is deleted; its runs and their results stay",)
            changes.append(JobChange(name=name, kind="gone", words=words, version=old))
    return tuple(sorted(changes, key=lambda change: (_ORDER[change.kind], change.name)))


def _job_change(old: Version | None, new: Deployed) -> JobChange:
    if not isinstance(old, Deployed):
        return JobChange(name=new.name, kind="new", words=_summary(new), version=new)
    if old.digest == new.digest:
        return JobChange(name=new.name, kind="same", words=(), version=new)
    return JobChange(name=new.name, kind="changed", words=_differences(old, new), version=new)


def changed_version(change: JobChange, since: datetime, by: str) -> Version | None:
    """Return the version to write for a change, in effect from `since` on; None if nothing is written."""
    if change.kind == "same":
        return None
    if change.kind == "gone":
        return removed(change.name, since, by)
    return replace(change.version, effective_from=since)


def effective_from(now: datetime, versions: Mapping[str, Version]) -> datetime:
    """Return when a deploy's versions take effect: in the next whole second, and later than every existing version.

    Not in the current second: its tick was due before the deploy was done.
    """
    start = now.replace(microsecond=0) + timedelta(seconds=1)
    last = last_effective_from(versions)
    return start if last is None else max(start, last + timedelta(seconds=1))


def last_effective_from(versions: Mapping[str, Version]) -> datetime | None:
    """Return when the last deploy took effect, or None."""
    return max((version.effective_from for version in versions.values()), default=None)


def removed(name: str, since: datetime, by: str) -> Removed:
    """Return the version which records that the job is no longer deployed from `since` on."""
    return Removed(name=name, effective_from=since, deployed_by=by)


def schedules(wanted: Mapping[str, Job], zone: Mapping[str, ZoneInfo]) -> tuple[JobSchedule, ...]:
    """Return the schedules of all jobs: one per EventBridge expression, named JOB, JOB.2, ..."""
    found: list[JobSchedule] = []
    for name, job in sorted(wanted.items()):
        if job.schedule:
            expressions = schedule.expressions(schedule.parse(job.schedule, zone[job.timezone]))
            found += [_scheduled(name, job, number, one) for number, one in enumerate(expressions, 1)]
    return tuple(found)


def _scheduled(name: str, job: Job, number: int, expression: str) -> JobSchedule:
    return JobSchedule(
        name=_schedule_name(name, number),
        expression=expression,
        timezone=job.timezone,
        event=EVENT % name,
        # Scheduler takes 1 minute to 1 day; a tick that is delivered later than start_within is missed anyway.
        max_age_s=min(86_400, max(60, job.start_within_s)),
    )


def _schedule_name(job: str, number: int) -> str:
    return f"{job}.{number}" if number > 1 else job


def _summary(version: Deployed) -> tuple[str, ...]:
    job = version.job
    when = ", ".join(job.schedule) or "by hand only"
    limit = durations.text(job.time_limit_s)
    return (f"{when}, {' or '.join(job.servers)}, {_MARKETS[job.market]}, limit {limit}",)


def _differences(old: Deployed, new: Deployed) -> tuple[str, ...]:
    words = _job_differences(old.job, new.job)
    if _hash(old.code) != _hash(new.code):
        words.append(f"code {_hash(old.code)} -> {_hash(new.code)}")
    if old.agent != new.agent:
        words.append(f"agent {_hash(old.agent)} -> {_hash(new.agent)}")
    before, after = (version.launch.pools_of(version.job.servers) for version in (old, new))
    if before != after:
        words.append(f"pools {len(before)} -> {len(after)}")
    if replace(old.launch, pools=()) != replace(new.launch, pools=()):
        words.append("launch template")
    if dict(old.tags) != dict(new.tags):
        words.append("tags")
    return tuple(words) or ("rewritten by this version of dayfly",)


def _job_differences(old: Job, new: Job) -> list[str]:
    """Return `KEY BEFORE -> AFTER` for each key of the file that differs."""
    before, after = asdict(old), asdict(new)
    different = [key for key in after if before[key] != after[key]]
    return [f"{_key(key)} {_text(key, before[key])} -> {_text(key, after[key])}" for key in different]


def _key(field: str) -> str:
    """Return the file's key that a field of Job is read from."""
    if field in _EVERY_DISK:
        return field.replace("_", ".")
    return field.removesuffix("_s").removesuffix("_gb")


def _hash(stored: Agent | Code | None) -> str:
    """Return the start of a stored file's SHA-256."""
    if stored is None:
        return "none"
    return stored.sha256[:7]


def _text(key: str, value: Any) -> str:
    if key in _EVERY_DISK:
        return f"{value or _EVERY_DISK[key]:,}"
    if value is None:
        return "none"
    if key.endswith("_s"):
        return durations.text(value)
    if key.endswith("_gb"):
        return f"{value}GB"
    if key == "env":
        return f"{len(value)} values"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value)
