"""`dayfly permissions`: say what the roles of a project may do, and why. Reads dayfly.toml alone; no cloud is called."""

from __future__ import annotations

import json

import click

from dayfly.cli import output, workspace
from dayfly.cli.options import json_option
from dayfly.errors import FileError
from dayfly.project.runs import references
from dayfly.project.screens.permissions import deployer_document, role_documents, role_lines, roles_of


@click.command("permissions")
@click.argument("job", metavar="[JOB]", required=False)
@click.option("--deployer", is_flag=True, help="print the policy that the person who deploys needs, as JSON")
@json_option
def permissions_command(job: str | None, deployer: bool, as_json: bool) -> int:
    """Say what the command of a job, its server, the functions and the schedules may do. Asks no cloud."""
    project = workspace.read_project()
    if deployer:
        if job is not None:
            raise FileError(
                "--deployer is about the whole project, not about a job", hint="dayfly permissions --deployer"
            )
        output.line(json.dumps(deployer_document(project), indent=2))
        return 0
    one = None
    if job is not None:
        one = project.jobs[references.known_job(job, project.jobs)]
    roles = roles_of(project, one)
    if as_json:
        output.document({"roles": role_documents(roles)})
        return 0
    output.lines(role_lines(project, roles))
    output.line(output.labelled("next", "dayfly permissions --json"))
    return 0
