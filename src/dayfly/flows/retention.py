"""Removes runs older than `keep`, by the days under done/. Open runs and the run that `latest` names stay.

The sweeper runs it once a day, in parts that fit into one sweep. A run's marker under done/ is removed last, so that the next
sweep finds a removal that was interrupted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dayfly.core import names
from dayfly.core.records import Claim, Intent, Latest
from dayfly.flows import read
from dayfly.flows.calls import DeleteMany, Flow, List, ask

MAX_RUNS_PER_SWEEP, MAX_OBJECTS_PER_SWEEP = 500, 20_000
"""Limits of one sweep, which has 14 minutes. A hundred runs take a few seconds, a thousand objects one second."""


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
        for run in dict.fromkeys(names.done_name(key).run for key in markers):
            if len(removed.runs) >= MAX_RUNS_PER_SWEEP or removed.objects >= MAX_OBJECTS_PER_SWEEP:
                removed.more = True
                return removed
            if run.job not in latest_runs:
                latest_runs[run.job] = yield from _latest_run(run.job)
            if str(run) == latest_runs[run.job] or (yield from read.exists(names.open_key(run))):
                continue
            markers_of_run = [key for key in markers if names.done_name(key).run == run]
            removed.objects += yield from _remove(run, markers_of_run)
            removed.runs.append(str(run))
    return removed


def _latest_run(job: str) -> Flow[str]:
    """Return the run that `latest` names; empty when there is none."""
    match (yield from read.record(Latest, names.latest_key(job))):
        case Latest(run=run):
            return run
    return ""


def _remove(run: names.RunName, markers: list[str]) -> Flow[int]:
    """Delete all objects of a run, its markers last. Return how many."""
    records = yield from ask(List(names.run_prefix(run)))
    files = yield from ask(List(f"out/{run.job}/{names.utc_text(run.tick)}/"))
    # Keys are out/JOB/TICK/ATTEMPT/ROLEID:INSTANCE/..., and go.json is below the same ROLEID:INSTANCE.
    servers = {key.split("/")[4] for key in files if key.count("/") > 4}
    requests = yield from _requests(run, records)
    keys = (*files, *(f"go/{server}/go.json" for server in sorted(servers)), *requests, *records)
    yield from ask(DeleteMany(keys))
    yield from ask(DeleteMany(tuple(markers)))
    return len(keys) + len(markers)


def _with_request(run: names.RunName, keys: tuple[str, ...]) -> list[tuple[type[Intent] | type[Claim], str]]:
    """Return the records that name a request, each with its key: the run's claim, and the intent of each attempt."""
    intents = [(Intent, key) for key in keys if key.endswith("/intent.json")]
    claims = [(Claim, key) for key in keys if key == names.claim_key(run)]
    return [*intents, *claims]


def _requests(run: names.RunName, records: tuple[str, ...]) -> Flow[tuple[str, ...]]:
    """Return the keys of the requests behind this run and its retries."""
    requests: list[str] = []
    for kind, key in _with_request(run, records):
        match (yield from read.record(kind, key)):
            case Intent(request=request) | Claim(request=request):
                requests.append(request)
    found: list[str] = []
    for request in dict.fromkeys(each for each in requests if each):
        found += yield from ask(List(names.request_prefix(request)))
    return tuple(found)
