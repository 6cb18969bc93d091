"""Remove what is older than `keep`, by the days in done/. Never what `latest` points to, never an open run.

Once a day, from the sweeper, as much as a function can in one go. The marker in done/ goes last, so that what was begun is found.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dayfly.core import names
from dayfly.core.records import Claim, Intent, Latest
from dayfly.flows.calls import DeleteMany, Flow, Get, List, ask
from dayfly.flows.gather import record

RUNS_A_SWEEP, OBJECTS_A_SWEEP = 500, 20_000
"""Bounds of one sweep: some seconds a hundred runs (a few lists each), a second a thousand objects; the function has 14 minutes."""


@dataclass
class Removed:
    """Names of the runs removed, and whether there is more for the next sweep."""

    runs: list[str] = field(default_factory=list)
    objects: int = 0
    more: bool = False


def keep(now: datetime, keep_s: int) -> Flow[Removed]:
    """Removes runs whose tick is older than `keep_s`."""
    before = (now - timedelta(seconds=keep_s)).date().isoformat()
    days = yield from ask(List(names.DONE, folders=True))
    removed, pinned = Removed(), dict[str, str]()
    for day in days:
        if day.removeprefix(names.DONE).rstrip("/") >= before:
            continue
        markers = yield from ask(List(day))
        for run in dict.fromkeys(names.done_name(key).run for key in markers):
            if len(removed.runs) >= RUNS_A_SWEEP or removed.objects >= OBJECTS_A_SWEEP:
                removed.more = True
                return removed
            if run.job not in pinned:
                latest = yield from record(Latest, names.latest_key(run.job))
                pinned[run.job] = latest.run if latest else ""
            still_open = yield from ask(Get(names.open_key(run)))
            if str(run) == pinned[run.job] or still_open is not None:
                continue
            removed.objects += yield from _remove(run, [key for key in markers if names.done_name(key).run == run])
            removed.runs.append(str(run))
    return removed


def _remove(run: names.RunName, markers: list[str]) -> Flow[int]:
    records = yield from ask(List(names.run_prefix(run)))
    files = yield from ask(List(f"out/{run.job}/{names.utc_text(run.tick)}/"))
    servers = {key.split("/")[4] for key in files if key.count("/") > 4}
    requests = yield from _requests(run, records)
    first = (*files, *(f"go/{server}/go.json" for server in sorted(servers)), *requests, *records)
    yield from ask(DeleteMany(first))
    yield from ask(DeleteMany(tuple(markers)))
    return len(first) + len(markers)


def _requests(run: names.RunName, records: tuple[str, ...]) -> Flow[tuple[str, ...]]:
    """What the wishes behind this run wrote down, its retries' too."""
    requests: list[str] = []
    for key in records:
        if key.endswith("/intent.json"):
            intent = yield from record(Intent, key)
            requests += [intent.request] if intent else []
    claim = yield from record(Claim, names.claim_key(run), records)
    requests += [claim.request] if claim else []
    found: list[str] = []
    for request in dict.fromkeys(each for each in requests if each):
        found += yield from ask(List(names.request_key(request, 0).rsplit("~", 1)[0] + "~"))
    return tuple(found)
