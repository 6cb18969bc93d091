"""Screen of `runs`: a table of runs and missed ticks, the totals and the next command; and the same rows as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any

from dayfly.core import names
from dayfly.core.reasons import Decision, Source
from dayfly.project import formatting
from dayfly.project.runs import reasons
from dayfly.project.runs.references import run_tick, short
from dayfly.project.runs.rows import NEVER_STARTED, RunRow
from dayfly.project.runs.state import LIVE

_BY_HAND, _LATER = "by hand", "run later"
_GROUP = 3
"""If more than this many ticks of a job in a row never started, they share one line."""


def runs_lines(
    rows: Sequence[RunRow], zone: tzinfo, now: datetime, *, at_most: int, local: bool = False
) -> tuple[str, ...]:
    """Return the newest `at_most` lines of the table, the totals of all rows, and the next command."""
    if not rows:
        return ("no runs and no missed ticks in this period",)
    groups = _grouped(rows)
    runs = [row.run for row in rows]
    cells = [("RUN", f"DUE ({formatting.zone_name(zone)})", "OUTCOME", "JOB", "SERVER", "NOTE")]
    cells += [_cells(group, runs, zone, now, local=local) for group in groups[:at_most]]
    lines = list(formatting.table(cells))
    hidden = len(groups) - at_most
    if hidden > 0:
        older = formatting.number_of(hidden, "older line")
        lines.append(f"{older} not shown: a later --since DATE shortens the list, --json prints all")
    return (*lines, _totals(rows), formatting.labelled("next", _next(rows, runs, local=local)))


def run_document(row: RunRow) -> dict[str, Any]:
    """Return a row as JSON. If `detailed` is false, only the outcome was looked up and the rest is null."""
    document: dict[str, Any] = {
        "run": str(row.run),
        "job": row.run.job,
        "tick": names.utc_text(row.run.tick),
        "outcome": row.outcome,
        "live": row.live,
        "detailed": row.detailed,
        "source": row.source,
        "reason": row.reason or None,
        "detail": row.detail or None,
        "attempt": row.attempt or None,
        "job_s": None,
        "server": None,
        "gone_by": None,
        "latest": row.latest,
    }
    if row.job is not None:
        document["job_s"] = round(row.job.total_seconds(), 1)
    if row.server:
        document["server"] = {"type": row.server, "market": row.market or None}
    if row.gone_by is not None:
        document["gone_by"] = names.utc_text(row.gone_by)
    return document


def _grouped(rows: Sequence[RunRow]) -> list[list[RunRow]]:
    """Group the rows into the table's lines, newest first: one row each, except many ticks in a row that never started."""
    groups: list[list[RunRow]] = []
    current: dict[str, list[RunRow]] = {}
    for row in _newest_first(rows):
        group = current.get(row.run.job)
        if group and row.reason == NEVER_STARTED and group[-1].reason == NEVER_STARTED:
            group.append(row)
        else:
            current[row.run.job] = [row]
            groups.append(current[row.run.job])
    lines: list[list[RunRow]] = []
    for group in groups:
        if len(group) > _GROUP:
            lines.append(group)
        else:
            lines += [[row] for row in group]
    return lines


def _newest_first(rows: Sequence[RunRow]) -> list[RunRow]:
    return sorted(rows, key=lambda row: (row.run.tick, row.run.job), reverse=True)


def _cells(
    group: Sequence[RunRow], runs: Sequence[names.RunName], zone: tzinfo, now: datetime, *, local: bool
) -> tuple[str, str, str, str, str, str]:
    row = group[0]
    name, due = short(row.run, runs), formatting.day_time(row.run.tick, zone, now)
    if len(group) > 1:
        since = formatting.day_time(group[-1].run.tick, zone, now)
        note = f"{len(group)} ticks in a row never started, since {since}: {run_tick(row.run, local=local)}"
        return (name, due, "missed", "-", "-", note)
    job, server = "-", "-"
    if row.job is not None:
        job = formatting.duration(row.job)
    if row.server:
        server = formatting.joined(row.server, row.market, separator=" ")
    return (name, due, reasons.outcome_words(row.outcome), job, server, _note(row, zone, local=local))


def _note(row: RunRow, zone: tzinfo, *, local: bool) -> str:
    parts = [_deadline_or_reason(row, zone)]
    if row.source == Source.HAND:
        parts.insert(0, _BY_HAND)
    elif row.outcome == Decision.MISSED:
        parts = [formatting.with_detail(parts[0], run_tick(row.run, local=local))]
    elif row.source == Source.BACKFILL:
        parts.insert(0, _LATER)
    if row.before:
        parts.append(f"attempt {len(row.before) + 1}; before: {', '.join(row.before)}")
    if row.latest:
        parts.append("latest")
    return formatting.joined(*parts)


def _deadline_or_reason(row: RunRow, zone: tzinfo) -> str:
    """Return the deadline of a live run's server, or why a run ended."""
    if not row.live:
        return reasons.short_note(row.outcome, row.reason, row.detail)
    if row.gone_by is None:
        return row.detail
    return f"gone by {formatting.clock(row.gone_by, zone)}"


def _totals(rows: Sequence[RunRow]) -> str:
    counts = Counter(reasons.outcome_words(row.outcome) for row in rows)
    order = ("succeeded", "failed", "timed out", "cancelled", "missed", "skipped", *LIVE)
    totals = ", ".join(f"{counts[outcome]} {outcome}" for outcome in order if counts[outcome])
    noun = "tick"
    if any(row.source == Source.HAND for row in rows):
        noun = "run"
    return f"{formatting.number_of(len(rows), noun)}: {totals}"


def _next(rows: Sequence[RunRow], runs: Sequence[names.RunName], *, local: bool) -> str:
    """Return the command to show the newest failed run, else to follow a live one, else to show the newest, else to start one."""
    newest = _newest_first(rows)
    for row in newest:
        if row.outcome in ("failed", "timed-out"):
            return formatting.dayfly("show", short(row.run, runs), local=local)
    for row in newest:
        if row.live:
            return formatting.dayfly("logs", row.run.job, "-f", local=local)
    for row in newest:
        if row.reason != NEVER_STARTED:
            return formatting.dayfly("show", short(row.run, runs), local=local)
    return run_tick(newest[0].run, local=local)
