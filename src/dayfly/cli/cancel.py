"""`dayfly cancel RUN`: cancel a live run. Its server is terminated; its log so far is kept."""

from __future__ import annotations

import click

from dayfly.cli import lookup, output, target, workspace
from dayfly.cli.find import find_run
from dayfly.cli.options import json_option, local_option
from dayfly.project import formatting
from dayfly.project.runs.cancel import cancel


@click.command("cancel")
@click.argument("run_name", metavar="RUN")
@local_option
@json_option
def cancel_command(run_name: str, use_local: bool, as_json: bool) -> int:
    """Cancel a live run: its server is terminated, its log so far is kept."""
    project = workspace.read_project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    with lookup.local_hints(use_local=use_local):
        run = find_run(where, project, run_name)
        ending = cancel(run, where.actor(project.name), by=where.who, poll_s=where.poll_s)
        closed = where.interpreter(project.name).run(ending)
    if as_json:
        output.document(
            {"target": where.facts(), "run": str(run), "outcome": closed.outcome, "ended_by": closed.ended_by}
        )
    else:
        output.line(output.labelled(closed.outcome, f"{run}: {closed.detail or closed.ended_by}"))
        output.line(output.labelled("next", formatting.dayfly("logs", run.job, local=use_local)))
    return 0 if closed.outcome == "cancelled" else 1
