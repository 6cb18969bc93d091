"""Remove what is older than `keep`, by the days in done/. Never what `latest` points to, never an open run.

Once a day, from the sweeper. The marker in done/ goes last, so that what was begun is found again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.core import names
from dayfly.core.records import Latest, decode
from dayfly.flows.calls import Delete, Flow, Get, List, ask

RUNS_A_SWEEP = 200
"""Bound of one sweep's removals, so that the function's 15 minutes suffice; the rest goes on the next days."""


def keep(now: datetime, keep_s: int) -> Flow[list[str]]:
    """Removes runs whose tick is older than `keep_s`; returns their names."""
    before = (now - timedelta(seconds=keep_s)).date().isoformat()
    days = yield from ask(List(names.DONE, folders=True))
    old = [day for day in days if day.removeprefix(names.DONE).rstrip("/") < before]
    gone: list[str] = []
    pinned: dict[str, str] = {}
    for day in old:
        markers = yield from ask(List(day))
        runs = dict.fromkeys(names.done_name(key).run for key in markers)
        for run in runs:
            if len(gone) >= RUNS_A_SWEEP:
                return gone
            if run.job not in pinned:
                pinned[run.job] = yield from _latest(run.job)
            still_open = yield from ask(Get(names.open_key(run)))
            if str(run) == pinned[run.job] or still_open is not None:
                continue
            yield from _remove(run, [key for key in markers if names.done_name(key).run == run])
            gone.append(str(run))
    return gone


def _latest(job: str) -> Flow[str]:
    stored = yield from ask(Get(names.latest_key(job)))
    return decode(Latest, stored.body).run if stored else ""


def _remove(run: names.RunName, markers: list[str]) -> Flow[None]:
    tick = names.utc_text(run.tick)
    records = yield from ask(List(names.run_prefix(run)))
    files = yield from ask(List(f"out/{run.job}/{tick}/"))
    servers = {key.split("/")[4] for key in files if key.count("/") > 4}
    for key in (*files, *(f"go/{server}/go.json" for server in sorted(servers)), *records, *markers):
        yield from ask(Delete(key))
