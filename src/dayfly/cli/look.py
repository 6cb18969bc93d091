"""`dayfly runs | show | fetch | ps`: what happened and what lives. They only look; what they say is core/screens'. `logs` is logs.py's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from dayfly.cli import logs, say, target
from dayfly.cli.find import find_run, zone_of
from dayfly.cli.lookup import hints, looked_up, slowly
from dayfly.cli.main import dayfly_command, json_option, local_option, utc_option
from dayfly.core import names
from dayfly.core.facts import Attempt, Facts
from dayfly.core.model import Project
from dayfly.core.records import Output
from dayfly.errors import FileError, NotFoundError
from dayfly.flows.gather import gather
from dayfly.project.runs import look, references, results
from dayfly.project.screens import ending, words
from dayfly.project.screens.reasons import outcome_words
from dayfly.project.screens.runs import run_document, runs_lines
from dayfly.project.screens.servers import ps_document, ps_lines
from dayfly.project.screens.show import show_document, show_lines, zone_name

__all__ = ["fetch_command", "logs", "ps_command", "runs_command", "show_command"]

ROWS, ROWS_JSON = 50, 1000
"""Of so many runs the receipt is read; older ones of a window are counted all the same."""
_WINDOW = timedelta(days=7)


@dayfly_command.command("runs")
@click.argument("job", metavar="[JOB]", required=False)
@click.option("--since", metavar="DATE", help="from this day on, in the zone shown (default: the last 7 days)")
@utc_option
@local_option
@json_option
def runs_command(job: str | None, since: str | None, utc: bool, use_local: bool, as_json: bool) -> int:
    """List runs and missed ticks, newest first."""
    project = target.project()
    zone = _zone(project, job, utc=utc)
    now = datetime.now(UTC)
    start = _since(since, zone) if since else now - _WINDOW
    where = looked_up(project, use_local=use_local, as_json=as_json)
    wanted = look.Wanted(
        since=start,
        until=now + timedelta(days=1),
        keep_s=project.keep_s,
        details=ROWS_JSON if as_json else ROWS,
        job=job,
    )
    with slowly("reading the records of runs"):
        rows = where.interpreter(project.name).run(look.list_runs(wanted, ZoneInfo))
    if job is not None and not rows:
        references.known_job(job, project.jobs)
    if as_json:
        say.document(
            {"target": where.facts(), "since": names.utc_text(start), "runs": [run_document(row) for row in rows]}
        )
    elif rows:
        say.answers(runs_lines(rows, zone, zone_name(zone), now, at_most=ROWS, local=use_local))
    else:
        shown = words.day_time(start, zone, now)
        say.answer(f"no run and no missed tick since {shown} {zone_name(zone)}")
        say.answer(say.labelled("next", words.dayfly("run", job or next(iter(project.jobs)), local=use_local)))
    return 0


@dayfly_command.command("show")
@click.argument("run_name", metavar="RUN")
@utc_option
@local_option
@json_option
def show_command(run_name: str, utc: bool, use_local: bool, as_json: bool) -> int:
    """Show one run: each step, its end, and for a live one what ends its server."""
    project = target.project()
    where = looked_up(project, use_local=use_local, as_json=as_json)
    with slowly("reading the records of the run"), hints(use_local=use_local):
        run = find_run(where, project, run_name)
        facts, seen, now = where.interpreter(project.name).run(look.look_at(run))
    if as_json:
        say.document({"target": where.facts(), **show_document(facts, seen, now, local=use_local)})
    else:
        zone = ZoneInfo("UTC") if utc else zone_of(project, run.job)
        say.answers(show_lines(facts, seen, zone, now, local=use_local))
    return 0


@dayfly_command.command("fetch")
@click.argument("run_name", metavar="RUN")
@click.option(
    "--to", "to", type=click.Path(path_type=Path), help="a new or empty folder (default: .dayfly/results/RUN)"
)
@local_option
@json_option
def fetch_command(run_name: str, to: Path | None, use_local: bool, as_json: bool) -> int:
    """Download the files of a run; of a JOB its newest good one. Exit 1: of a run that did not succeed."""
    project = target.project()
    where = looked_up(project, use_local=use_local, as_json=as_json)
    with hints(use_local=use_local):
        run, chosen = _run_to_fetch(where, project, run_name)
    if chosen and not as_json:
        say.answer(say.labelled("run", f"{run}, the newest good one of {run.job}"))
    facts = where.interpreter(project.name).run(gather(run))
    end = ending(facts, local=use_local)
    attempt = _with_files(facts)
    outputs = attempt.ended.outputs if attempt and attempt.ended else ()
    if not outputs and not (end.succeeded and attempt):
        raise NotFoundError(
            f"{run} has no files: {end.why or end.outcome}", hint=words.dayfly("show", words.name(run), local=use_local)
        )
    folder = _folder(to, run)
    prefix = (attempt and look.out_prefix(run, attempt)) or ""
    progress = where.interpreter(project.name)
    if len(outputs) <= 100:
        progress = where.interpreter(project.name, log=lambda path, _fields: say.note(f"  {path}"))
    what = f"{words.count(len(outputs), 'file')}, {words.size(sum(one.size for one in outputs))}"
    with slowly(f"fetching {what}"), results.arriving(folder) as arrived:
        progress.run(results.fetch(outputs, arrived, prefix))
    good = attempt is not None and attempt.closed is not None and attempt.closed.outcome == "succeeded"
    if as_json:
        say.document(
            {
                "target": where.facts(),
                "run": str(run),
                "outcome": end.outcome,
                "folder": str(folder),
                "files": _documents(outputs),
            }
        )
    else:
        say.answers(_fetched_lines(outputs, folder, attempt, good=good))
        say.answer(say.labelled("next", words.dayfly("show", words.name(run), local=use_local)))
    return 0 if good else 1


@dayfly_command.command("ps")
@utc_option
@local_option
@json_option
def ps_command(utc: bool, use_local: bool, as_json: bool) -> int:
    """Ask EC2 which servers of this project there are now."""
    project = target.project()
    where = looked_up(project, use_local=use_local, as_json=as_json)
    with slowly("asking EC2"):
        listed = where.interpreter(project.name).run(look.list_servers())
    if as_json:
        say.document({"target": where.facts(), **ps_document(listed)})
    else:
        zone = _zone(project, None, utc=utc)
        say.answers(ps_lines(listed, zone, zone_name(zone), local=use_local))
    return 0


def _zone(project: Project, job: str | None, *, utc: bool) -> ZoneInfo:
    """The zone of a screen: the job's, or the one that all jobs share, else UTC."""
    if utc:
        return ZoneInfo("UTC")
    if job is not None:
        return zone_of(project, job)
    zones = {each.timezone for each in project.jobs.values()}
    return ZoneInfo(zones.pop() if len(zones) == 1 else "UTC")


def _since(text: str, zone: ZoneInfo) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise FileError(f"--since takes a date like 2026-11-24, not {text!r}") from None
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


# --- fetch --------------------------------------------------------------------------------------------------------------


def _run_to_fetch(where: target.Target, project: Project, text: str) -> tuple[names.RunName, bool]:
    """The run, and whether it was chosen here: a bare JOB is its newest good run."""
    ref = references.parse(text)
    if ref.day is None and ref.moment is None:
        return where.interpreter(project.name).run(look.newest_good(ref.job)), True
    return find_run(where, project, text), False


def _with_files(facts: Facts) -> Attempt | None:
    """The newest attempt that succeeded, else the newest that has its last word."""
    told = [attempt for attempt in facts.attempts if attempt.ended is not None]
    good = [attempt for attempt in told if attempt.closed is not None and attempt.closed.outcome == "succeeded"]
    return good[-1] if good else told[-1] if told else None


def _folder(to: Path | None, run: names.RunName) -> Path:
    if to is None:
        return target.folder() / ".dayfly" / "results" / str(run)
    folder = to.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileError(
            f"--to {to}: there is something already; nothing was written", hint="name a new or empty folder"
        )
    return folder


def _documents(outputs: tuple[Output, ...]) -> list[dict[str, object]]:
    return [{"path": one.path, "size": one.size, "sha256": one.sha256} for one in outputs]


def _fetched_lines(outputs: tuple[Output, ...], folder: Path, attempt: Attempt | None, *, good: bool) -> Iterator[str]:
    if not good and attempt is not None:
        what = attempt.closed.outcome if attempt.closed else "not over"
        yield say.labelled("note", f"attempt {attempt.number}: {outcome_words(what)}; these are the files that it left")
    if not outputs:
        yield say.labelled("files", "none: the job declares no outputs")
        return
    here = Path.cwd()
    shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
    for one in outputs[:20]:
        yield say.labelled("file", f"{shown / one.path}  {words.size(one.size)}")
    if len(outputs) > 20:
        yield say.labelled("", f"and {len(outputs) - 20} more")
    whole = words.size(sum(one.size for one in outputs))
    yield say.labelled("fetched", f"{words.count(len(outputs), 'file')}, {whole}, hashes checked, in {shown}")
