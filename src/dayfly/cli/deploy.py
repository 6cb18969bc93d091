"""`dayfly deploy`: show what changes, ask, and apply it; and the deploy without questions that `run --local` and the demo use."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

import dayfly
from dayfly.cli import local_cloud, output, target, workspace
from dayfly.cli.lookup import local_hints
from dayfly.cli.options import json_option, local_option
from dayfly.core import names
from dayfly.core.model import Project
from dayfly.errors import FileError
from dayfly.project import formatting
from dayfly.project.bundle.job_bundle import Bundle
from dayfly.project.deploy import costs, deploy
from dayfly.project.deploy.functions import CUT_OFF
from dayfly.project.deploy.packages import Folder
from dayfly.project.deploy.plan import JobChange, Plan, last_effective_from

CHANGES = 10
"""The exit code of `--plan` when a deploy would change something."""
_SIGNS = {"new": "+", "changed": "~", "gone": "-"}
_STACK_DONE = {"": "unchanged", "new": "new", "again": "made again", "changes": "changed"}
_NEWS = {"new": "is new", "changed": "has its new version at the next tick", "gone": "is gone"}


@click.command("deploy")
@click.option(
    "--plan", "plan_only", is_flag=True, help="show what would change and stop (exit 0: nothing, 10: changes)"
)
@click.option("--yes", is_flag=True, help="do not ask")
@local_option
@json_option
def deploy_command(plan_only: bool, yes: bool, use_local: bool, as_json: bool) -> int:
    """Make the cloud match dayfly.toml: show what changes, then ask."""
    project = workspace.read_project()
    where = target.for_changes(project, use_local=use_local)
    target.announce(where, as_json=as_json)
    started = time.monotonic()
    with local_hints(use_local=use_local):
        prepared = prepare(where, project)
    if not as_json:
        output.lines(_plan_lines(project, prepared, local=use_local))
    if plan_only:
        if as_json:
            output.document({"target": where.facts(), "plan": _plan_facts(prepared)})
        return 0 if prepared.plan.empty else CHANGES
    if not yes and not prepared.plan.empty:
        _confirm(where)
    with local_hints(use_local=use_local):
        done = where.interpreter(project.name, log=_progress).run(deploy.apply(where.scope(project.name), prepared))
    if as_json:
        schedules = len(prepared.plan.schedules)
        output.document({"target": where.facts(), "plan": _plan_facts(prepared), "schedules": schedules})
    else:
        output.lines(_done_lines(project, prepared.plan, done, time.monotonic() - started, local=use_local))
    return 0


def prepare(where: target.Target, project: Project, home: Path | None = None) -> deploy.Prepared:
    """Look at the account, build and plan; print slow steps to stderr. `home`: the project's folder, if it is not the usual one."""
    _refuse_setup(where, project)
    folder = Folder(path=home or workspace.project_folder(), cache=workspace.folder() / ".dayfly" / "cache")
    scope = where.scope(project.name)
    found = where.interpreter(project.name).run(deploy.look(scope, project))
    return deploy.prepare(scope, project, found, folder, ZoneInfo, datetime.now(UTC), _say_progress)


def quietly(where: target.Target, project: Project, home: Path | None = None) -> deploy.Prepared:
    """Deploy to the local cloud without asking; print only slow steps of the build."""
    prepared = prepare(where, project, home)
    where.interpreter(project.name).run(deploy.apply(where.scope(project.name), prepared))
    return prepared


def _refuse_setup(where: target.Target, project: Project) -> None:
    """Raise FileError for a job with `setup` if servers are processes: they have one user and no package manager."""
    with_setup = [job.name for job in project.jobs.values() if job.setup]
    if with_setup and _servers_are_processes(where):
        raise FileError(
            f"jobs.{with_setup[0]}.setup needs a vm guest: servers are processes here, with one user and no package manager",
            hint="dayfly local up --guest vm, or try it without setup",
        )


def _servers_are_processes(where: target.Target) -> bool:
    match where.local:
        case local_cloud.LocalCloud(guests=local_cloud.PROCESS):
            return True
    return False


def _confirm(where: target.Target) -> None:
    if not sys.stdin.isatty():
        raise FileError("no terminal to confirm on; nothing changed", hint="dayfly deploy --yes")
    name = "the local cloud" if where.is_local else f"AWS {where.account}"
    if not click.confirm(f"Deploy to {name}?", default=False):
        raise FileError("nothing changed")


def _say_progress(line: str) -> None:
    output.note(f"  {line}")


def _progress(line: str, _fields: Mapping[str, Any]) -> None:
    _say_progress(line)


def _plan_lines(project: Project, prepared: deploy.Prepared, *, local: bool) -> list[str]:
    return [
        output.labelled("was", _last_deploy(prepared)),
        output.labelled("now", f"{_commit(prepared)}dayfly {dayfly.__version__}"),
        "",
        "change",
        *(_change_lines(project, prepared) or ["  nothing"]),
        *(f"paused   {job} stays paused: dayfly resume {job}" for job in prepared.found.paused if job in project.jobs),
        *_cost_lines(prepared, local=local),
        "",
    ]


def _cost_lines(prepared: deploy.Prepared, *, local: bool) -> list[str]:
    """Return what the project costs from now on, if it cost nothing before."""
    if local or prepared.plan.stack != "new":
        return []
    return [output.labelled("cost", costs.said())]


def _last_deploy(prepared: deploy.Prepared) -> str:
    versions = prepared.found.versions
    since = last_effective_from(versions)
    if since is None:
        return "not deployed yet"
    by = next(version.deployed_by for version in versions.values() if version.effective_from == since)
    return f"deployed {names.utc_text(since)} by {by}"


def _commit(prepared: deploy.Prepared) -> str:
    """Return `commit 9f2c1ab (clean), `, or nothing outside a repository."""
    made: Bundle | None = next(iter(prepared.packages.bundles.values()), None)
    if made is None or not made.commit:
        return ""
    state = "changed since" if made.dirty else "clean"
    return f"commit {made.commit[:7]} ({state}), "


def _change_lines(project: Project, prepared: deploy.Prepared) -> list[str]:
    changes, stack = prepared.plan.changes, names.stack(project.name)
    lines = [line for change in changes if change.kind != "same" for line in _job_lines(change)]
    same = [change.name for change in changes if change.kind == "same"]
    if same and not prepared.plan.empty:
        lines.append(f"  = {', '.join(same)}")
    lines += _stack_lines(stack, prepared)
    if prepared.found.lacks_spot_role:
        lines.append(
            "  + role AWSServiceRoleForEC2Spot of the account: its first spot server fails without it; it costs nothing"
        )
    return lines


def _stack_lines(stack: str, prepared: deploy.Prepared) -> list[str]:
    lines = {
        "new": [f"  + stack {stack}: roles, two functions, queue, topic, alarms, log groups"],
        "again": [
            f"  ~ stack {stack} is {prepared.found.stack.status}: it is deleted and made again; no result is lost"
        ],
        "changes": [f"  ~ stack {stack}"],
        "": [],
    }[prepared.plan.stack]
    if prepared.plan.starts:
        lines.append(f"  ~ functions stopped, because {CUT_OFF}: they are started again")
    return lines


def _job_lines(change: JobChange) -> list[str]:
    first, *more = change.words
    return [f"  {_SIGNS[change.kind]} {change.name:<9} {first}", *(f"    {'':<9} {word}" for word in more)]


def _done_lines(project: Project, plan: Plan, done: deploy.Done, seconds: float, *, local: bool) -> list[str]:
    confirm = [_unconfirmed_line(address) for address in done.unconfirmed]
    next_line = output.labelled("next", formatting.dayfly("run", next(iter(project.jobs)), "--wait", local=local))
    if plan.empty and not (done.schedules or done.uploaded):
        return ["nothing to do: the cloud matches the file", *confirm, next_line]
    news = [f"{change.name} {_NEWS[change.kind]}" for change in plan.changes if change.kind != "same"]
    return [
        f"  stack {_STACK_DONE[plan.stack]} | schedules {len(plan.schedules)} ({done.schedules} changed)"
        f" | {done.uploaded} files stored",
        f"deployed in {seconds:.0f} s: {', '.join(news) or 'no job changed'}",
        *confirm,
        next_line,
    ]


def _unconfirmed_line(address: str) -> str:
    text = f"{address} gets no message before somebody follows the link in AWS's mail to it"
    return output.labelled("confirm", text)


def _plan_facts(prepared: deploy.Prepared) -> dict[str, object]:
    plan = prepared.plan
    changes = [{"job": each.name, "change": each.kind, "words": list(each.words)} for each in plan.changes]
    return {
        "empty": plan.empty,
        "stack": plan.stack or "same",
        "jobs": changes,
        "schedules": len(plan.schedules),
        "paused": list(prepared.found.paused),
    }
