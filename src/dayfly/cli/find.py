"""Find the run that a RUN argument names, and the time zone for the times of a screen."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from dayfly.cli.target import Target
from dayfly.core.model import Project
from dayfly.core.names import RunName
from dayfly.project.runs import find, references

_UTC = "UTC"


def find_run(where: Target, project: Project, text: str) -> RunName:
    """Return the run that `text` names. Raises FileError if it is malformed, NotFoundError if no run or several match."""
    ref = references.parse(text)
    return where.interpreter(project.name).run(find.find_run(ref, zone_of(project, ref.job)))


def find_run_or_tick(where: Target, project: Project, text: str) -> RunName:
    """Return the run that `text` names, or the tick that never became one. Raises as `find_run`."""
    ref = references.parse(text)
    found = find.find_run_or_tick(ref, zone_of(project, ref.job), project.keep_s, ZoneInfo)
    return where.interpreter(project.name).run(found)


def zone_of(project: Project, job: str) -> ZoneInfo:
    """Return the job's time zone; UTC for a job that is no longer in the file."""
    if job in project.jobs:
        return ZoneInfo(project.jobs[job].timezone)
    return ZoneInfo(_UTC)


def zone_of_screen(project: Project, job: str | None, *, utc: bool) -> ZoneInfo:
    """Return the time zone of a screen: the job's, or the one that all jobs share, otherwise UTC."""
    if utc:
        return ZoneInfo(_UTC)
    if job is not None:
        return zone_of(project, job)
    zones = {each.timezone for each in project.jobs.values()}
    if len(zones) == 1:
        return ZoneInfo(zones.pop())
    return ZoneInfo(_UTC)
