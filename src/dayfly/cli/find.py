"""The run that a RUN argument means, looked up where the command goes."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from dayfly.cli.target import Target
from dayfly.core.model import Project
from dayfly.core.names import RunName
from dayfly.project.runs import references
from dayfly.project.runs.look import find_run as looking


def zone_of(project: Project, job: str) -> ZoneInfo:
    """The job's zone; UTC for a job that is in the file no more."""
    return ZoneInfo(project.jobs[job].timezone if job in project.jobs else "UTC")


def find_run(where: Target, project: Project, text: str) -> RunName:
    """Raises FileError for what is no name of a run, NotFoundError with the nearest names when none or two fit."""
    ref = references.parse(text)
    return where.interpreter(project.name).run(looking(ref, zone_of(project, ref.job)))
