"""One row in a list of runs, made from the run's facts or from its stored receipt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

from dayfly.core import names
from dayfly.core.facts import Attempt, Facts, NotStored
from dayfly.core.reasons import Source
from dayfly.core.record_json import moment
from dayfly.core.records import Claim, Closed, Elected
from dayfly.project.runs import state

T = TypeVar("T")

NEVER_STARTED = "never started"
"""The reason of a tick that has no record at all."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run, or a tick that never became one. `outcome`: that of the newest attempt, or one of state.LIVE.

    `detailed` False: only `run`, `outcome` and `attempt` were looked up. None and "": unknown. `job`: how long the command ran.
    `before`: how the earlier attempts ended.
    """

    run: names.RunName
    outcome: str
    attempt: int = 0
    detailed: bool = False
    source: str | None = None
    reason: str = ""
    detail: str = ""
    job: timedelta | None = None
    server: str = ""
    market: str = ""
    gone_by: datetime | None = None
    before: tuple[str, ...] = ()
    latest: bool = False

    @property
    def live(self) -> bool:
        """Whether the run is not over."""
        return self.outcome in state.LIVE


def never_started(run: names.RunName) -> RunRow:
    """Return the row of a tick that has no record at all."""
    return RunRow(
        run=run,
        outcome="missed",
        detailed=True,
        source=Source.SCHEDULE,
        reason=NEVER_STARTED,
        detail=NEVER_STARTED,
    )


def from_facts(facts: Facts, now: datetime) -> RunRow:
    """Return the row of a run that has no marker under `done/` yet."""
    row = RunRow(run=facts.run, outcome=state.state(facts), detailed=True, source=state.source(facts))
    match facts.attempt, facts.claim:
        case Attempt() as attempt, _:
            return _with_attempt(row, facts, attempt, now)
        case _, Claim(reason=reason, why=why) if facts.not_run:
            return replace(row, reason=reason, detail=why)
    return row


def _with_attempt(row: RunRow, facts: Facts, attempt: Attempt, now: datetime) -> RunRow:
    earlier = [closed for number, closed in facts.closed.items() if number != attempt.number]
    row = replace(
        row,
        attempt=attempt.number,
        job=state.job_duration(attempt),
        before=tuple(closed.reason or closed.outcome for closed in earlier),
    )
    match attempt.election:
        case Elected(type=type, market=market):
            row = replace(row, server=type or "", market=market or "")
    match attempt.closed:
        case Closed(reason=reason, detail=detail):
            return replace(row, reason=reason, detail=detail)
    if attempt.server.gone:
        return replace(row, detail=state.CLOSING)
    match state.job_started(attempt), attempt.ended:
        case datetime() as began, NotStored():
            row = replace(row, job=now - began)
    return replace(row, gone_by=attempt.intent.deadline)


def from_receipt(row: RunRow, receipt: Mapping[str, Any]) -> RunRow:
    """Return the row with the details of its receipt, the JSON that core/receipt.py makes. A field of a wrong type counts as absent."""
    times, server, attempts = (
        _part(receipt, "times", dict),
        _part(receipt, "server", dict),
        _part(receipt, "attempts", list),
    )
    earlier = [one for one in attempts[:-1] if isinstance(one, dict)]
    row = replace(
        row,
        detailed=True,
        source=_part(receipt, "source", str) or None,
        reason=_part(receipt, "reason", str),
        detail=_part(receipt, "detail", str),
        server=_part(server, "type", str),
        market=_part(server, "market", str),
        before=tuple(_part(one, "reason", str) or _part(one, "outcome", str) for one in earlier),
    )
    try:
        return replace(row, job=moment(_part(times, "job_ended", str)) - moment(_part(times, "job_started", str)))
    except ValueError:  # the job did not start
        return row


def _part(content: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """Return a field of a document; empty if it is absent, null or of another type."""
    value = content.get(name)
    if isinstance(value, kind):
        return value
    return kind()
