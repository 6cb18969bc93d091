"""`dayfly retry RUN`: start one more attempt of a run that is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dayfly.cli import launching, lookup, output, target, workspace
from dayfly.cli.find import find_run
from dayfly.cli.follow import follow
from dayfly.cli.options import json_option, local_option
from dayfly.core.names import RunName
from dayfly.flows.walk import walk
from dayfly.project import formatting


@click.command("retry")
@click.argument("run_name", metavar="RUN")
@click.option("--same-code", is_flag=True, help="use the code of the last attempt instead of the code deployed now")
@click.option("--wait", is_flag=True, help="watch the run to its end; exit 0 only if it succeeded")
@local_option
@json_option
def retry_command(run_name: str, same_code: bool, wait: bool, use_local: bool, as_json: bool) -> int:
    """Run one more attempt of a run that is over, with what is deployed now."""
    project = workspace.read_project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    with lookup.local_hints(use_local=use_local):
        run = find_run(where, project, run_name)
        # A run whose server is gone may not be closed yet. Take the steps that are due, instead of waiting for the next sweep.
        where.interpreter(project.name).run(walk(run, where.actor(project.name)))
    answer = launching.send(where, project.name, {"retry": str(run), "same_code": same_code})
    if wait or answer.get("outcome"):  # it is over already when EC2 gave no server
        return follow(where, project, run, as_json=as_json, attempt=int(answer.get("attempt") or 1))
    if as_json:
        output.document({"target": where.facts(), **answer})
    else:
        output.lines(_lines(run, answer, use_local=use_local))
    return 0


def _lines(run: RunName, answer: Mapping[str, Any], *, use_local: bool) -> tuple[str, str]:
    server = answer.get("server") or "no server yet"
    return (
        output.labelled("run", f"{run}, attempt {answer.get('attempt')} on {server}"),
        output.labelled("next", formatting.dayfly("logs", run.job, "-f", local=use_local)),
    )
