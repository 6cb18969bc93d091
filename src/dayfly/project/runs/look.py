"""Looking: lists of runs and servers, the run that somebody names, what `show` and `logs` need. Reads only, writes nothing.

How a screen is drawn is core/screens; a log's bytes and a result's files are fetched by cloud/results.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.core import names, sweep, ticks
from dayfly.core.facts import Attempt, Facts, Server
from dayfly.core.model import Deployed
from dayfly.core.records import Claim, Ended, Heartbeat, Intent, Latest, Started
from dayfly.core.ticks import Zones
from dayfly.errors import NotFoundError
from dayfly.flows.calls import Console, Flow, Get, IsArmed, List, Now, Servers, ask
from dayfly.flows.gather import election, gather, read, record
from dayfly.project.runs import references
from dayfly.project.runs.references import RunRef
from dayfly.project.screens.runs import NEVER, RunRow, of_facts, of_receipt
from dayfly.project.screens.servers import Listed, ServerRow
from dayfly.project.screens.show import Seen

_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICKS = 20_000
"""Expected ticks looked at per job: two weeks of one a minute. Older ones are then not asked about."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which runs to list: of these jobs (None: all), with a tick from `since` to before `until`, and of how many the details.

    `keep_s`: what is older was removed, so nothing is missed there.
    """

    since: datetime
    until: datetime
    keep_s: int
    details: int
    job: str | None = None


def list_runs(wanted: Wanted, zones: Zones) -> Flow[tuple[RunRow, ...]]:
    """Runs that are open, runs that are over, and ticks that never became a run, newest first."""
    rows: dict[names.RunName, RunRow] = {}
    for row in (yield from _done(wanted)):
        there = rows.get(row.run)
        if there is None or there.attempt < row.attempt:
            rows[row.run] = row
    for run in (yield from open_runs(wanted.job)):
        facts = yield from gather(run)
        # It may have been finished between the two questions: then its marker says more.
        if facts.opened is not None or run not in rows:
            rows[run] = of_facts(facts, (yield from ask(Now())))
    for job in (yield from _jobs(wanted.job)):
        for row in (yield from _missed(job, wanted, zones, rows)):
            rows[row.run] = row
    newest = sorted(rows.values(), key=lambda row: (row.run.tick, row.run.job), reverse=True)
    latest = yield from _latest({row.run.job for row in newest})
    told: list[RunRow] = []
    for number, row in enumerate(newest):
        full = row if row.told or number >= wanted.details else (yield from _told(row))
        told.append(replace(full, latest=latest.get(row.run.job) == str(row.run)))
    return tuple(told)


def open_runs(job: str | None = None) -> Flow[tuple[names.RunName, ...]]:
    """Every run that is not finished."""
    keys = yield from ask(List(names.OPEN if job is None else f"{names.OPEN}{job}@"))
    return tuple(run for key in keys if (run := _run(key.removeprefix(names.OPEN))) is not None)


def _done(wanted: Wanted) -> Flow[list[RunRow]]:
    first, last = wanted.since.date().isoformat(), wanted.until.date().isoformat()
    rows: list[RunRow] = []
    for day in (yield from ask(List(names.DONE, folders=True))):
        if first <= day.removeprefix(names.DONE).rstrip("/") <= last:
            for key in (yield from ask(List(day))):
                done = names.done_name(key)
                if wanted.job in (None, done.run.job) and wanted.since <= done.run.tick < wanted.until:
                    rows.append(RunRow(run=done.run, outcome=done.outcome, attempt=done.attempt))
    return rows


def _told(row: RunRow) -> Flow[RunRow]:
    """The row with what its receipt or its claim tells."""
    if row.attempt:
        stored = yield from ask(Get(names.attempt_key(row.run, row.attempt, "receipt")))
        return of_receipt(row, json.loads(stored.body)) if stored else row
    claim = yield from record(Claim, names.claim_key(row.run))
    return replace(row, told=True, source=claim.source, reason=claim.reason, detail=claim.why) if claim else row


def _jobs(job: str | None) -> Flow[tuple[str, ...]]:
    if job is not None:
        return (job,)
    folders = yield from ask(List(names.VERSIONS, folders=True))
    return tuple(folder.removeprefix(names.VERSIONS).rstrip("/") for folder in folders)


def _latest(jobs: Iterable[str]) -> Flow[dict[str, str]]:
    found: dict[str, str] = {}
    for job in sorted(jobs):
        latest = yield from record(Latest, names.latest_key(job))
        if latest is not None:
            found[job] = latest.run
    return found


# --- ticks that never became a run --------------------------------------------------------------------------------------


def _missed(job: str, wanted: Wanted, zones: Zones, known: dict[names.RunName, RunRow]) -> Flow[list[RunRow]]:
    """Ticks of the schedules in force that are older than `start_within` and of which there is no word."""
    absent = [run for run in (yield from _expected(job, wanted, zones)) if run not in known]
    claimed: set[names.RunName] = set()
    for day in sorted({run.tick.date() for run in absent}):
        claimed |= set((yield from _named(job, day.isoformat())))
    rows = []
    for run in absent:
        if run in claimed:
            # Decided, but neither open nor done: somebody is between two steps, or its marker was lost.
            facts = yield from gather(run)
            rows.append(of_facts(facts, (yield from ask(Now()))))
        else:
            rows.append(RunRow(run=run, outcome="missed", told=True, source="schedule", reason=NEVER, detail=NEVER))
    return rows


def _expected(job: str, wanted: Wanted, zones: Zones) -> Flow[list[names.RunName]]:
    now = yield from ask(Now())
    oldest = max(wanted.since, now - timedelta(seconds=wanted.keep_s))
    found: list[names.RunName] = []
    keys = yield from ask(List(names.version_prefix(job)))
    for period in reversed(ticks.periods(keys, wanted.until)):
        start, end = max(period.start, oldest), min(period.end, wanted.until)
        if start >= end or len(found) >= _TICKS:
            continue
        version = yield from read(period.key)
        if isinstance(version, Deployed):
            # Newest versions first; of one version the newest ticks are what its end leaves.
            late = list(ticks.overdue(version, start, end, now, zones))
            found += [names.RunName(job, tick) for tick in late[-_TICKS:]]
    return found


def _named(job: str, day: str) -> Flow[tuple[names.RunName, ...]]:
    """The runs of a job that have any record, of a day (UTC); of all days when `day` is empty."""
    root = names.run_prefix(names.RunName(job, _EPOCH)).removesuffix(f"{names.utc_text(_EPOCH)}/")
    folders = yield from ask(List(root + day, folders=True))
    found = (_run(f"{job}@{folder.removeprefix(root).rstrip('/')}") for folder in folders)
    return tuple(run for run in found if run is not None)


def _run(text: str) -> names.RunName | None:
    """None for what somebody else put there."""
    try:
        return names.run_name(text)
    except ValueError:
        return None


# --- the run that is named ----------------------------------------------------------------------------------------------


def find_run(ref: RunRef, zone: ZoneInfo) -> Flow[names.RunName]:
    """The run that is meant. `zone` is the job's. Raises NotFoundError with the nearest names."""
    opened = yield from open_runs(ref.job)
    if ref.day is None and ref.moment is None:
        newest = yield from _newest(ref.job)
        return references.resolve(ref, (*opened, *newest), zone)
    moment = ref.moment
    day = ref.day if ref.day is not None or moment is None else moment.date()
    assert day is not None
    near: list[names.RunName] = list(opened)
    for away in (-_DAY, timedelta(0), _DAY):
        near += yield from _named(ref.job, (day + away).isoformat())
    try:
        return references.resolve(ref, near, zone)
    except NotFoundError:
        every = yield from _named(ref.job, "")
        return references.resolve(ref, (*opened, *every), zone)


def _newest(job: str) -> Flow[tuple[names.RunName, ...]]:
    """The finished runs of the newest day that has one of this job."""
    for day in reversed((yield from ask(List(names.DONE, folders=True)))):
        found = [names.done_name(key).run for key in (yield from ask(List(day)))]
        own = tuple(run for run in found if run.job == job)
        if own:
            return own
    return ()


def newest_good(job: str) -> Flow[names.RunName]:
    """The run that `latest` names. Raises NotFoundError, with a good run by hand in its hint when there is one."""
    latest = yield from record(Latest, names.latest_key(job))
    if latest is not None:
        return names.run_name(latest.run)
    for day in reversed((yield from ask(List(names.DONE, folders=True)))):
        good = [done for key in (yield from ask(List(day))) if (done := names.done_name(key)).outcome == "succeeded"]
        own = [done.run for done in good if done.run.job == job]
        if own:
            name = own[-1] if own[-1].tick.second else references.short(own[-1])
            raise NotFoundError(
                f"{job} has no good result by its schedule yet; {name} is a good one by hand",
                hint=f"dayfly fetch {name}",
            )
    raise NotFoundError(f"{job} has no good run yet", hint=f"dayfly runs {job}")


# --- show, logs ---------------------------------------------------------------------------------------------------------


def look_at(run: names.RunName) -> Flow[tuple[Facts, Seen, datetime]]:
    """All that `show` says of a run, and when it was looked up."""
    facts = yield from gather(run)
    receipt: dict[str, Any] | None = None
    attempt = facts.attempt
    if attempt is not None and attempt.receipt:
        stored = yield from ask(Get(names.attempt_key(run, attempt.number, "receipt")))
        receipt = json.loads(stored.body) if stored else None
    latest = yield from record(Latest, names.latest_key(run.job))
    lives = attempt is not None and attempt.closed is None and attempt.server is not None
    heartbeat = (yield from record(Heartbeat, names.HEARTBEAT)) if lives else None
    console = (yield from ask(Console(attempt.server.id))) if lives and attempt and attempt.server else None
    now = yield from ask(Now())
    return facts, Seen(receipt=receipt, latest=latest, heartbeat=heartbeat, console=console), now


def out_prefix(run: names.RunName, attempt: Attempt) -> str | None:
    """Where the attempt's server puts its words and files; None when there is no server."""
    elected = attempt.elected
    if elected is None:
        return None
    return names.out_prefix(run, attempt.number, attempt.intent.role_id, elected.server)


def log_pieces(run: names.RunName, attempt: Attempt) -> Flow[tuple[str, ...]]:
    """Keys of the pieces of the log that are there, in order, up to the first that is not.

    The server may write what it likes below its prefix: only what is named as a piece is one.
    """
    prefix = out_prefix(run, attempt)
    if prefix is None:
        return ()
    return names.log_pieces(prefix, (yield from ask(List(f"{prefix}log/"))))


# --- ps -----------------------------------------------------------------------------------------------------------------


def list_servers() -> Flow[Listed]:
    """This project's servers that EC2 shows and that are not gone, judged as the sweeper judges them."""
    servers = yield from ask(Servers())
    rows: list[ServerRow] = []
    for server in servers:
        if not server.gone:
            rows.append((yield from _server_row(server)))
    without: list[names.RunName] = []
    for run in (yield from open_runs()):
        if str(run) not in {row.server.run for row in rows}:
            attempt = (yield from gather(run)).attempt
            waiting = attempt is not None and attempt.closed is None and attempt.elected is not None
            if waiting and attempt and attempt.server is None:
                without.append(run)
    ordered = sorted(rows, key=lambda row: (row.server.launched, row.server.id), reverse=True)
    return Listed(at=(yield from ask(Now())), rows=tuple(ordered), without=tuple(without))


def _server_row(server: Server) -> Flow[ServerRow]:
    now = yield from ask(Now())
    decision = sweep.by_tags(server, now)
    armed = yield from ask(IsArmed(server.id))
    run = _run(server.run)
    if run is None or server.attempt is None:
        return ServerRow(server=server, decision=decision, armed=armed)
    intent = yield from record(Intent, names.attempt_key(run, server.attempt, "intent"))
    elected = yield from election(run, server.attempt)
    if decision.action == "leave" and server.state != "shutting-down":
        decision = sweep.by_records(server, intent, elected, now)
    started: Started | None = None
    ended: Ended | None = None
    if intent is not None:
        prefix = names.out_prefix(run, server.attempt, intent.role_id, server.id)
        started = yield from record(Started, prefix + "started.json")
        ended = yield from record(Ended, prefix + "ended.json")
    return ServerRow(
        server=server, decision=decision, armed=armed, started=started.at if started else None, ended=ended is not None
    )
