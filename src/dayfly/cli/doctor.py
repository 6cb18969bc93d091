"""`dayfly doctor`: look at the account and at what is deployed, and say what is to be done. It changes nothing."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import click

from dayfly.cli import output, target, workspace
from dayfly.cli.lookup import local_hints
from dayfly.cli.options import json_option, local_option
from dayfly.errors import UnfinishedError
from dayfly.project import formatting
from dayfly.project.doctor.account import credentials
from dayfly.project.doctor.examine import examine
from dayfly.project.screens.doctor import doctor_document, doctor_lines, for_target, to_do


@click.command("doctor")
@local_option
@json_option
def doctor_command(use_local: bool, as_json: bool) -> int:
    """Look for what would stop a deploy or a run, with the remedy of each."""
    project = workspace.read_project()
    where = target.find(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    with local_hints(use_local=use_local):
        scope = where.scope(project.name)
        whose = credentials(scope, project, is_local=where.is_local)
        found = where.interpreter(project.name).run(examine(scope, project, whose, ZoneInfo))
    found = tuple(for_target(finding, local=use_local) for finding in found)
    if as_json:
        output.document({"target": where.facts(), **doctor_document(found)})
    else:
        again = formatting.dayfly("doctor", local=use_local)
        output.lines(doctor_lines(found, f"do that, then {again}", formatting.dayfly("deploy", local=use_local)))
    return UnfinishedError.exit_code if to_do(found) else 0
