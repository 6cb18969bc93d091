"""The decision about a tick: run, skipped or missed, and with which version of the job. One pure function for every tick,
early, late, caught up or by hand.

Nothing of attempts or servers here. The slot was taken before (core/advance.py); this only reads who holds it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dayfly.core import schedule
from dayfly.core.facts import Facts
from dayfly.core.model import Version
from dayfly.core.names import utc_text
from dayfly.core.records import Claim

Zones = Callable[[str], ZoneInfo]

EARLY = timedelta(seconds=60)
"""A tick further ahead of our clock than this is nobody's tick: Scheduler fires within its minute, clocks differ by less."""


def in_force(versions: tuple[Version, ...], moment: datetime) -> Version | None:
    """The version that held at a moment: the newest whose `effective_from` is not after it."""
    held = [version for version in versions if version.effective_from <= moment]
    return max(held, key=lambda version: version.effective_from, default=None)


def version_for(facts: Facts, now: datetime) -> Version | None:
    """The version by which a run is decided: of its tick when a schedule made it, of now when a human did."""
    opened = facts.opened.record if facts.opened else None
    if opened is not None and opened.source == "schedule":
        return in_force(facts.versions, facts.run.tick)
    return in_force(facts.versions, now)


def refusal(facts: Facts, now: datetime, zones: Zones) -> str:
    """Why this is no tick of this job at all (nothing is written then), or an empty string.

    A schedule of an older deploy may still deliver; an event may be typed by hand.
    """
    opened = facts.opened.record if facts.opened else None
    if opened is None:
        return "it is not open"
    version = version_for(facts, now)
    if version is None:
        return f"no version of {facts.run.job} was deployed by then"
    if version.job is None:
        return f"{facts.run.job} was taken out of the file on {utc_text(version.effective_from)}"
    if facts.run.tick > now + EARLY:
        return f"{utc_text(facts.run.tick)} is still to come"
    if opened.source == "schedule" and not _is_due(version, facts.run.tick, zones):
        return f"{utc_text(facts.run.tick)} is no tick of the schedule in force then: {', '.join(version.job.schedule) or 'none'}"
    return ""


def decide(facts: Facts, now: datetime) -> Claim:
    """The claim of an open run that `refusal` lets pass."""
    assert facts.opened is not None
    opened = facts.opened.record
    version = version_for(facts, now)
    decision, reason, why = "run", "", _delivered(facts, now)
    late = now - facts.run.tick
    holder = facts.slot.record.holder if facts.slot else None
    if version is None or version.job is None:
        # It was deployed when the run was opened and nobody came by until it was gone.
        decision, reason, why = "missed", "removed", f"{facts.run.job} is deployed no more"
    elif opened.source == "schedule" and late > timedelta(seconds=version.job.start_within_s):
        decision, reason = "missed", "late"
        why = f"delivered {_seconds(late)} after the tick; start_within is {version.job.start_within_s} s"
    elif version.job.overlap == "skip" and holder != str(facts.run):
        decision, reason = "skipped", "overlap"
        why = f"{holder} was still alive"
    return Claim(
        run=str(facts.run),
        decision=decision,
        reason=reason,
        why=why,
        version=version.key if version else None,
        source=opened.source,
        at=now,
        request=opened.request,
        by=opened.by,
        env=opened.env,
        publish=opened.publish,
    )


def _is_due(version: Version, tick: datetime, zones: Zones) -> bool:
    assert version.job is not None
    zone = zones(version.job.timezone)
    return any(schedule.due(schedule.parse(text, zone), tick) for text in version.job.schedule)


def _delivered(facts: Facts, now: datetime) -> str:
    assert facts.opened is not None
    if facts.opened.record.source == "schedule":
        return f"the schedule delivered it {_seconds(now - facts.run.tick)} after the tick"
    return f"by {facts.opened.record.by or 'hand'}"


def _seconds(span: timedelta) -> str:
    return f"{span.total_seconds():.1f} s"
