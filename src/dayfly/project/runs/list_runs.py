"""List runs: those that are open, those that are finished, and the ticks that never became a run. These flows only read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from dayfly.core import names, ticks
from dayfly.core.facts import NotStored, Unreadable
from dayfly.core.model import Deployed
from dayfly.core.records import Claim, Latest
from dayfly.core.ticks import Zones
from dayfly.flows import read
from dayfly.flows.calls import Flow, List, Log, Now, ask
from dayfly.flows.gather import gather
from dayfly.project.runs import rows
from dayfly.project.runs.rows import RunRow

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_TICKS = 20_000
"""At most this many expected ticks are checked per job: two weeks of one tick a minute. Older ones are left out."""


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """Which runs to list: ticks from `since` to before `until`, of one job or (None) of all.

    `details`: the number of newest runs whose details are read. `keep_s`: older runs were deleted, so older ticks cannot count as missed.
    """

    since: datetime
    until: datetime
    keep_s: int
    details: int
    job: str | None = None


def list_runs(query: RunQuery, zones: Zones) -> Flow[tuple[RunRow, ...]]:
    """Return a row per run and per missed tick, newest first."""
    found: dict[names.RunName, RunRow] = {}
    for row in (yield from _finished(query)):
        if row.run not in found or found[row.run].attempt < row.attempt:
            found[row.run] = row
    for run in (yield from open_runs(query.job)):
        facts = yield from gather(run)
        # It may have finished after open/ was listed. Then the row from its marker under done/ is newer.
        if facts.is_open or run not in found:
            found[run] = rows.from_facts(facts, (yield from ask(Now())))
    for job in (yield from _jobs(query)):
        for row in (yield from _missed(job, query, zones, found)):
            found[row.run] = row
    newest = sorted(found.values(), key=lambda row: (row.run.tick, row.run.job), reverse=True)
    for number, row in enumerate(newest[: query.details]):
        if not row.detailed:
            newest[number] = yield from _detailed(row)
    latest = yield from _latest({row.run.job for row in newest})
    return tuple(replace(row, latest=latest.get(row.run.job) == str(row.run)) for row in newest)


def open_runs(job: str | None = None) -> Flow[tuple[names.RunName, ...]]:
    """Return every run that is not finished, of one job or of all."""
    prefix = names.OPEN
    if job is not None:
        prefix += f"{job}@"
    keys = yield from ask(List(prefix))
    return (yield from _named(keys, lambda key: names.run_name(key.removeprefix(names.OPEN))))


def runs_with_records(job: str, day: str = "") -> Flow[tuple[names.RunName, ...]]:
    """Return the runs of a job that have any record: those of a day (UTC, `2026-11-24`), or all."""
    root = names.run_prefix(names.RunName(job, _EPOCH)).removesuffix(f"{names.utc_text(_EPOCH)}/")
    folders = yield from ask(List(root + day, folders=True))
    return (yield from _named(folders, lambda folder: names.run_name(f"{job}@{folder.removeprefix(root).rstrip('/')}")))


def finished_days() -> Flow[tuple[str, ...]]:
    """Return the folders under `done/`, one per day (UTC) that has a finished run, newest first."""
    days = yield from ask(List(names.DONE, folders=True))
    return tuple(reversed(days))


def finished_on(day: str) -> Flow[tuple[names.DoneName, ...]]:
    """Return the finished attempts in one of the folders of `finished_days`."""
    return (yield from _named((yield from ask(List(day))), names.done_name))


def _named(keys: tuple[str, ...], name: Callable[[str], T]) -> Flow[tuple[T, ...]]:
    """Return what these keys name. A key that names nothing is logged and left out."""
    found = []
    for key in keys:
        try:
            found.append(name(key))
        except ValueError:
            yield from ask(Log(f"{key} is not the key of a record", {read.UNREADABLE: key}))
    return tuple(found)


def _finished(query: RunQuery) -> Flow[list[RunRow]]:
    first, last = query.since.date().isoformat(), query.until.date().isoformat()
    found: list[RunRow] = []
    for day in (yield from finished_days()):
        if not first <= day.removeprefix(names.DONE).rstrip("/") <= last:
            continue
        for done in (yield from finished_on(day)):
            if query.job in (None, done.run.job) and query.since <= done.run.tick < query.until:
                found.append(RunRow(run=done.run, outcome=done.outcome, attempt=done.attempt))
    return found


def _detailed(row: RunRow) -> Flow[RunRow]:
    """Add what the receipt knows, or the claim of a run without an attempt."""
    known: Mapping[str, Any] | Claim | NotStored | Unreadable
    if row.attempt:
        known = yield from read.receipt(row.run, row.attempt)
    else:
        known = yield from read.record(Claim, names.claim_key(row.run))
    match known:
        case NotStored() | Unreadable():
            return row
        case Claim() as claim:
            return replace(row, detailed=True, source=claim.source, reason=claim.reason, detail=claim.why)
        case receipt:
            return rows.from_receipt(row, receipt)


def _jobs(query: RunQuery) -> Flow[tuple[str, ...]]:
    """Return the jobs that were ever deployed, or the one asked for."""
    if query.job is not None:
        return (query.job,)
    folders = yield from ask(List(names.VERSIONS, folders=True))
    return tuple(folder.removeprefix(names.VERSIONS).rstrip("/") for folder in folders)


def _latest(jobs: Iterable[str]) -> Flow[dict[str, str]]:
    """Return the run that `latest` names, by job."""
    found: dict[str, str] = {}
    for job in sorted(jobs):
        match (yield from read.record(Latest, names.latest_key(job))):
            case Latest(run=run):
                found[job] = run
    return found


# --- ticks that never became a run --------------------------------------------------------------------------------------


def _missed(job: str, query: RunQuery, zones: Zones, known: Mapping[names.RunName, RunRow]) -> Flow[list[RunRow]]:
    """Return the expected ticks that are not among the known runs and can no longer start."""
    expected = yield from expected_ticks(job, query.since, query.until, query.keep_s, zones)
    absent = [run for run in expected if run not in known]
    recorded: set[names.RunName] = set()
    for day in sorted({run.tick.date() for run in absent}):
        recorded.update((yield from runs_with_records(job, day.isoformat())))
    found = []
    for run in absent:
        if run not in recorded:
            found.append(rows.never_started(run))
            continue
        # It has records, but no marker under open/ or done/: a program is between two steps, or the marker was lost.
        facts = yield from gather(run)
        found.append(rows.from_facts(facts, (yield from ask(Now()))))
    return found


def expected_ticks(job: str, since: datetime, until: datetime, keep_s: int, zones: Zones) -> Flow[list[names.RunName]]:
    """Return the ticks of the schedules in force that are older than `start_within`, newest version first."""
    now = yield from ask(Now())
    oldest = max(since, now - timedelta(seconds=keep_s))
    found: list[names.RunName] = []
    keys = yield from _named((yield from ask(List(names.version_prefix(job)))), _version_key)
    for period in reversed(ticks.periods(keys, until)):
        start, end = max(period.start, oldest), min(period.end, until)
        if start >= end or len(found) >= _MOST_TICKS:
            continue
        version = yield from read.version(period.key)
        if isinstance(version, Deployed):
            overdue = list(ticks.overdue(version.job.timetable, start, end, now, zones))
            found += [names.RunName(job, tick) for tick in overdue[-_MOST_TICKS:]]
    return found


def _version_key(key: str) -> str:
    """Return the key if it is that of a version. Raises ValueError."""
    if not names.is_version_key(key):
        raise ValueError(key)
    return key
