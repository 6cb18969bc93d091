"""The state of a run in the words of screens, and when its command ran, computed from its facts. Nothing is looked up here."""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.core.facts import Attempt, Facts, NoAttempt, NotStored, WithEtag
from dayfly.core.reasons import Decision, Source
from dayfly.core.records import Claim, Closed, Ended, Opened, Started

LIVE = ("waiting", "starting", "running", "saving")
"""The states of a run that is not over. The others are outcomes."""
CLOSING = "server gone; final status in seconds, at most 5 min"
"""Its server is gone: EC2's event closes the run within seconds, and if that is lost the next sweep does."""


def state(facts: Facts) -> str:
    """Return one of LIVE; or the outcome, if the newest attempt is closed or the claim says not to run."""
    if never_started(facts):
        return Decision.MISSED
    if facts.undecided:
        return "waiting"
    match facts.claim:
        case Claim(decision=decision) if decision != Decision.RUN:
            return decision
    match facts.attempt:
        case NoAttempt():
            return "starting"
        case Attempt(number=number) if facts.attempt_number > number:
            return "waiting"  # for a retry
        case Attempt(closed=Closed(outcome=outcome)):
            return outcome
        case Attempt(ended=Ended()):
            return "saving"
        case Attempt(started=Started()):
            return "running"
    return "starting"


def never_started(facts: Facts) -> bool:
    """Return whether there is no record of the run at all: a tick that nothing delivered."""
    return isinstance(facts.claim, NotStored) and not facts.is_open and isinstance(facts.attempt, NoAttempt)


def is_tick(facts: Facts) -> bool:
    """Return whether the run is a tick of the schedule, run at its time or later, and not one by hand."""
    return never_started(facts) or source(facts) in (Source.SCHEDULE, Source.BACKFILL)


def source(facts: Facts) -> Source | None:
    """Return what started the run; None if it is unknown."""
    match facts.claim, facts.opened:
        case (Claim(source=source), _) | (_, WithEtag(record=Opened(source=source))):
            return source
    return None


def job_started(attempt: Attempt) -> datetime | None:
    """Return when the command began; None if it did not, or if the server did not say."""
    match attempt.started, attempt.ended:
        case (Started(at=began), _) | (_, Ended(job_started=began)):
            return began
    return None


def job_duration(attempt: Attempt) -> timedelta | None:
    """Return how long the command ran, by the server's clock; None if unknown or not over."""
    match attempt.ended:
        case Ended(job_started=datetime() as began, job_ended=datetime() as ended):
            return ended - began
    return None
