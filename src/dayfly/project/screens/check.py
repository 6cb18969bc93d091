"""Screen of `check`: each job's next tick, servers and limits; the warnings; and what each server's bundle holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.core import names, schedule
from dayfly.core.model import Job, Project
from dayfly.project import formatting
from dayfly.project.file import durations
from dayfly.project.file.new_account import FIRST_QUOTA, beyond_first_quota, not_on_the_free_plan
from dayfly.project.file.problems import Problem

Zones = Callable[[str], ZoneInfo]


@dataclass(frozen=True, kw_only=True)
class BundleSummary:
    """The bundle that the servers of these jobs get.

    `platform`: what its packages were built for; None with python = "none". `source`: the file that lists them. `unknown`: why
    the bundle was not built here; then the rest is not known.
    """

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
    """Return title, table and warnings. `errors`: the number of problems outside the file, that is, in bundles."""
    counts = [
        formatting.number_of(len(project.jobs), "job"),
        formatting.number_of(len(project.regions), "region"),
        _number_or_no(errors, "error"),
        _number_or_no(len(warnings), "warning"),
    ]
    lines = [f"dayfly.toml  {', '.join(counts)}", "", *_table(project, now, zones), ""]
    for warning in warnings:
        (label, first), *more = warning.lines("warning")
        lines.append(formatting.labelled(label, first))
        lines += [formatting.labelled(label, line, width=3, indent=9) for label, line in more]
    return tuple(lines)


def new_account_lines(project: Project) -> tuple[str, ...]:
    """Return a note about jobs that a new account may not be able to run yet; none if every job is small."""
    jobs = tuple(project.jobs.values())
    parts = []
    free, large = not_on_the_free_plan(jobs), beyond_first_quota(jobs)
    if free:
        parts.append(f"on AWS's free plan {', '.join(free)} cannot start")
    if large:
        parts.append(f"more than {FIRST_QUOTA} vCPUs may need a higher quota: {', '.join(large)}")
    if not parts:
        return ()
    note = formatting.labelled("note", f"in a new account {'; '.join(parts)}")
    return (note, formatting.labelled("do", "dayfly doctor   (looks it up in yours)", width=3, indent=9))


def bundle_lines(bundles: Sequence[BundleSummary]) -> tuple[str, ...]:
    """Return one line per bundle; it names its jobs if there is more than one bundle."""
    if len(bundles) == 1:
        return (formatting.labelled("bundle", _describe(bundles[0])),)
    return tuple(formatting.labelled("bundle", f"{', '.join(one.jobs)}: {_describe(one)}") for one in bundles)


def check_document(
    project: Project, warnings: Sequence[Problem], bundles: Sequence[BundleSummary], now: datetime, zones: Zones
) -> dict[str, Any]:
    """Return the screen as JSON, with times in UTC and null for what is unknown."""
    return {
        "project": project.name,
        "account": project.account,
        "regions": list(project.regions),
        "jobs": [_job_document(job, now, zones) for job in project.jobs.values()],
        "warnings": [
            {"path": each.path, "message": each.message, "remedies": list(each.remedies)} for each in warnings
        ],
        "bundles": [_bundle_document(one) for one in bundles],
    }


def _number_or_no(count: int, noun: str) -> str:
    if count == 0:
        return f"no {noun}s"
    return formatting.number_of(count, noun)


def _table(project: Project, now: datetime, zones: Zones) -> tuple[str, ...]:
    """Return the table of jobs. The title names the zone if all jobs share it. The UTC column is left out if no row needs it."""
    jobs = project.jobs.values()
    shared = {job.timezone for job in jobs}
    title = "NEXT"
    if len(shared) == 1:
        title = f"NEXT ({min(shared)})"
    rows = [("JOB", title, "UTC", "THEN", "SERVER", "LIMIT", "GONE BY")]
    rows += [_job_row(job, now, zones, name_zone=len(shared) > 1) for job in jobs]
    if shared == {"UTC"} or all(row[2] == "-" for row in rows[1:]):
        return formatting.table([(*row[:2], *row[3:]) for row in rows])
    return formatting.table(rows)


def _job_row(job: Job, now: datetime, zones: Zones, *, name_zone: bool) -> tuple[str, str, str, str, str, str, str]:
    parsed = schedule.parse(job.schedule, zones(job.timezone))
    due, utc = "-", "-"
    for tick in schedule.next_ticks(parsed, now, 1):
        due, utc = formatting.day_time(tick, parsed.zone, now), formatting.date_time(tick, UTC)
        if name_zone:
            due += f" {job.timezone}"
    return (
        job.name,
        due,
        utc,
        schedule.describe(parsed),
        " or ".join(job.servers),
        durations.text(job.time_limit_s),
        f"+{durations.text(job.lifetime_s)}",
    )


def _job_document(job: Job, now: datetime, zones: Zones) -> dict[str, Any]:
    parsed = schedule.parse(job.schedule, zones(job.timezone))
    ticks = [names.utc_text(tick) for tick in schedule.next_ticks(parsed, now, 1)]
    return {
        "name": job.name,
        "next": next(iter(ticks), None),
        "schedule": list(job.schedule),
        "expressions": list(schedule.expressions(parsed)),
        "timezone": job.timezone,
        "servers": list(job.servers),
        "market": job.market,
        "time_limit_s": job.time_limit_s,
        "lifetime_s": job.lifetime_s,
    }


def _bundle_document(bundle: BundleSummary) -> dict[str, Any]:
    document: dict[str, Any] = {
        "jobs": list(bundle.jobs),
        "files": bundle.files,
        "bytes": bundle.size,
        "wheels": bundle.wheels,
        "platform": bundle.platform,
        "source": bundle.source,
        "reason": None,
    }
    if bundle.unknown:
        document |= {"files": None, "bytes": None, "wheels": None, "reason": bundle.unknown}
    return document


def _describe(bundle: BundleSummary) -> str:
    if bundle.unknown:
        return bundle.unknown
    if not bundle.files and not bundle.wheels:
        return "empty: the server gets only the command"
    files = f"{formatting.number_of(bundle.files, 'file')}, {formatting.size(bundle.size)}"
    if bundle.platform is None:
        return f'{files}; no dependencies (python = "none")'
    if not bundle.wheels:
        return f"{files}; no dependencies; built for {bundle.platform}"
    wheels = f"{files}, and {formatting.number_of(bundle.wheels, 'wheel')} for {bundle.platform}"
    if bundle.source:
        return f"{wheels} (from {bundle.source})"
    return wheels
