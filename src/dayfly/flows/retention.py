"""Removes runs older than `keep`, by the days under done/. Open runs and the run that `latest` names stay.

The sweeper runs it once a day, in parts that fit into one sweep. A run is marked under open/ before anything of it is
removed, so a retry either comes before all of that or is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dayfly.core import names
from dayfly.core.facts import Unreadable
from dayfly.core.reasons import Flaw
from dayfly.core.record_json import encode
from dayfly.core.records import Latest
from dayfly.flows import read
from dayfly.flows.calls import Delete, Flow, List, PutNew, ask
from dayfly.flows.removal import removal_mark, remove_records

MAX_RUNS_PER_SWEEP, MAX_OBJECTS_PER_SWEEP = 500, 20_000
"""Limits of one sweep, which has 14 minutes. A hundred runs take a few seconds, a thousand objects one second."""


UNKNOWN = "unknown"
"""Instead of the run that `latest` names: none of the job's runs may be removed."""


@dataclass
class Removal:
    """The runs that were removed. `more`: the next sweep must continue."""

    runs: list[str] = field(default_factory=list)
    objects: int = 0
    more: bool = False


def remove_old_runs(now: datetime, keep_s: int) -> Flow[Removal]:
    """Remove the runs whose tick is on a day that is older than `keep_s`."""
    before = (now - timedelta(seconds=keep_s)).date().isoformat()
    days = yield from ask(List(names.DONE, folders=True))
    removed, latest_runs = Removal(), dict[str, str]()
    for day in days:
        if day.removeprefix(names.DONE).rstrip("/") >= before:
            continue
        markers = yield from ask(List(day))
        for run in (yield from _runs(markers)):
            if len(removed.runs) >= MAX_RUNS_PER_SWEEP or removed.objects >= MAX_OBJECTS_PER_SWEEP:
                removed.more = True
                return removed
            if run.job not in latest_runs:
                latest_runs[run.job] = yield from _latest_run(run.job)
            if latest_runs[run.job] in (str(run), UNKNOWN) or not (yield from _mark(run, now)):
                continue
            objects = yield from remove_records(run)
            yield from ask(Delete(names.open_key(run)))
            if objects:
                removed.objects += objects
                removed.runs.append(str(run))
    return removed


def _runs(markers: tuple[str, ...]) -> Flow[list[names.RunName]]:
    """Return the runs that markers name, each once."""
    for key in markers:
        if not names.done_names([key]):
            yield from read.noted(Unreadable(key, Flaw.BAD_KEY))
    return list(dict.fromkeys(done.run for done in names.done_names(markers)))


def _mark(run: names.RunName, now: datetime) -> Flow[bool]:
    """Write under open/ that the run is being removed, so that no retry can open it. Return False when it is open already."""
    return (yield from ask(PutNew(names.open_key(run), encode(removal_mark(run, now)))))


def _latest_run(job: str) -> Flow[str]:
    """Return the run that `latest` names; empty when there is none, UNKNOWN when it cannot be read."""
    match (yield from read.record(Latest, names.latest_key(job))):
        case Latest(run=run):
            return run
        case Unreadable():
            return UNKNOWN
    return ""
