"""`ps`: the servers that EC2 shows now, what their run is, and which of them should not be there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from dayfly.core import names
from dayfly.core.facts import Server
from dayfly.core.sweep import Decision
from dayfly.project.screens import words


@dataclass(frozen=True, kw_only=True)
class ServerRow:
    """A server that is not gone. `decision`: what the sweeper will do with it; `armed`: its kill schedule was looked up."""

    server: Server
    decision: Decision
    armed: bool
    started: datetime | None = None
    ended: bool = False


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What `ps` found. `without`: live runs whose server EC2 does not show."""

    at: datetime
    rows: tuple[ServerRow, ...] = ()
    without: tuple[names.RunName, ...] = ()


def ps_lines(listed: Listed, zone: tzinfo, zone_name: str, *, local: bool = False) -> tuple[str, ...]:
    """The table, its sum, and every server or run that is not as it should be."""
    lines: list[str] = []
    if listed.rows:
        table: list[tuple[str, ...]] = [
            ("SERVER", "RUN", "TYPE", "STATE", "UP", "JOB", f"GONE BY ({zone_name})", "KILL SCHEDULE")
        ]
        table += [_cells(row, listed.at, zone) for row in listed.rows]
        lines += words.table(table)
    bad = [row for row in listed.rows if row.decision.action == "end"]
    lines += [f"{row.server.id}: {row.decision.reason}; the sweeper ends it" for row in bad]
    lines += [f"{run}: EC2 does not show its server; unknown, not gone" for run in listed.without]
    lines.append(_sum(listed, bad))
    running = next((row.server.run for row in listed.rows if row.server.run and row.decision.action == "leave"), None)
    job = running.partition("@")[0] if running else None
    lines.append(
        f"{'next':<8} {words.dayfly('logs', job, '-f', local=local) if job else words.dayfly('runs', local=local)}"
    )
    return tuple(lines)


def ps_document(listed: Listed) -> dict[str, Any]:
    """The same for programs."""
    return {
        "at": names.utc_text(listed.at),
        "servers": [_document(row, listed.at) for row in listed.rows],
        "runs_without_server": [str(run) for run in listed.without],
    }


def _document(row: ServerRow, now: datetime) -> dict[str, Any]:
    server = row.server
    return {
        "id": server.id,
        "run": server.run or None,
        "attempt": server.attempt,
        "type": server.type,
        "market": server.market,
        "zone": server.zone,
        "state": server.state,
        "launched": names.utc_text(server.launched),
        "up_s": int((now - server.launched).total_seconds()),
        "job_started": names.utc_text(row.started) if row.started else None,
        "gone_by": names.utc_text(server.deadline) if server.deadline else None,
        "kill_schedule": row.armed,
        "sweeper": row.decision.action,
        "why": row.decision.reason,
    }


def _cells(row: ServerRow, now: datetime, zone: tzinfo) -> tuple[str, ...]:
    server = row.server
    job = "over" if row.ended else words.span(now - row.started) if row.started else "-"
    return (
        server.id,
        server.run or "NONE",
        f"{server.type} {server.market}",
        server.state,
        words.span(now - server.launched),
        job,
        words.clock(server.deadline, zone) if server.deadline else "UNKNOWN",
        "there" if row.armed else "NOT THERE",
    )


def _sum(listed: Listed, bad: Sequence[ServerRow]) -> str:
    count = words.count(len(listed.rows), "server") if listed.rows else "no server"
    late = [row for row in bad if row.server.deadline is not None and listed.at >= row.server.deadline]
    other = len(bad) - len(late)
    parts = [
        f"{len(late)} past its deadline" if late else "none past its deadline",
        f"{other} to be ended" if other else "none without a run",
        f"{words.count(len(listed.without), 'live run')} without a server"
        if listed.without
        else "no live run without a server",
    ]
    return f"{count}: {', '.join(parts)}"
