"""`dayfly destroy`: ends the whole project in its region, and looks again for what is left. Results go only when told so."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from dayfly.cli import output, target, workspace
from dayfly.cli.options import json_option, local_option
from dayfly.cloud import schedules, stack
from dayfly.cloud.clients import Aws, told
from dayfly.core import names
from dayfly.core.facts import Server
from dayfly.core.model import Project
from dayfly.errors import FileError
from dayfly.flows import calls
from dayfly.project.deploy import deploy

LEFT = 6
GONE_WITHIN_S = 180


@dataclass(frozen=True, kw_only=True)
class Whole:
    """All that a project has in a region now."""

    servers: tuple[Server, ...]
    schedules: int
    stack: bool
    bucket: bool
    objects: int
    size: int

    @property
    def nothing(self) -> bool:
        return not (self.servers or self.schedules or self.stack or self.bucket)


@click.command("destroy")
@click.option("--yes", is_flag=True, help="do not ask for the project's name")
@click.option("--keep-results", "results", flag_value="keep", help="keep the bucket with all results")
@click.option("--delete-results", "results", flag_value="delete", help="delete the bucket with all results")
@local_option
@json_option
def destroy_command(yes: bool, results: str | None, use_local: bool, as_json: bool) -> int:
    """End the project: servers, schedules, stack; keep or delete results; then look again."""
    project = workspace.read_project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    there = _look(where, project)
    if not as_json:
        output.lines(_lines(project, where, there))
    if there.nothing:
        if as_json:
            output.document({"target": where.facts(), "left": [], "kept": None})
        return 0
    keep = _choose(results, there, yes=yes) == "keep"
    if not yes:
        _confirm(project)
    _end(where, project, there, keep=keep)
    left = _look(where, project)
    kept = left.bucket and keep
    remains = [*(server.id for server in left.servers), *(["the stack"] if left.stack else [])]
    remains += ["the bucket"] if left.bucket and not keep else []
    if as_json:
        output.document(
            {"target": where.facts(), "left": remains, "kept": where.bucket(project.name) if kept else None}
        )
    else:
        output.lines(_after(where, project, left, remains, kept=kept))
    return LEFT if remains else 0


def _look(where: target.Target, project: Project) -> Whole:
    aws, bucket = where.aws, where.bucket(project.name)
    stands = told("look at the stack", lambda: stack.find(aws, project.name))
    exists = told("look at the bucket", lambda: stack.bucket_exists(aws, bucket, where.account))
    objects, size = told("count the results", lambda: stack.bucket_size(aws, bucket)) if exists else (0, 0)
    return Whole(
        servers=_live(where, project),
        schedules=len(schedules.listed(aws, project.name)) if stands else 0,
        stack=stands is not None,
        bucket=exists,
        objects=objects,
        size=size,
    )


def _live(where: target.Target, project: Project) -> tuple[Server, ...]:
    servers = where.interpreter(project.name).answer(calls.Servers())
    return tuple(server for server in servers if not server.gone)


def _choose(results: str | None, there: Whole, *, yes: bool) -> str:
    if results is not None or not there.bucket:
        return results or "keep"
    if yes or not sys.stdin.isatty():
        raise FileError("keep or delete the results? There is no default", hint="--keep-results or --delete-results")
    return (
        "keep"
        if click.prompt("Results: [k]eep or [d]elete?", type=click.Choice(["k", "d"]), show_choices=False) == "k"
        else "delete"
    )


def _confirm(project: Project) -> None:
    if not sys.stdin.isatty():
        raise FileError("not asked, so nothing was done: there is no terminal here", hint="dayfly destroy --yes")
    if click.prompt("Type the project's name to go on") != project.name:
        raise FileError("that is not its name; nothing was done")


def _end(where: target.Target, project: Project, there: Whole, *, keep: bool) -> None:
    """Schedules first, so that nothing starts any more; then servers; the stack with its sweeper last."""
    aws: Aws = where.aws
    if there.stack:
        if there.bucket and keep:
            told("say that the jobs are gone", lambda: deploy.retire(aws, where.bucket(project.name), where.who))
        removed = told("remove schedules", lambda: schedules.remove_all(aws, project.name))
        output.note(f"  schedules {removed}")
    _end_servers(where, project)
    if there.stack:
        started = time.monotonic()
        told("delete the stack", lambda: stack.delete(aws, project.name))
        output.note(f"  stack {time.monotonic() - started:.0f} s")
        # A launch that was under way when the schedules went may have made one more.
        _end_servers(where, project)
    if there.bucket and not keep:
        told("delete the bucket", lambda: stack.delete_bucket(aws, where.bucket(project.name)))
        output.note("  bucket")


def _end_servers(where: target.Target, project: Project) -> None:
    interpreter = where.interpreter(project.name)
    until = time.monotonic() + GONE_WITHIN_S
    ended: set[str] = set()
    while (live := _live(where, project)) and time.monotonic() < until:
        for server in live:
            if server.id not in ended:
                interpreter.answer(calls.EndServer(server.id))
                ended.add(server.id)
        time.sleep(0.5 if where.local else 3)
    if ended:
        output.note(f"  servers ended {len(ended)}")


def _lines(project: Project, where: target.Target, there: Whole) -> list[str]:
    if there.nothing:
        return [f"project {project.name} has nothing here: $0.00"]
    lines = [f"project {project.name}, all of it:"]
    for server in there.servers:
        lines.append(f"  now running   {server.run} on {server.id}: it will be ended, its result lost")
    if there.stack:
        lines.append(f"  goes          schedules: {there.schedules}; stack {names.stack(project.name)}")
    if there.bucket:
        bucket = where.bucket(project.name)
        lines.append(f"  results       {there.objects:,} objects, {_size(there.size)} in {bucket}")
    return [*lines, ""]


def _after(where: target.Target, project: Project, left: Whole, remains: list[str], *, kept: bool) -> list[str]:
    bucket, local = where.bucket(project.name), " --local" if where.local else ""
    lines = [f"looked again at {datetime.now(UTC):%H:%M:%S} UTC, by tag and by name, in {where.region}"]
    if remains:
        return [
            *lines,
            output.labelled("left", ", ".join(remains)),
            output.labelled("next", f"dayfly destroy{local}, again"),
        ]
    if not kept:
        return [*lines, output.labelled("left", "nothing: $0.00"), output.labelled("next", f"dayfly deploy{local}")]
    return [
        *lines,
        output.labelled(
            "left", f"1 bucket, {left.objects:,} objects, {_size(left.size)}, kept at your word. Nothing else"
        ),
        output.labelled(
            "", "read it without dayfly: latest/JOB.json names the last good run, out/JOB/... holds its files"
        ),
        output.labelled("", f"delete it: aws s3 rb s3://{bucket} --force"),
        output.labelled("next", f"dayfly deploy{local}   finds its history again"),
    ]


def _size(count: int) -> str:
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count} bytes"
