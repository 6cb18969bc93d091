"""`dayfly check`: show what dayfly.toml means, and build what the servers would get.

It calls no cloud. Wheels are downloaded from the package index and kept in a cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from dayfly.cli import output, workspace
from dayfly.cli.options import json_option
from dayfly.core.model import Job, Project
from dayfly.errors import DayflyError
from dayfly.project import formatting
from dayfly.project.bundle.job_bundle import build_job_bundle
from dayfly.project.bundle.target import image_target
from dayfly.project.file import keys
from dayfly.project.file.warnings import find_warnings
from dayfly.project.screens.check import BundleSummary, bundle_lines, check_document, check_lines, new_account_lines

_INVALID = 2


@click.command("check")
@click.option("--keys", "list_keys", is_flag=True, help="list every key of dayfly.toml and stop")
@json_option
def check_command(list_keys: bool, as_json: bool) -> int:
    """Check dayfly.toml: all problems, each job's next tick, and what its server gets."""
    if list_keys:
        _print_keys(as_json=as_json)
        return 0
    project = workspace.read_project()
    workspace.refresh_schema()
    now = datetime.now(UTC)
    warnings = find_warnings(project, now, ZoneInfo)
    packed, errors = _pack_all(project)
    if as_json:
        document = check_document(project, warnings, packed, now, ZoneInfo)
        output.document({**document, "errors": [_error_document(error) for error in errors]})
    else:
        output.lines(check_lines(project, warnings, len(errors), now, ZoneInfo))
        output.lines(new_account_lines(project))
        output.lines(bundle_lines(packed))
        for error in errors:
            output.error(error, as_json=False)
        output.line(output.labelled("next", _next(project, errors)))
    return _INVALID if errors else 0


def _error_document(error: DayflyError) -> dict[str, Any]:
    return {"error": error.message, "hint": error.hint, "lines": [list(line) for line in error.lines]}


def _next(project: Project, errors: list[DayflyError]) -> str:
    if errors:
        return "dayfly check"
    return formatting.dayfly("run", next(iter(project.jobs)), "--wait", local=True)


def _print_keys(*, as_json: bool) -> None:
    if as_json:
        output.document({"keys": [key._asdict() for key in keys.ALL], "tables": keys.TABLES})
        return
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


def _pack_all(project: Project) -> tuple[list[BundleSummary], list[DayflyError]]:
    """Build the bundle of every job. Returns what was built and what could not be."""
    packed: list[BundleSummary] = []
    errors: list[DayflyError] = []
    for jobs in _jobs_by_bundle(project):
        try:
            packed.append(_pack(jobs))
        except DayflyError as error:
            errors.append(error)
    return packed, errors


def _jobs_by_bundle(project: Project) -> Iterator[tuple[Job, ...]]:
    """Yield the groups of jobs that get the same bundle."""
    groups: dict[tuple[object, ...], list[Job]] = {}
    for job in project.jobs.values():
        groups.setdefault((job.bundle, job.python, job.image, job.architecture), []).append(job)
    yield from (tuple(group) for group in groups.values())


def _pack(jobs: tuple[Job, ...]) -> BundleSummary:
    """Build the bundle of a group of jobs. Raises FileError for what cannot be packed."""
    job, job_names = jobs[0], tuple(job.name for job in jobs)
    platform = image_target(job.image, job.architecture)
    if platform is None:
        return BundleSummary(
            jobs=job_names, unknown=f"not built: only a deploy can find out which Python {job.image} has"
        )
    cache = workspace.folder() / ".dayfly" / "cache"
    built = build_job_bundle(
        workspace.project_folder(),
        job.bundle,
        job.python,
        platform,
        cache / "bundles",
        job=job.name,
        cache=cache,
        say=lambda text: output.note(f"  {text}"),
    )
    if built is None:
        return BundleSummary(jobs=job_names)
    return BundleSummary(
        jobs=job_names,
        files=built.files,
        size=built.size,
        wheels=len(built.wheels),
        platform=str(platform) if built.python else None,
        source=built.source,
    )
