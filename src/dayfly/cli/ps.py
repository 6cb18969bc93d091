"""`dayfly ps`: list the servers of this project that EC2 shows now."""

from __future__ import annotations

import click

from dayfly.cli import output, workspace
from dayfly.cli.find import zone_of_screen
from dayfly.cli.lookup import deployed_target, note_if_slow
from dayfly.cli.options import json_option, local_option, utc_option
from dayfly.project.runs.servers import list_servers
from dayfly.project.screens.servers import ps_document, ps_lines


@click.command("ps")
@utc_option
@local_option
@json_option
def ps_command(utc: bool, use_local: bool, as_json: bool) -> int:
    """List the servers of this project, as EC2 reports them now."""
    project = workspace.read_project()
    where = deployed_target(project, use_local=use_local, as_json=as_json)
    with note_if_slow("asking EC2"):
        listed = where.interpreter(project.name).run(list_servers())
    if as_json:
        output.document({"target": where.facts(), **ps_document(listed)})
        return 0
    zone = zone_of_screen(project, None, utc=utc)
    output.lines(ps_lines(listed, zone, local=use_local))
    return 0
