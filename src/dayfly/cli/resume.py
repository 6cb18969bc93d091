"""`dayfly resume JOB`: let the schedule of a paused job start runs again."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from dayfly.cli import output, workspace
from dayfly.cli.find import zone_of
from dayfly.cli.lookup import deployed_for_changes, local_hints
from dayfly.cli.options import json_option, local_option
from dayfly.core import schedule
from dayfly.core.facts import NotStored
from dayfly.core.model import Project
from dayfly.project import formatting
from dayfly.project.runs import references
from dayfly.project.runs.pauses import resume
from dayfly.project.screens.pauses import since


@click.command("resume")
@click.argument("job", metavar="JOB")
@local_option
@json_option
def resume_command(job: str, use_local: bool, as_json: bool) -> int:
    """Let a paused job's schedule start runs again. Ticks that were skipped stay skipped; `run --tick` runs one."""
    project = workspace.read_project()
    job = references.known_job(job, project.jobs)
    where = deployed_for_changes(project, use_local=use_local, as_json=as_json)
    with local_hints(use_local=use_local):
        before = where.interpreter(project.name).run(resume(job))
    was_paused = not isinstance(before, NotStored)
    if as_json:
        output.document({"target": where.facts(), "job": job, "was_paused": was_paused})
        return 0
    words = f"{job} was not paused"
    if not isinstance(before, NotStored):
        words = f"{job}, paused {since(before, zone_of(project, job), datetime.now(UTC))}"
    output.line(output.labelled("resumed", f"{words}; {_next_tick(project, job)}"))
    output.line(output.labelled("next", formatting.dayfly("runs", job, local=use_local)))
    return 0


def _next_tick(project: Project, job: str) -> str:
    """Return when the job is due next, by the file."""
    zone, now, expressions = zone_of(project, job), datetime.now(UTC), project.jobs[job].schedule
    if not expressions:
        return "it has no schedule"
    for tick in schedule.next_ticks(schedule.parse(expressions, zone), now, 1):
        return f"next tick {formatting.day_time(tick, zone, now)} {formatting.zone_name(zone)}"
    return "no tick is due any more"
