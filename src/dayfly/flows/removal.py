"""Removes what the bucket holds of one run. When that is done, and for which runs, is decided in flows/retention.py.

The key of the run under open/ says that it is being removed. It is deleted last, so that a removal that was cut off is continued,
by a later sweep that first makes the mark its own.
"""

from __future__ import annotations

from datetime import datetime

from dayfly.core import names, publication
from dayfly.core.facts import Unreadable
from dayfly.core.reasons import Source
from dayfly.core.records import Claim, Intent, Latest, Opened
from dayfly.flows import read
from dayfly.flows.calls import DeleteMany, Flow, Get, List, Stored, TooLarge, ask


def removal_mark(run: names.RunName, now: datetime) -> Opened:
    """Return what the run's key under open/ holds while the run is being removed."""
    return Opened(run=str(run), source=Source.SCHEDULE, at=now, request="", removing=True)


def remove_records(run: names.RunName) -> Flow[int]:
    """Delete the records, files, requests and markers of a run that is marked as being removed. Return how many.

    Nothing is deleted if `latest` names the run: it cannot move to a run that has the mark, so it is read after the mark.
    """
    if (yield from _may_be_latest(run)) or (yield from _is_shown(run)):
        return 0
    records = yield from ask(List(names.run_prefix(run)))
    files = yield from ask(List(f"out/{run.job}/{names.utc_text(run.tick)}/"))
    # Keys are out/JOB/TICK/ATTEMPT/ROLEID:INSTANCE/..., and go.json is below the same ROLEID:INSTANCE.
    servers = {key.split("/")[4] for key in files if key.count("/") > 4}
    requests = yield from _requests(run, records)
    markers = yield from ask(List(names.done_prefix(run)))
    sent = [f"go/{server}/{name}.json" for server in sorted(servers) for name in ("go", "cancel")]
    copied = yield from ask(List(f"{names.results_prefix(run.job)}{names.utc_text(run.tick)}/"))
    keys = (*files, *copied, *sent, *requests, *records, *markers)
    yield from ask(DeleteMany(keys))
    return len(keys)


def _may_be_latest(run: names.RunName) -> Flow[bool]:
    """Return whether `latest` names the run, or cannot be read."""
    match (yield from read.record(Latest, names.latest_key(run.job))):
        case Latest(run=latest):
            return latest == str(run)
        case Unreadable():
            return True
    return False


def _is_shown(run: names.RunName) -> Flow[bool]:
    """Return whether the manifest of the job's newest result in this bucket names the run, or cannot be read."""
    match (yield from ask(Get(publication.place(publication.OWN, run.job).latest))):
        case Stored(body=body):
            return publication.names_run(body, run)
        case TooLarge():
            return True
    return False


def _with_request(run: names.RunName, keys: tuple[str, ...]) -> list[tuple[type[Intent] | type[Claim], str]]:
    """Return the records that name a request, each with its key: the run's claim, and the intent of each attempt."""
    intents = [(Intent, key) for key in keys if key.endswith("/intent.json")]
    claims = [(Claim, key) for key in keys if key in (names.claim_key(run), names.backfill_key(run))]
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
