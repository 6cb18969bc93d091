"""`dayfly fetch RUN`: download the files of a run into a folder, and check their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from dayfly.cli import output, target, workspace
from dayfly.cli.find import find_run
from dayfly.cli.lookup import deployed_target, local_hints, note_if_slow
from dayfly.cli.options import json_option, local_option
from dayfly.core import names
from dayfly.core.facts import Attempt, Facts, NoAttempt
from dayfly.core.model import Project
from dayfly.core.reasons import Outcome, Source
from dayfly.core.records import Closed, Ended, Output
from dayfly.errors import FileError, NotFoundError
from dayfly.flows.gather import gather
from dayfly.project import formatting
from dayfly.project.runs import references, results, state
from dayfly.project.runs.details import out_prefix
from dayfly.project.runs.find import newest_good
from dayfly.project.runs.reasons import outcome_words
from dayfly.project.runs.references import unique_name
from dayfly.project.screens.outcome import outcome_of

_STARTED: Mapping[Source | None, str] = {
    Source.SCHEDULE: ", by its schedule",
    Source.HAND: ", by hand",
    Source.BACKFILL: ", a tick that was run later",
}
_FILES_LISTED = 20
_FILES_ANNOUNCED = 100
"""If there are at most this many files, the path of each is printed before its download."""


@click.command("fetch")
@click.argument("run_name", metavar="RUN")
@click.option(
    "--to", "to", type=click.Path(path_type=Path), help="a new or empty folder (default: .dayfly/results/RUN)"
)
@local_option
@json_option
def fetch_command(run_name: str, to: Path | None, use_local: bool, as_json: bool) -> int:
    """Download the files of a run, or of a JOB's newest successful run. Exits 1 if the run did not succeed."""
    project = workspace.read_project()
    where = deployed_target(project, use_local=use_local, as_json=as_json)
    with local_hints(use_local=use_local):
        run, chosen = _run_to_fetch(where, project, run_name)
    facts = where.interpreter(project.name).run(gather(run))
    if chosen and not as_json:
        started = _STARTED.get(state.source(facts), "")
        output.line(output.labelled("run", f"{run}, the newest successful run of {run.job}{started}"))
    attempt = _attempt_with_files(facts)
    end = outcome_of(facts, local=use_local)
    show = formatting.dayfly("show", unique_name(run), local=use_local)
    if isinstance(attempt, NoAttempt) or not (attempt.outputs or end.succeeded):
        raise NotFoundError(f"{run} has no files: {end.why or end.outcome}", hint=show)
    folder = _folder(to, run)
    _download(where, project, run, attempt, folder)
    succeeded = _succeeded(attempt)
    if as_json:
        files = [{"path": one.path, "size": one.size, "sha256": one.sha256} for one in attempt.outputs]
        head = {"target": where.facts(), "run": str(run), "outcome": end.outcome}
        output.document({**head, "folder": str(folder), "files": files})
    else:
        output.lines(_fetched_lines(attempt, folder))
        output.line(output.labelled("next", show))
    return 0 if succeeded else 1


def _run_to_fetch(where: target.Target, project: Project, text: str) -> tuple[names.RunName, bool]:
    """Return the run, and whether the text was only a JOB, which means its newest successful run."""
    ref = references.parse(text)
    if ref.when is None:
        return where.interpreter(project.name).run(newest_good(ref.job)), True
    return find_run(where, project, text), False


def _attempt_with_files(facts: Facts) -> Attempt | NoAttempt:
    """Return the newest attempt that succeeded, otherwise the newest that reported its end."""
    ended = [attempt for attempt in facts.attempts if isinstance(attempt.ended, Ended)]
    succeeded = [attempt for attempt in ended if _succeeded(attempt)]
    for newest in (*reversed(succeeded), *reversed(ended)):
        return newest
    return NoAttempt()


def _succeeded(attempt: Attempt) -> bool:
    match attempt.closed:
        case Closed(outcome=outcome):
            return outcome == Outcome.SUCCEEDED
    return False


def _folder(to: Path | None, run: names.RunName) -> Path:
    """Return the folder for the files. Raises FileError if `to` is a file or not empty."""
    if to is None:
        return workspace.folder() / ".dayfly" / "results" / str(run)
    folder = to.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileError(f"--to {to} is not empty; nothing was written", hint="name a new or empty folder")
    return folder


def _download(where: target.Target, project: Project, run: names.RunName, attempt: Attempt, folder: Path) -> None:
    outputs = attempt.outputs
    interpreter = where.interpreter(project.name)
    if len(outputs) <= _FILES_ANNOUNCED:
        interpreter = where.interpreter(project.name, log=_announce)
    prefix = out_prefix(run, attempt)
    with note_if_slow(f"fetching {_amount(outputs)}"), results.arriving(folder) as arrived:
        interpreter.run(results.fetch(outputs, arrived, prefix))


def _announce(path: str, _fields: Mapping[str, Any]) -> None:
    output.note(f"  {path}")


def _amount(outputs: tuple[Output, ...]) -> str:
    """Format the number and total size: `2 files, 10.4 MB`."""
    return f"{formatting.number_of(len(outputs), 'file')}, {formatting.size(sum(one.size for one in outputs))}"


def _fetched_lines(attempt: Attempt, folder: Path) -> Iterator[str]:
    outputs = attempt.outputs
    if not _succeeded(attempt):
        outcome = "not over"
        match attempt.closed:
            case Closed() as closed:
                outcome = outcome_words(closed.outcome)
        yield output.labelled("note", f"attempt {attempt.number}: {outcome}; these are the files it left")
    if not outputs:
        yield output.labelled("files", "none: the job declares no outputs")
        return
    here = Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    for one in outputs[:_FILES_LISTED]:
        yield output.labelled("file", f"{shown / one.path}  {formatting.size(one.size)}")
    if len(outputs) > _FILES_LISTED:
        yield output.labelled("", f"and {len(outputs) - _FILES_LISTED} more")
    yield output.labelled("fetched", f"{_amount(outputs)}, hashes checked, in {shown}")
