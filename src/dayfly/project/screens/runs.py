"""`runs`: one row per run or tick that never became one, as a table with its sum, or as the rows of `--json`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any

from dayfly.core import names
from dayfly.core.facts import Facts
from dayfly.core.records import moment
from dayfly.project.runs.references import short
from dayfly.project.screens import live, reasons, words

LIVE = ("waiting", "starting", "running", "saving")
NEVER = "never started"
_BY_HAND = "by hand"
_TOGETHER = 3
"""So many ticks of a job in a row that never started are one line."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run as `runs` shows it. `outcome`: of its newest attempt, or how it lives. None is unknown.

    `told` False: only what its name in the list tells was looked up.
    """

    run: names.RunName
    outcome: str
    attempt: int = 0
    told: bool = False
    source: str | None = None
    reason: str = ""
    detail: str = ""
    job: timedelta | None = None
    server: str | None = None
    market: str | None = None
    gone_by: datetime | None = None
    before: tuple[str, ...] = ()
    latest: bool = False

    @property
    def live(self) -> bool:
        return self.outcome in LIVE


def of_facts(facts: Facts, now: datetime) -> RunRow:
    """The row of a run that is not listed as done."""
    attempt, claim = facts.attempt, facts.claim
    opened = facts.opened.record if facts.opened else None
    row = RunRow(
        run=facts.run,
        outcome=live.live_state(facts),
        told=True,
        source=claim.source if claim else opened.source if opened else None,
        reason=claim.reason if claim else "",
        detail=claim.why if claim and claim.decision != "run" else "",
    )
    if attempt is None:
        return row
    elected, closed = attempt.elected, attempt.closed
    began = live.started_at(attempt)
    gone = attempt.server is not None and attempt.server.gone
    if gone and closed is None:
        row = replace(row, detail=live.TO_CLOSE)
    took = live.took(attempt)
    running = now - began if began is not None and attempt.ended is None and closed is None and not gone else None
    return replace(
        row,
        attempt=attempt.number,
        reason=closed.reason if closed else "",
        detail=closed.detail if closed else row.detail,
        job=running if took is None else took,
        server=elected.type if elected else None,
        market=elected.market if elected else None,
        gone_by=attempt.intent.deadline if closed is None and not gone else None,
        before=tuple(one.closed.reason or one.closed.outcome for one in facts.attempts[:-1] if one.closed),
    )


def of_receipt(row: RunRow, receipt: Mapping[str, Any]) -> RunRow:
    """A row of the list with what its receipt tells."""
    times, server = receipt.get("times") or {}, receipt.get("server") or {}
    began, ended = times.get("job_started"), times.get("job_ended")
    attempts = receipt.get("attempts") or []
    return replace(
        row,
        told=True,
        source=receipt.get("source"),
        reason=receipt.get("reason") or "",
        detail=receipt.get("detail") or "",
        job=moment(ended) - moment(began) if began and ended else None,
        server=server.get("type"),
        market=server.get("market"),
        before=tuple(one.get("reason") or one.get("outcome") or "" for one in attempts[:-1]),
    )


def runs_lines(
    rows: Sequence[RunRow], zone: tzinfo, zone_name: str, now: datetime, *, at_most: int, local: bool = False
) -> tuple[str, ...]:
    """The table, newest first, its sum and the next command. `zone_name` stands in the title of the times, once."""
    if not rows:
        return ("no run and no tick in this time",)
    grouped = _grouped(rows)
    shown = grouped[:at_most]
    every = [row.run for row in rows]
    table: list[tuple[str, ...]] = [("RUN", f"DUE ({zone_name})", "OUTCOME", "JOB", "SERVER", "NOTE")]
    for group in shown:
        table.append(_cells(group, every, zone, now))
    lines = list(words.table(table))
    if len(grouped) > at_most:
        lines.append(
            f"{words.count(len(grouped) - at_most, 'older line')} not shown: --since DATE for less, --json for all"
        )
    return (*lines, _sum(rows), f"{'next':<8} {_next(rows, every, local=local)}")


def run_document(row: RunRow) -> dict[str, Any]:
    """A row for `--json`. A row of which only its name was looked up has `told` false, and null for the rest."""
    return {
        "run": str(row.run),
        "job": row.run.job,
        "tick": names.utc_text(row.run.tick),
        "outcome": row.outcome,
        "live": row.live,
        "told": row.told,
        "source": row.source,
        "reason": row.reason or None,
        "detail": row.detail or None,
        "attempt": row.attempt or None,
        "job_s": round(row.job.total_seconds(), 1) if row.job is not None else None,
        "server": {"type": row.server, "market": row.market} if row.server else None,
        "gone_by": names.utc_text(row.gone_by) if row.gone_by else None,
        "latest": row.latest,
    }


def _grouped(rows: Sequence[RunRow]) -> list[list[RunRow]]:
    """Newest first; a row each, but ticks in a row that never started together."""
    groups: list[list[RunRow]] = []
    last: dict[str, list[RunRow]] = {}
    for row in sorted(rows, key=lambda row: (row.run.tick, row.run.job), reverse=True):
        before = last.get(row.run.job)
        if before and row.reason == NEVER and before[-1].reason == NEVER:
            before.append(row)
            continue
        last[row.run.job] = [row]
        groups.append(last[row.run.job])
    return [part for group in groups for part in ([group] if len(group) > _TOGETHER else [[row] for row in group])]


def _cells(group: Sequence[RunRow], every: Sequence[names.RunName], zone: tzinfo, now: datetime) -> tuple[str, ...]:
    row = group[0]
    due = words.day_time(row.run.tick, zone, now)
    if len(group) > 1:
        note = f"{len(group)} ticks in a row never started, since {words.day_time(group[-1].run.tick, zone, now)}"
        return (short(row.run, every), due, "missed", "-", "-", note)
    server = f"{row.server} {row.market or ''}".strip() if row.server else "-"
    job = words.span(row.job) if row.job is not None else "-"
    return (short(row.run, every), due, reasons.outcome_words(row.outcome), job, server, _note(row, zone))


def _note(row: RunRow, zone: tzinfo) -> str:
    parts = [_BY_HAND] if row.source == "hand" else []
    if row.live:
        parts.append(f"gone by {words.clock(row.gone_by, zone)}" if row.gone_by else row.detail)
    else:
        parts.append(reasons.note(row.outcome, row.reason, row.detail))
    if row.before:
        parts.append(f"attempt {len(row.before) + 1}; before: {', '.join(row.before)}")
    if row.latest:
        parts.append("latest")
    return ", ".join(part for part in parts if part)


def _sum(rows: Sequence[RunRow]) -> str:
    counted = Counter(reasons.outcome_words(row.outcome) for row in rows)
    by_hand = sum(row.source == "hand" for row in rows)
    order = ("succeeded", "failed", "timed out", "cancelled", "missed", "skipped", *LIVE)
    each = ", ".join(f"{counted[outcome]} {outcome}" for outcome in order if counted[outcome])
    kinds = words.count(len(rows), "run") if by_hand else words.count(len(rows), "tick")
    return f"{kinds}: {each}"


def _next(rows: Sequence[RunRow], every: Sequence[names.RunName], *, local: bool) -> str:
    newest = sorted(rows, key=lambda row: row.run.tick, reverse=True)
    for row in newest:
        if row.outcome in ("failed", "timed-out"):
            return words.dayfly("show", short(row.run, every), local=local)
    for row in newest:
        if row.live:
            return words.dayfly("logs", row.run.job, "-f", local=local)
    for row in newest:
        if row.reason != NEVER:
            return words.dayfly("show", short(row.run, every), local=local)
    return words.dayfly("run", newest[0].run.job, local=local)
