"""`dayfly show RUN`: show each step of one run and how it ended."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import click

from dayfly.cli import output, workspace
from dayfly.cli.find import find_run_or_tick, zone_of
from dayfly.cli.lookup import deployed_target, local_hints, note_if_slow
from dayfly.cli.options import json_option, local_option, utc_option
from dayfly.project.runs.details import look_up
from dayfly.project.screens.run import show_document, show_lines


@click.command("show")
@click.argument("run_name", metavar="RUN")
@utc_option
@local_option
@json_option
def show_command(run_name: str, utc: bool, use_local: bool, as_json: bool) -> int:
    """Show one run: its steps, how it ended or, while it runs, what will end its server."""
    project = workspace.read_project()
    where = deployed_target(project, use_local=use_local, as_json=as_json)
    with note_if_slow("reading the records of the run"), local_hints(use_local=use_local):
        run = find_run_or_tick(where, project, run_name)
        details = where.interpreter(project.name).run(look_up(run))
    if as_json:
        output.document({"target": where.facts(), **show_document(details, local=use_local)})
        return 0
    zone = ZoneInfo("UTC") if utc else zone_of(project, run.job)
    output.lines(show_lines(details, zone, local=use_local))
    return 0
