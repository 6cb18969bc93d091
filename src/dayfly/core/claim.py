"""The decision about a tick: run, skipped or missed, and with which version of the job.

Pure functions, for scheduled runs and runs by hand alike. Nothing about attempts or servers. core/advance.py takes the slot first;
this module only reads which run holds it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from dayfly.core import ticks
from dayfly.core.facts import Facts, NotStored, Unreadable, WithEtag
from dayfly.core.model import Deployed, Removed, Timetable, Version
from dayfly.core.names import RunName, utc_text
from dayfly.core.reasons import ClaimReason, Decision, Source
from dayfly.core.records import Claim, Opened, Paused
from dayfly.core.ticks import Zones

EARLY = timedelta(seconds=60)
"""A tick more than this ahead of the clock is rejected. Scheduler does not fire early, and clocks differ by less."""


class _Choice(NamedTuple):
    decision: Decision
    reason: ClaimReason
    why: str


def version_for(facts: Facts, opened: Opened, now: datetime) -> Version | Unreadable | None:
    """Return the version that applies: at its tick for a scheduled run, now for a run by hand."""
    return ticks.in_force(facts.versions, decided_at(opened, facts.run.tick, now))


def decided_at(opened: Opened, tick: datetime, now: datetime) -> datetime:
    """Return the time whose version of the job applies."""
    if opened.source == Source.SCHEDULE:
        return tick
    return now


def why_rejected(facts: Facts, opened: Opened, now: datetime, zones: Zones) -> str:
    """Return why this is not a tick of the job; empty when it is one. For a rejected tick nothing is written.

    It happens: a schedule of an older deploy may still deliver, and a person may send any event.
    """
    version = version_for(facts, opened, now)
    tick = utc_text(facts.run.tick)
    if version is None:
        return f"no version of {facts.run.job} was deployed by then"
    if isinstance(version, Unreadable):
        return str(version)
    if isinstance(version, Removed):
        return f"{facts.run.job} was removed from the project on {utc_text(version.effective_from)}"
    if facts.run.tick > now + EARLY:
        return f"{tick} is in the future"
    if opened.source == Source.HAND:
        return ""
    return _why_not_due(ticks.in_force(facts.versions, facts.run.tick), facts.run.tick, zones)


def _why_not_due(version: Version | Unreadable | None, tick: datetime, zones: Zones) -> str:
    """Return why a time is not a tick of the version in force then; empty when it is one."""
    match version:
        case Deployed(job=job) if ticks.is_due(job.timetable, tick, zones):
            return ""
        case Deployed(job=job):
            schedule = ", ".join(job.schedule) or "none"
            return f"{utc_text(tick)} is not a tick of the schedule in force then: {schedule}"
        case Unreadable() as unreadable:
            return str(unreadable)
    return f"it was not deployed at {utc_text(tick)}"


def decide(facts: Facts, opened: Opened, now: datetime) -> Claim:
    """Return the claim of an open run."""
    version = version_for(facts, opened, now)
    decision, reason, why = _choose(facts, opened, version, now)
    return Claim(
        run=str(facts.run),
        decision=decision,
        reason=reason,
        why=why,
        version=version.key if version else "",
        source=opened.source,
        at=now,
        request=opened.request,
        by=opened.by,
        env=opened.env,
        publish=opened.publish,
    )


def _choose(facts: Facts, opened: Opened, version: Version | Unreadable | None, now: datetime) -> _Choice:
    scheduled = opened.source == Source.SCHEDULE
    delay = now - facts.run.tick
    if isinstance(version, Unreadable):
        return _Choice(Decision.MISSED, ClaimReason.UNREADABLE, str(version))
    if not isinstance(version, Deployed):
        # The job was deployed when the run was opened, and removed before anything decided.
        return _Choice(Decision.MISSED, ClaimReason.REMOVED, f"{facts.run.job} is no longer deployed")
    if scheduled and not isinstance(facts.paused, NotStored):
        return _Choice(Decision.SKIPPED, ClaimReason.PAUSED, _why_paused(facts.paused))
    if scheduled and delay > ticks.start_within(version.job.timetable):
        why = f"delivered {_seconds(delay)} after the tick; start_within is {version.job.start_within_s} s"
        return _Choice(Decision.MISSED, ClaimReason.LATE, why)
    if version.job.overlap == "skip" and facts.holder != str(facts.run):
        return _Choice(Decision.SKIPPED, ClaimReason.OVERLAP, f"{facts.holder} was still running")
    if scheduled:
        return _Choice(
            Decision.RUN,
            ClaimReason.NONE,
            f"the {opened.by or 'schedule'} delivered it {_seconds(delay)} after the tick",
        )
    return _Choice(Decision.RUN, ClaimReason.NONE, f"by {opened.by or 'hand'}{_before(facts)}")


def _before(facts: Facts) -> str:
    """Return what the first claim says of a tick that a person asked for later."""
    match facts.claim:
        case Claim(decision=decision, why=why):
            return f"; it was {decision}: {why}"
    return ""


def _why_paused(paused: Paused | Unreadable) -> str:
    match paused:
        case Paused(at=at, by=by):
            return f"paused since {utc_text(at)} by {by or 'hand'}"
        case Unreadable() as unreadable:
            return f"paused; {unreadable}"


def run_again(run: RunName, claim: Claim | NotStored | Unreadable) -> str:
    """Return the command that runs what never had a server: the tick, or the job again if it was started by hand."""
    match claim:
        case Claim(source=Source.HAND):
            return f"dayfly run {run.job}"
    return f"dayfly run {run.job} --tick {utc_text(run.tick)}"


def asked_for(facts: Facts, number: int) -> str:
    """Return the request behind an attempt, begun or only asked for; empty when there is no such attempt yet."""
    for attempt in facts.attempts:
        if attempt.number == number:
            return attempt.intent.request
    match facts.opened:
        case WithEtag(record=Opened(retry=retry, request=request)) if retry == number:
            return request
    return ""


def not_delivered(
    run: RunName, version: str, timetable: Timetable, paused: Paused | NotStored | Unreadable, now: datetime
) -> Claim:
    """Return the claim of a tick that was never delivered: skipped if the job was paused then, else missed.

    `version`: the key of the version in force at the tick.
    """
    why = f"never delivered; start_within is {timetable.start_within_s} s"
    choice = _Choice(Decision.MISSED, ClaimReason.NOT_DELIVERED, why)
    match paused:
        case Paused(at=at) if at <= run.tick:
            choice = _Choice(Decision.SKIPPED, ClaimReason.PAUSED, _why_paused(paused))
    return Claim(
        run=str(run),
        **choice._asdict(),
        version=version,
        source=Source.SCHEDULE,
        at=now,
    )


def not_opened(run: RunName, unreadable: Unreadable, now: datetime) -> Claim:
    """Return the claim of a run whose record under open/ cannot be read: who asked for what is unknown, so it does not run."""
    return Claim(
        run=str(run),
        decision=Decision.MISSED,
        reason=ClaimReason.UNREADABLE,
        why=str(unreadable),
        version="",
        source=Source.SCHEDULE,
        at=now,
    )


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.1f} s"
