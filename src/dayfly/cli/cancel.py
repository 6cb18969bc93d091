"""`dayfly cancel RUN`: cancel a live run. Its command is ended, what it wrote is kept, and its server goes."""

from __future__ import annotations

import click

from dayfly.cli import lookup, output, target, workspace
from dayfly.cli.find import find_run, zone_of
from dayfly.cli.options import json_option, local_option
from dayfly.core.reasons import Outcome
from dayfly.project.runs.cancel import cancel
from dayfly.project.screens.outcome import outcome_lines, outcome_of


@click.command("cancel")
@click.argument("run_name", metavar="RUN")
@click.option("--now", "at_once", is_flag=True, help="terminate its server at once; what is not stored yet is lost")
@local_option
@json_option
def cancel_command(run_name: str, at_once: bool, use_local: bool, as_json: bool) -> int:
    """Cancel a live run: its command gets TERM, 30 s later KILL; its log and outputs so far are kept."""
    project = workspace.read_project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    with lookup.local_hints(use_local=use_local):
        run = find_run(where, project, run_name)
        if not at_once and not as_json:
            output.note(output.labelled("cancel", f"{run}: its command has 30 s to end; --now ends its server at once"))
        ending = cancel(run, where.actor(project.name), by=where.who, poll_s=where.poll_s, at_once=at_once)
        facts = where.interpreter(project.name).run(ending)
    end = outcome_of(facts, local=use_local)
    if as_json:
        ended_by = getattr(facts.attempt.closed, "ended_by", None)
        output.document({"target": where.facts(), **end.document(), "kept": end.kept or None, "ended_by": ended_by})
    else:
        output.lines(outcome_lines(facts, zone_of(project, run.job), receipt_stored=True, local=use_local))
    return int(end.outcome != Outcome.CANCELLED)
