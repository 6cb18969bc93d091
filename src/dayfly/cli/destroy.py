"""`dayfly destroy`: delete the project in its region, then look for what is left. Results are deleted only if the user says so."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from dayfly.cli import output, target, workspace
from dayfly.cli.lookup import local_hints
from dayfly.cli.options import json_option, local_option
from dayfly.core import names
from dayfly.core.model import Project
from dayfly.errors import FileError, UnfinishedError
from dayfly.project import formatting
from dayfly.project.deploy.destroy import Destroyed, Inventory, destroy, take_inventory
from dayfly.project.deploy.functions import CUT_OFF


@click.command("destroy")
@click.option("--yes", is_flag=True, help="do not ask for the project's name")
@click.option("--keep-results", "results", flag_value="keep", help="keep the bucket with all results")
@click.option("--delete-results", "results", flag_value="delete", help="delete the bucket with all results")
@local_option
@json_option
def destroy_command(yes: bool, results: str | None, use_local: bool, as_json: bool) -> int:
    """Delete the project: servers, schedules, stack, and on request the results. Then look for what is left."""
    project = workspace.read_project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    scope = where.scope(project.name)
    with local_hints(use_local=use_local):
        inventory = where.interpreter(project.name).run(take_inventory(scope))
    if not as_json:
        output.lines(_inventory_lines(where, project, inventory))
    if inventory.is_empty:
        if as_json:
            output.document({"target": where.facts(), "left": [], "kept": None})
        return 0
    keep = _choose(results, inventory, yes=yes) == "keep"
    if not yes:
        _confirm(project)
    with local_hints(use_local=use_local):
        done = where.interpreter(project.name, log=_progress).run(destroy(scope, keep=keep))
    left = done.left.remains(keep=keep)
    kept = keep and done.left.has_bucket
    if as_json:
        output.document({"target": where.facts(), "left": left, "kept": scope.bucket if kept else None})
    else:
        output.lines(_after_lines(where, project, done, left, kept=kept))
    return UnfinishedError.exit_code if left else 0


def _choose(results: str | None, inventory: Inventory, *, yes: bool) -> str:
    """Return `keep` or `delete`: from the options, otherwise from a question to the user."""
    if results is not None:
        return results
    if not inventory.has_bucket:
        return "keep"
    if yes or not sys.stdin.isatty():
        raise FileError("choose what happens to the results", hint="--keep-results or --delete-results")
    answer = click.prompt("Results: [k]eep or [d]elete?", type=click.Choice(["k", "d"]), show_choices=False)
    return {"k": "keep", "d": "delete"}[answer]


def _confirm(project: Project) -> None:
    if not sys.stdin.isatty():
        raise FileError("no terminal to confirm on; nothing changed", hint="dayfly destroy --yes")
    if click.prompt("Type the project's name to continue") != project.name:
        raise FileError("name does not match; nothing changed")


def _progress(line: str, _fields: Mapping[str, Any]) -> None:
    output.note(f"  {line}")


def _inventory_lines(where: target.Target, project: Project, found: Inventory) -> list[str]:
    if found.is_empty:
        return [f"project {project.name} has nothing here: $0.00"]
    lines = [f"This deletes project {project.name}:"]
    for server in found.servers:
        lines.append(f"  now running   {server.run} on {server.id}: terminated, its result lost")
    if found.stopped:
        lines.append(f"  functions     stopped already: {CUT_OFF}, and this one goes on")
    if found.has_stack:
        lines.append(f"  deleted       schedules: {found.schedules}; stack {names.stack(project.name)}")
    if found.has_bucket:
        lines.append(f"  results       {_results(found)} in {where.bucket(project.name)}")
    return [*lines, ""]


def _after_lines(
    where: target.Target, project: Project, done: Destroyed, left: tuple[str, ...], *, kept: bool
) -> list[str]:
    local = where.is_local
    deploy, destroy_again = formatting.dayfly("deploy", local=local), formatting.dayfly("destroy", local=local)
    lines = [f"looked again at {datetime.now(UTC):%H:%M:%S} UTC, by tag and by name, in {where.region}"]
    if left:
        lines.append(output.labelled("left", ", ".join(left)))
        if done.why:
            lines.append(output.labelled("why", done.why))
        return [*lines, output.labelled("next", f"{destroy_again}, again")]
    if not kept:
        return [*lines, output.labelled("left", "nothing: $0.00"), output.labelled("next", deploy)]
    return [
        *lines,
        output.labelled("left", f"1 bucket, {_results(done.left)}, kept as you chose. Nothing else"),
        output.labelled(
            "", "read it without dayfly: latest/JOB.json names the last good run, out/JOB/... holds its files"
        ),
        output.labelled("", f"delete it: aws s3 rb s3://{where.bucket(project.name)} --force"),
        output.labelled("next", f"{deploy}   finds its history again"),
    ]


def _results(found: Inventory) -> str:
    return f"{found.objects:,} objects, {formatting.size(found.bytes)}"
