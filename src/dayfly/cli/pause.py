"""`dayfly pause JOB`: let the schedule start no run of a job until `dayfly resume JOB`."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from dayfly.cli import output, workspace
from dayfly.cli.find import zone_of
from dayfly.cli.lookup import deployed_for_changes, local_hints
from dayfly.cli.options import json_option, local_option
from dayfly.project import formatting
from dayfly.project.runs import references
from dayfly.project.runs.pauses import pause
from dayfly.project.screens.pauses import paused_document, since


@click.command("pause")
@click.argument("job", metavar="JOB")
@local_option
@json_option
def pause_command(job: str, use_local: bool, as_json: bool) -> int:
    """Skip a job's ticks until `resume`. A live run goes on, and `run` still starts one by hand."""
    project = workspace.read_project()
    job = references.known_job(job, project.jobs)
    where = deployed_for_changes(project, use_local=use_local, as_json=as_json)
    with local_hints(use_local=use_local):
        found = where.interpreter(project.name).run(pause(job, where.who))
    if as_json:
        output.document({"target": where.facts(), "job": job, "paused": paused_document(found)})
        return 0
    words = since(found, zone_of(project, job), datetime.now(UTC))
    output.line(output.labelled("paused", f"{job} {words}: its ticks are skipped. A deploy keeps the pause"))
    output.line(output.labelled("next", formatting.dayfly("resume", job, local=use_local)))
    return 0
