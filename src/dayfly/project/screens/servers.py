"""Screen of `ps`: the servers that EC2 shows now, with a line for each that should not exist; as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo
from typing import Any

from dayfly.core import names
from dayfly.project import formatting
from dayfly.project.runs.servers import ServerList, ServerRow


def ps_lines(found: ServerList, zone: tzinfo, *, local: bool = False) -> tuple[str, ...]:
    """Return the table, one line for each server or run with a problem, a summary and the next command."""
    lines: list[str] = []
    if found.rows:
        cells = [
            ("SERVER", "RUN", "TYPE", "STATE", "UP", "JOB", f"GONE BY ({formatting.zone_name(zone)})", "KILL SCHEDULE")
        ]
        cells += [_cells(row, found.at, zone) for row in found.rows]
        lines += formatting.table(cells)
    doomed = [row for row in found.rows if row.decision.action == "end"]
    lines += [f"{row.server.id}: {row.decision.reason}; the sweeper ends it" for row in doomed]
    lines += [f"{run}: EC2 does not show its server; its state is unknown" for run in found.without_server]
    lines.append(_summary(found, doomed))
    lines.append(formatting.labelled("next", _next(found, local=local)))
    return tuple(lines)


def ps_document(found: ServerList) -> dict[str, Any]:
    """Return the screen as JSON."""
    return {
        "at": names.utc_text(found.at),
        "servers": [_document(row, found.at) for row in found.rows],
        "runs_without_server": [str(run) for run in found.without_server],
    }


def _document(row: ServerRow, now: datetime) -> dict[str, Any]:
    server = row.server
    return {
        "id": server.id,
        "run": server.run or None,
        "attempt": server.attempt or None,
        "type": server.type,
        "market": server.market,
        "zone": server.zone,
        "state": server.state,
        "launched": names.utc_text(server.launched),
        "up_s": int((now - server.launched).total_seconds()),
        "job_started": row.job_started and names.utc_text(row.job_started),
        "gone_by": server.deadline and names.utc_text(server.deadline),
        "kill_schedule": row.armed,
        "sweeper": row.decision.action,
        "why": row.decision.reason,
    }


def _cells(row: ServerRow, now: datetime, zone: tzinfo) -> tuple[str, str, str, str, str, str, str, str]:
    server = row.server
    gone_by, kill_schedule = "UNKNOWN", "MISSING"
    if server.deadline is not None:
        gone_by = formatting.clock(server.deadline, zone)
    if row.armed:
        kill_schedule = "armed"
    return (
        server.id,
        server.run or "NONE",
        f"{server.type} {server.market}",
        server.state,
        formatting.duration(now - server.launched),
        _job_cell(row, now),
        gone_by,
        kill_schedule,
    )


def _job_cell(row: ServerRow, now: datetime) -> str:
    if row.job_ended:
        return "over"
    if row.job_started is None:
        return "-"
    return formatting.duration(now - row.job_started)


def _summary(found: ServerList, doomed: Sequence[ServerRow]) -> str:
    servers = "No servers."
    if found.rows:
        servers = f"{formatting.number_of(len(found.rows), 'server')}."
    overdue = sum(row.server.deadline is not None and found.at >= row.server.deadline for row in doomed)
    counts = [
        (overdue, f"{overdue} past the deadline"),
        (len(doomed) - overdue, f"{len(doomed) - overdue} that should not exist"),
        (len(found.without_server), f"{formatting.number_of(len(found.without_server), 'live run')} without a server"),
    ]
    problems = [phrase for count, phrase in counts if count]
    if not problems:
        return f"{servers} Nothing overdue or orphaned."
    return f"{servers} {', '.join(problems)}."


def _next(found: ServerList, *, local: bool) -> str:
    for row in found.rows:
        if row.server.run and row.decision.action == "leave":
            return formatting.dayfly("logs", row.server.run.partition("@")[0], "-f", local=local)
    return formatting.dayfly("runs", local=local)
