"""`dayfly deploy`: shows what changes, asks, does it. And the quiet deploy that `run --local` and the demo use."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import click

import dayfly
from dayfly.cli import output, target, workspace
from dayfly.cli.options import json_option, local_option
from dayfly.cloud.clients import told
from dayfly.core import names
from dayfly.core.model import Project
from dayfly.errors import FileError
from dayfly.project.deploy import deploy
from dayfly.project.deploy.plan import JobChange, Plan, newest

CHANGES = 10
_SIGNS = {"new": "+", "changed": "~", "gone": "-"}


@click.command("deploy")
@click.option(
    "--plan", "plan_only", is_flag=True, help="show what would change and stop (exit 0: nothing, 10: changes)"
)
@click.option("--yes", is_flag=True, help="do not ask")
@local_option
@json_option
def deploy_command(plan_only: bool, yes: bool, use_local: bool, as_json: bool) -> int:
    """Make the cloud match dayfly.toml: shows what changes, then asks."""
    project = workspace.read_project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    started = time.monotonic()
    prepared = prepare(where, project)
    if not as_json:
        output.lines(_plan_lines(project, prepared))
    if plan_only:
        if as_json:
            output.document({"target": where.facts(), "plan": _plan_facts(prepared.plan)})
        return 0 if prepared.plan.empty else CHANGES
    if not yes and not prepared.plan.empty:
        _ask(where)
    done = told("deploy", lambda: deploy.apply(where.aws, project, prepared, where.who, _progress))
    if as_json:
        output.document({"target": where.facts(), "plan": _plan_facts(prepared.plan), "schedules": done.scheduled})
        return 0
    output.lines(_done_lines(project, prepared.plan, done, time.monotonic() - started, local=use_local))
    return 0


def prepare(where: target.Target, project: Project, home: Path | None = None) -> deploy.Prepared:
    """Looks and builds; says on stderr what takes its time. `home`: the project's folder, when it is not the usual one."""
    _refuse_setup(where, project)
    folder = deploy.Folder(path=home or workspace.project_folder(), cache=workspace.folder() / ".dayfly" / "cache")
    now, account = datetime.now(UTC), where.account
    return told(
        "look at what is deployed",
        lambda: deploy.prepare(where.aws, project, account, folder, where.who, ZoneInfo, now, _progress),
    )


def quietly(where: target.Target, project: Project, home: Path | None = None) -> deploy.Prepared:
    """Deploys without asking and without a word but progress: for the local cloud only."""
    assert where.local is not None
    prepared = prepare(where, project, home)
    told("deploy", lambda: deploy.apply(where.aws, project, prepared, where.who, lambda _part: None))
    return prepared


def _refuse_setup(where: target.Target, project: Project) -> None:
    """A server that is a process has no second user and no package manager of its own."""
    wanting = [job.name for job in project.jobs.values() if job.setup]
    if wanting and where.local is not None and where.local.facts.get("guests") == "process":
        raise FileError(
            f"jobs.{wanting[0]}.setup needs a vm guest: here servers are processes, with one user and no package manager",
            hint="dayfly local up --guest vm, or try it without setup",
        )


def _ask(where: target.Target) -> None:
    if not sys.stdin.isatty():
        raise FileError("not asked, so nothing was done: there is no terminal here", hint="dayfly deploy --yes")
    name = "the local cloud" if where.local else f"AWS {where.account}"
    if not click.confirm(f"Deploy to {name}?", default=False):
        raise FileError("nothing was done")


def _progress(words: str) -> None:
    output.note(f"  {words}")


def _plan_lines(project: Project, prepared: deploy.Prepared) -> list[str]:
    was = newest(prepared.there)
    by = next((version.deployed_by for version in prepared.there.values() if version.effective_from == was), "")
    lines = [output.labelled("was", f"deployed {names.utc_text(was)} by {by}" if was else "not deployed yet")]
    made = next(iter(prepared.built.values()), None)
    commit = (
        f"commit {made.commit[:7]} ({'changed since' if made.dirty else 'clean'}), " if made and made.commit else ""
    )
    lines += [output.labelled("now", f"{commit}dayfly {dayfly.__version__}"), "", "change"]
    lines += [line for change in prepared.plan.changes if change.kind != "same" for line in _change_lines(change)]
    same = [change.name for change in prepared.plan.changes if change.kind == "same"]
    if same:
        lines.append(f"  = {', '.join(same)}")
    if prepared.plan.stack == "new":
        lines.append(f"  + stack {names.stack(project.name)}: roles, two functions, queue, topic, alarm, log groups")
    elif prepared.plan.stack:
        lines.append(f"  ~ stack {names.stack(project.name)}")
    if prepared.spot_role_missing:
        lines.append(
            "  + role AWSServiceRoleForEC2Spot of the account: its first spot server fails without it; it costs nothing"
        )
    if prepared.plan.empty:
        lines.append("  nothing")
    return [*lines, ""]


def _change_lines(change: JobChange) -> list[str]:
    first, *more = change.words
    return [f"  {_SIGNS[change.kind]} {change.name:<9} {first}", *(f"    {'':<9} {word}" for word in more)]


def _done_lines(project: Project, planned: Plan, done: deploy.Done, seconds: float, *, local: bool) -> list[str]:
    if planned.empty:
        return ["nothing to do: the cloud is as the file says", output.labelled("next", _next(project, local=local))]
    words = {"new": "is new", "changed": "has its new version at the next tick", "gone": "is gone"}
    news = [f"{change.name} {words[change.kind]}" for change in planned.changes if change.kind != "same"]
    stack = f"stack {planned.stack or 'not touched'}"
    return [
        f"  {stack} | schedules {done.scheduled} ({done.schedules} changed) | {done.uploaded} files stored",
        f"deployed in {seconds:.0f} s: {', '.join(news) or 'the stack'}",
        output.labelled("next", _next(project, local=local)),
    ]


def _next(project: Project, *, local: bool) -> str:
    return f"dayfly run {next(iter(project.jobs))}{' --local' if local else ''} --wait"


def _plan_facts(planned: Plan) -> dict[str, object]:
    changes = [{"job": each.name, "change": each.kind, "words": list(each.words)} for each in planned.changes]
    return {
        "empty": planned.empty,
        "stack": planned.stack or "same",
        "jobs": changes,
        "schedules": len(planned.schedules),
    }
