"""Find the run that a person names: a RUN argument, or a job's newest successful run. These flows only read.

references.py parses a RUN argument.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dayfly.core import names
from dayfly.core.reasons import Outcome
from dayfly.core.records import Latest
from dayfly.core.ticks import Zones
from dayfly.errors import NotFoundError
from dayfly.flows import read
from dayfly.flows.calls import Flow
from dayfly.project.runs import references
from dayfly.project.runs.list_runs import expected_ticks, finished_days, finished_on, open_runs, runs_with_records
from dayfly.project.runs.references import RunReference

_DAY = timedelta(days=1)


def find_run(reference: RunReference, zone: ZoneInfo) -> Flow[names.RunName]:
    """Return the run that the reference means; `zone` is the job's. Raises NotFoundError with the nearest names."""
    opened = yield from open_runs(reference.job)
    day = reference.day
    if day is None:
        newest = yield from _newest_finished(reference.job)
        return references.resolve(reference, (*opened, *newest), zone)
    near = yield from _around(reference.job, day)
    try:
        return references.resolve(reference, (*opened, *near), zone)
    except NotFoundError:
        every = yield from runs_with_records(reference.job)
        return references.resolve(reference, (*opened, *every), zone)


def find_run_or_tick(reference: RunReference, zone: ZoneInfo, keep_s: int, zones: Zones) -> Flow[names.RunName]:
    """Return the run that the reference means, or the tick that never became one, as `runs` lists them.

    `keep_s`: older ticks are not listed. Raises NotFoundError with the nearest names.
    """
    try:
        return (yield from find_run(reference, zone))
    except NotFoundError:
        if reference.day is None:
            raise
        since = datetime.combine(reference.day - _DAY, time(), UTC)
        ticks = yield from expected_ticks(reference.job, since, since + 3 * _DAY, keep_s, zones)
        every = yield from runs_with_records(reference.job)
        return references.resolve(reference, (*ticks, *every), zone)


def _around(job: str, day: date) -> Flow[tuple[names.RunName, ...]]:
    """Return the runs of the day before, the day and the day after, in UTC: a day of any time zone lies in these."""
    found: tuple[names.RunName, ...] = ()
    for each in (day - _DAY, day, day + _DAY):
        found += yield from runs_with_records(job, each.isoformat())
    return found


def _newest_finished(job: str) -> Flow[tuple[names.RunName, ...]]:
    """Return the finished runs of the newest day that has one of this job."""
    for day in (yield from finished_days()):
        found = tuple(done.run for done in (yield from finished_on(day)) if done.run.job == job)
        if found:
            return found
    return ()


def newest_good(job: str) -> Flow[names.RunName]:
    """Return the job's newest run that succeeded, started by its schedule or by hand. Raises NotFoundError if there is none.

    `latest` names the newest of the schedule, so older days need not be listed.
    """
    found: list[names.RunName] = []
    since = ""
    match (yield from read.record(Latest, names.latest_key(job))):
        case Latest(run=run):
            found.append(names.run_name(run))
            since = names.done_day(found[0])
    for day in (yield from finished_days()):
        if day < since:
            break
        good = [done.run for done in (yield from finished_on(day)) if done.outcome == Outcome.SUCCEEDED]
        found += [run for run in good if run.job == job]
        if found and not since:
            break
    if not found:
        raise NotFoundError(f"no run of {job} has succeeded yet", hint=f"dayfly runs {job}")
    return max(found, key=lambda run: run.tick)
