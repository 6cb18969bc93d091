"""`check`: what a dayfly.toml means: each job's next tick, its servers and its limit; warnings; what travels to the server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.core import names, schedule
from dayfly.core.model import Job, Project
from dayfly.project.file import durations
from dayfly.project.file.problems import Problem
from dayfly.project.screens import words

Zones = Callable[[str], ZoneInfo]


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What the servers of these jobs get. `platform` in words, None: no Python was asked; `unknown`: why it was not built here."""

    jobs: tuple[str, ...]
    files: int = 0
    size: int = 0
    wheels: int = 0
    platform: str | None = None
    source: str | None = None
    unknown: str = ""


def check_lines(
    project: Project, warnings: Sequence[Problem], errors: int, now: datetime, zones: Zones
) -> tuple[str, ...]:
    """Title, table and warnings. `errors`: problems found beside the file itself (bundles)."""
    counted = [
        words.count(len(project.jobs), "job"),
        words.count(len(project.regions), "region"),
        words.count(errors, "error") if errors else "no errors",
        words.count(len(warnings), "warning") if warnings else "no warnings",
    ]
    lines = [f"dayfly.toml  {', '.join(counted)}", "", *_table(project, now, zones), ""]
    for warning in warnings:
        (label, text), *more = warning.lines("warning")
        lines += [f"{label:<8} {text}", *(f"{'':<8} {label:<3} {text}" for label, text in more)]
    return tuple(lines)


def packed_lines(packed: Sequence[Packed]) -> tuple[str, ...]:
    """A line per different bundle; the jobs are named when there is more than one."""
    return tuple(
        f"{'bundle':<8} {', '.join(one.jobs) + ': ' if len(packed) > 1 else ''}{_packed(one)}" for one in packed
    )


def check_document(
    project: Project, warnings: Sequence[Problem], packed: Sequence[Packed], now: datetime, zones: Zones
) -> dict[str, Any]:
    """The same for programs; times in UTC."""
    return {
        "project": project.name,
        "account": project.account,
        "regions": list(project.regions),
        "jobs": [_job_document(job, now, zones) for job in project.jobs.values()],
        "warnings": [
            {"path": each.path, "message": each.message, "remedies": list(each.remedies)} for each in warnings
        ],
        "bundles": [
            {
                "jobs": list(one.jobs),
                "files": None if one.unknown else one.files,
                "bytes": None if one.unknown else one.size,
                "wheels": None if one.unknown else one.wheels,
                "platform": one.platform,
                "source": one.source,
                "reason": one.unknown or None,
            }
            for one in packed
        ],
    }


def _table(project: Project, now: datetime, zones: Zones) -> tuple[str, ...]:
    shared = {job.timezone for job in project.jobs.values()}
    zone = shared.pop() if len(shared) == 1 else None
    rows: list[tuple[str, ...]] = [
        ("JOB", f"NEXT ({zone})" if zone else "NEXT", "UTC", "THEN", "SERVER", "LIMIT", "GONE BY")
    ]
    for job in project.jobs.values():
        meant = schedule.parse(job.schedule, zones(job.timezone))
        ticks = schedule.next_ticks(meant, now, 1)
        next_, utc = "-", "-"
        if ticks:
            next_ = words.day_time(ticks[0], meant.zone, now) + ("" if zone else f" {job.timezone}")
            utc = words.utc_day_time(ticks[0], UTC)
        rows.append(
            (
                job.name,
                next_,
                utc,
                schedule.describe(meant),
                " or ".join(job.servers),
                durations.text(job.time_limit_s),
                f"+{durations.text(job.lifetime_s)}",
            )
        )
    if all(row[2] == row[1] == "-" for row in rows[1:]) or zone == "UTC":
        rows = [(*row[:2], *row[3:]) for row in rows]
    return words.table(rows)


def _job_document(job: Job, now: datetime, zones: Zones) -> dict[str, Any]:
    meant = schedule.parse(job.schedule, zones(job.timezone))
    ticks = schedule.next_ticks(meant, now, 1)
    return {
        "name": job.name,
        "next": names.utc_text(ticks[0]) if ticks else None,
        "schedule": list(job.schedule),
        "expressions": list(schedule.expressions(meant)),
        "timezone": job.timezone,
        "servers": list(job.servers),
        "market": job.market,
        "time_limit_s": job.time_limit_s,
        "lifetime_s": job.lifetime_s,
    }


def _packed(one: Packed) -> str:
    if one.unknown:
        return one.unknown
    if not one.files and not one.wheels:
        return "nothing: the server gets the command alone"
    said = f"{words.count(one.files, 'file')}, {words.size(one.size)}"
    if one.platform is None:
        return f'{said}; no dependencies (python = "none")'
    if not one.wheels:
        return f"{said}; no dependencies found; for {one.platform}"
    source = f" (from {one.source})" if one.source else ""
    return f"{said}, with {words.count(one.wheels, 'wheel')} for {one.platform}{source}"
