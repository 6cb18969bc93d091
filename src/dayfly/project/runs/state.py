"""Where a run stands, in the words of screens, and when its command ran: read off its facts. Nothing is looked up here."""

from __future__ import annotations

from datetime import datetime, timedelta

from dayfly.core.facts import Attempt, Facts
from dayfly.core.records import Decision, Source

LIVE = ("waiting", "starting", "running", "saving")
"""The states of a run that is not over. The others are outcomes."""
CLOSING = "server gone; final status within 5 min"
"""Its server is gone, and the next sweep records how the run ended."""


def state(facts: Facts) -> str:
    """One of LIVE, or the outcome once the newest attempt is closed or the tick was decided not to run."""
    if facts.claim is None:
        return "waiting"
    if facts.claim.decision != Decision.RUN:
        return facts.claim.decision
    attempt = facts.attempt
    if attempt is None:
        return "starting"
    if facts.attempt_number > attempt.number:
        return "waiting"  # for a retry
    if attempt.closed is not None:
        return attempt.closed.outcome
    if attempt.ended is not None:
        return "saving"
    if attempt.started is not None:
        return "running"
    return "starting"


def source(facts: Facts) -> Source | None:
    """What started the run; None if it is unknown."""
    if facts.claim is not None:
        return facts.claim.source
    if facts.open_record is not None:
        return facts.open_record.source
    return None


def job_started(attempt: Attempt) -> datetime | None:
    """When the command began; None if it did not, or if the server did not say."""
    if attempt.started is not None:
        return attempt.started.at
    if attempt.ended is not None:
        return attempt.ended.job_started
    return None


def job_duration(attempt: Attempt) -> timedelta | None:
    """How long the command ran, by the server's clock; None if unknown or not over."""
    ended = attempt.ended
    if ended is None or ended.job_started is None or ended.job_ended is None:
        return None
    return ended.job_ended - ended.job_started


def server_gone(attempt: Attempt) -> bool:
    """Whether EC2 shows the attempt's server as terminated."""
    return attempt.server is not None and attempt.server.gone
