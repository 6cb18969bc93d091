"""`dayfly check`: what dayfly.toml means, and what would travel, built. Asks no cloud; wheels come from the package index once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import click

from dayfly.cli import output, workspace
from dayfly.cli.options import json_option
from dayfly.core.model import Job, Project
from dayfly.errors import DayflyError
from dayfly.project.bundle import build, wheels
from dayfly.project.file import keys
from dayfly.project.file.warnings import find_warnings
from dayfly.project.screens import formatting
from dayfly.project.screens.check import BundleSummary, bundle_lines, check_document, check_lines


@click.command("check")
@click.option("--keys", "list_keys", is_flag=True, help="list every key of dayfly.toml and stop")
@json_option
def check_command(list_keys: bool, as_json: bool) -> int:
    """Read dayfly.toml: every problem at once, each job's next tick, what its server gets."""
    if list_keys:
        return _keys(as_json=as_json)
    project = workspace.read_project()
    now = datetime.now(UTC)
    warnings = find_warnings(project, now, ZoneInfo)
    packed: list[BundleSummary] = []
    errors: list[DayflyError] = []
    for jobs in _alike(project):
        try:
            packed.append(_pack(jobs))
        except DayflyError as error:
            errors.append(error)
    if as_json:
        refused = [
            {"error": each.message, "hint": each.hint, "lines": [list(line) for line in each.lines]} for each in errors
        ]
        output.document({**check_document(project, warnings, packed, now, ZoneInfo), "errors": refused})
        return 2 if errors else 0
    output.lines(check_lines(project, warnings, len(errors), now, ZoneInfo))
    output.lines(bundle_lines(packed))
    for each in errors:
        output.error(each, as_json=False)
    first = next(iter(project.jobs), "")
    output.line(
        output.labelled("next", "dayfly check" if errors else formatting.dayfly("run", first, "--wait", local=True))
    )
    return 2 if errors else 0


def _keys(*, as_json: bool) -> int:
    if as_json:
        output.document({"keys": [key._asdict() for key in keys.ALL], "tables": keys.TABLES})
        return 0
    scopes: tuple[tuple[keys.Scope, str], ...] = (
        ("project", "the top of the file"),
        ("network", keys.TABLES["network"]),
        ("job", f"{keys.TABLES['jobs']}; {keys.TABLES['defaults']}"),
    )
    for scope, title in scopes:
        output.line(title)
        rows = [("KEY", "TYPE", "DEFAULT", "MEANING"), *keys.rows(scope)]
        output.lines(f"  {line}" for line in formatting.table(rows))
        output.line()
    output.line(output.labelled("next", "dayfly check"))
    return 0


def _alike(project: Project) -> Iterator[tuple[Job, ...]]:
    """Jobs in groups: those of one group get the same bundle."""
    groups: dict[tuple[object, ...], list[Job]] = {}
    for job in project.jobs.values():
        groups.setdefault((job.bundle, job.python, job.image, job.architecture), []).append(job)
    yield from (tuple(group) for group in groups.values())


def _pack(jobs: tuple[Job, ...]) -> BundleSummary:
    """Builds the bundle of a group. Raises FileError for what can not travel."""
    job, named = jobs[0], tuple(job.name for job in jobs)
    runs = wheels.image_target(job.image, job.architecture)
    if runs is None:
        return BundleSummary(
            jobs=named, unknown=f"not built here: which Python {job.image} has is known to a deploy at the most"
        )
    cache = workspace.folder() / ".dayfly" / "cache"
    built = build.build_job_bundle(
        workspace.project_folder(),
        job.bundle,
        job.python,
        runs,
        cache / "bundles",
        job=job.name,
        cache=cache,
        say=lambda text: output.note(f"  {text}"),
    )
    if built is None:
        return BundleSummary(jobs=named)
    return BundleSummary(
        jobs=named,
        files=built.files,
        size=built.size,
        wheels=len(built.wheels),
        platform=str(runs) if built.python else None,
        source=built.source,
    )
