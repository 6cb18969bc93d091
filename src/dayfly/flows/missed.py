"""Claims ticks that were never delivered: a tick older than its start_within without any record was missed.

So every expected tick ends as a claim. The sweeper runs this; only ticks that came due since its last whole sweep are checked.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.core import claim, names, ticks
from dayfly.core.model import Deployed
from dayfly.core.records import encode
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, List, Log, PutNew, ask
from dayfly.flows.walk import walk

BACK_AT_MOST = timedelta(days=2)
"""How far back to look after sweeper downtime. Older ticks stay without a claim, and `runs` shows them as missed."""
GRACE = timedelta(minutes=2)
"""Beyond start_within, for a delivery in progress."""
TICKS_A_SWEEP = 500


def claim_missed(now: datetime, since: datetime, actor: Actor) -> Flow[list[names.RunName]]:
    """Writes the claims and walks these runs to their end. `since`: the last whole sweep;"""
    start = max(now - BACK_AT_MOST, since - GRACE)
    claimed: list[names.RunName] = []
    for folder in (yield from ask(List(names.VERSIONS, folders=True))):
        job = folder.removeprefix(names.VERSIONS).rstrip("/")
        for version, run in (yield from _undelivered(job, start, now, actor)):
            if len(claimed) >= TICKS_A_SWEEP:
                return claimed
            missed = claim.not_delivered(run, version, now)
            if (yield from ask(PutNew(names.claim_key(run), encode(missed)))):
                yield from ask(Log(f"{run}: missed", {"why": missed.why}))
                claimed.append(run)
            yield from walk(run, actor)
    return claimed


def _undelivered(job: str, start: datetime, now: datetime, actor: Actor) -> Flow[list[tuple[Deployed, names.RunName]]]:
    """Ticks that became too old between `start` and now and have no record, with the version in force at each."""
    found: list[tuple[Deployed, names.RunName]] = []
    keys = yield from ask(List(names.version_prefix(job)))
    for period in ticks.periods(keys, now):
        # A tick can become too old long after its version was replaced: start_within is a day at most.
        if period.end < start - BACK_AT_MOST:
            continue
        version = yield from read.version(period.key)
        if not isinstance(version, Deployed):
            continue
        first = max(period.start, start - ticks.start_within(version) - GRACE)
        for tick in ticks.overdue(version, first, period.end, now, actor.zones, GRACE):
            run = names.RunName(job, tick)
            if not (yield from _known(run)):
                found.append((version, run))
    return found


def _known(run: names.RunName) -> Flow[bool]:
    """Whether the tick has a claim, or is open."""
    claimed = yield from read.exists(names.claim_key(run))
    return claimed or (yield from read.exists(names.open_key(run)))
