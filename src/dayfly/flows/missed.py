"""Claim what nobody delivered: a tick of a schedule in force that is older than its start_within and has no claim was missed.

So every expected tick ends as a claim. From the sweeper; only ticks that came due since its last good sweep are looked at.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.core import names, schedule
from dayfly.core.model import Version
from dayfly.core.records import Claim, encode
from dayfly.core.versions import read_version
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Flow, Get, List, Log, PutNew, ask
from dayfly.flows.walk import walk

BACK_AT_MOST = timedelta(days=2)
"""So far back after a silence of the sweeper; what is older stays without a claim and `runs` shows it as missed."""
GRACE = timedelta(minutes=2)
"""Beyond start_within, for a delivery that is under way."""
TICKS_A_SWEEP = 500


def claim_missed(now: datetime, since: datetime | None, actor: Actor) -> Flow[list[names.RunName]]:
    """Writes the claims and walks these runs to their end. `since`: the last good sweep."""
    start = max(since - GRACE if since else now - BACK_AT_MOST, now - BACK_AT_MOST)
    claimed: list[names.RunName] = []
    root = names.version_prefix("x").removesuffix("x/")
    for folder in (yield from ask(List(root, folders=True))):
        job = folder.removeprefix(root).rstrip("/")
        for version, run in (yield from _undelivered(job, start, now, actor)):
            if len(claimed) >= TICKS_A_SWEEP:
                return claimed
            why = f"nobody delivered it within start_within of {version.job.start_within_s if version.job else 0} s"
            missed = Claim(
                run=str(run),
                decision="missed",
                reason="not-delivered",
                why=why,
                version=version.key,
                source="schedule",
                at=now,
            )
            if (yield from ask(PutNew(names.claim_key(run), encode(missed)))):
                yield from ask(Log(f"{run}: missed", {"why": why}))
                claimed.append(run)
            yield from walk(run, actor)
    return claimed


def _undelivered(job: str, start: datetime, now: datetime, actor: Actor) -> Flow[list[tuple[Version, names.RunName]]]:
    """Ticks that turned too old between `start` and now, by the version in force at each, of which nothing is written."""
    keys = sorted((yield from ask(List(names.version_prefix(job)))), key=names.version_since)
    ends = [*(names.version_since(key) for key in keys[1:]), now]
    found: list[tuple[Version, names.RunName]] = []
    for key, end in zip(keys, ends, strict=True):
        if end < start - BACK_AT_MOST:
            continue
        stored = yield from ask(Get(key))
        version = read_version(stored.body) if stored else None
        if version is None or version.job is None or not version.job.schedule:
            continue
        late = timedelta(seconds=version.job.start_within_s) + GRACE
        meant = schedule.parse(version.job.schedule, actor.zones(version.job.timezone))
        first, last = max(version.effective_from, start - late), min(end, now - late)
        if first < last:
            for tick in schedule.ticks_between(meant, first, last):
                run = names.RunName(job, tick)
                if not (yield from _known(run)):
                    found.append((version, run))
    return found


def _known(run: names.RunName) -> Flow[bool]:
    claim = yield from ask(Get(names.claim_key(run)))
    return claim is not None or (yield from ask(Get(names.open_key(run)))) is not None
