"""`dayfly runs [JOB]`: list runs and missed ticks, newest first."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import click

from dayfly.cli import output, workspace
from dayfly.cli.find import zone_of_screen
from dayfly.cli.lookup import deployed_target, note_if_slow
from dayfly.cli.options import json_option, local_option, utc_option
from dayfly.core import names
from dayfly.errors import FileError
from dayfly.project import formatting
from dayfly.project.runs import references
from dayfly.project.runs.list_runs import RunQuery, list_runs
from dayfly.project.runs.pauses import paused_jobs
from dayfly.project.screens.pauses import paused_document, paused_lines
from dayfly.project.screens.runs import run_document, runs_lines

ROWS, ROWS_JSON = 50, 1000
"""The receipts of this many runs are read (on a screen, with --json). Older runs of the period are only counted."""
_PERIOD = timedelta(days=7)


@click.command("runs")
@click.argument("job", metavar="[JOB]", required=False)
@click.option("--since", metavar="DATE", help="first day to list, in the zone shown (default: the last 7 days)")
@utc_option
@local_option
@json_option
def runs_command(job: str | None, since: str | None, utc: bool, use_local: bool, as_json: bool) -> int:
    """List runs and missed ticks, newest first."""
    project = workspace.read_project()
    zone = zone_of_screen(project, job, utc=utc)
    now = datetime.now(UTC)
    start = _day(since, zone) if since else now - _PERIOD
    where = deployed_target(project, use_local=use_local, as_json=as_json)
    query = RunQuery(
        since=start,
        until=now + timedelta(days=1),
        keep_s=project.keep_s,
        details=ROWS_JSON if as_json else ROWS,
        job=job,
    )
    with note_if_slow("reading the records of runs"):
        rows = where.interpreter(project.name).run(list_runs(query, ZoneInfo))
        pauses = where.interpreter(project.name).run(paused_jobs(job))
    if job is not None and not rows:
        references.known_job(job, project.jobs)
    if as_json:
        found = [run_document(row) for row in rows]
        paused = {name: paused_document(pause) for name, pause in pauses.items()}
        output.document({"target": where.facts(), "since": names.utc_text(start), "paused": paused, "runs": found})
        return 0
    output.lines(tuple(paused_lines(pauses, zone, now, local=use_local)))
    if rows:
        output.lines(runs_lines(rows, zone, now, at_most=ROWS, local=use_local))
    else:
        output.line(
            f"no runs and no missed ticks since {formatting.day_time(start, zone, now)} {formatting.zone_name(zone)}"
        )
        next_job = job or next(iter(project.jobs))
        output.line(output.labelled("next", formatting.dayfly("run", next_job, local=use_local)))
    return 0


def _day(text: str, zone: ZoneInfo) -> datetime:
    """Return the start of the day in this zone, as a time in UTC. Raises FileError."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise FileError(f"--since takes a date like 2026-11-24, not {text!r}") from None
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
