"""Claims ticks that were never delivered: a tick without a record that is older than its start_within was missed.

So every tick gets a claim. The sweeper runs this, and only checks ticks that became too old since its last complete sweep.
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

MAX_LOOKBACK = timedelta(days=2)
"""How far back to look after sweeper downtime. Older ticks get no claim, and `runs` shows them as missed."""
GRACE = timedelta(minutes=2)
"""Added to start_within, because a delivery may be in progress."""
MAX_TICKS_PER_SWEEP = 500


def claim_missed(now: datetime, since: datetime, actor: Actor) -> Flow[list[names.RunName]]:
    """Write the claims and walk these runs to their end. `since`: the last complete sweep."""
    start = max(now - MAX_LOOKBACK, since - GRACE)
    claimed: list[names.RunName] = []
    for folder in (yield from ask(List(names.VERSIONS, folders=True))):
        job = folder.removeprefix(names.VERSIONS).rstrip("/")
        for version, run in (yield from _undelivered_ticks(job, start, now, actor)):
            if len(claimed) >= MAX_TICKS_PER_SWEEP:
                return claimed
            missed = claim.not_delivered(run, version, now)
            if (yield from ask(PutNew(names.claim_key(run), encode(missed)))):
                yield from ask(Log(f"{run}: missed", {"why": missed.why}))
                claimed.append(run)
            yield from walk(run, actor)
    return claimed


def _undelivered_ticks(
    job: str, start: datetime, now: datetime, actor: Actor
) -> Flow[list[tuple[Deployed, names.RunName]]]:
    """Return the ticks without a record that became too old between `start` and now, each with its version."""
    found: list[tuple[Deployed, names.RunName]] = []
    keys = yield from ask(List(names.version_prefix(job)))
    for period in ticks.periods(keys, now):
        # A tick can become too old after its version was replaced. start_within is at most a day, so this skips none.
        if period.end < start - MAX_LOOKBACK:
            continue
        version = yield from read.version(period.key)
        if not isinstance(version, Deployed):
            continue
        first = max(period.start, start - ticks.start_within(version) - GRACE)
        for tick in ticks.overdue(version, first, period.end, now, actor.zones, GRACE):
            run = names.RunName(job, tick)
            if not (yield from _has_record(run)):
                found.append((version, run))
    return found


def _has_record(run: names.RunName) -> Flow[bool]:
    """Return whether the tick has a claim, or is open."""
    claimed = yield from read.exists(names.claim_key(run))
    return claimed or (yield from read.exists(names.open_key(run)))
