"""List the project's servers as EC2 shows them now, for `ps`: each with its run and what the sweeper will do with it.

These flows only read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from dayfly.core import names, sweep
from dayfly.core.facts import Attempt, BadRunTags, Facts, NotShown, NotStored, Server
from dayfly.core.records import Elected, Ended, Intent, Started
from dayfly.core.sweep import ServerDecision
from dayfly.flows import read
from dayfly.flows.calls import Flow, IsArmed, ListServers, Now, ask
from dayfly.flows.gather import gather
from dayfly.project.runs.list_runs import open_runs


@dataclass(frozen=True, kw_only=True)
class ServerRow:
    """A server that is not gone. `decision`: what the sweeper will do with it. `armed`: whether it has a kill schedule.

    `job_started`: None if the command has not started. `job_ended`: whether the agent reported its end.
    """

    server: Server
    decision: ServerDecision
    armed: bool
    job_started: datetime | None = None
    job_ended: bool = False


@dataclass(frozen=True, kw_only=True)
class ServerList:
    """What was found `at` a time. `without_server`: live runs with an elected server that EC2 does not show."""

    at: datetime
    rows: tuple[ServerRow, ...] = ()
    without_server: tuple[names.RunName, ...] = ()


def list_servers() -> Flow[ServerList]:
    """Return the project's servers that are not gone, newest first, and the live runs whose server EC2 does not show."""
    servers = yield from ask(ListServers())
    rows: list[ServerRow] = []
    for server in servers:
        if not server.gone:
            rows.append((yield from _row(server)))
    shown = {row.server.run for row in rows}
    missing: list[names.RunName] = []
    for run in (yield from open_runs()):
        if str(run) not in shown and _lacks_server((yield from gather(run))):
            missing.append(run)
    rows.sort(key=lambda row: (row.server.launched, row.server.id), reverse=True)
    return ServerList(at=(yield from ask(Now())), rows=tuple(rows), without_server=tuple(missing))


def _lacks_server(facts: Facts) -> bool:
    """Return whether the run is live and EC2 does not show its elected server."""
    match facts.attempt:
        case Attempt(closed=NotStored(), election=Elected(), server=NotShown()):
            return True
    return False


def _row(server: Server) -> Flow[ServerRow]:
    now = yield from ask(Now())
    armed = yield from ask(IsArmed(server.id))
    row = ServerRow(server=server, decision=sweep.by_tags(server, now), armed=armed)
    if isinstance(server.run_tags, BadRunTags):
        return row
    run, attempt = server.run_tags
    intent = yield from read.record(Intent, names.attempt_key(run, attempt, Intent.file))
    elected = yield from read.election(run, attempt)
    if row.decision.action == "leave" and server.state != "shutting-down":
        row = replace(row, decision=sweep.by_records(server, intent, elected, now))
    if not isinstance(intent, Intent):
        return row
    prefix = names.out_prefix(run, attempt, intent.role_id, server.id)
    match (yield from read.record(Started, names.started_key(prefix))):
        case Started(at=began):
            row = replace(row, job_started=began)
    ended = yield from read.record(Ended, names.ended_key(prefix))
    return replace(row, job_ended=isinstance(ended, Ended))
