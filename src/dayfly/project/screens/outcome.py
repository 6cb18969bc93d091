"""How a run ended, or where it stands: outcome, why, what is kept, what ended the server, the next command.

It closes every screen about a run. The steps before are progress.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Any

from dayfly.core.facts import Attempt, Facts
from dayfly.core.records import Claim, Closed, Decision, Outcome
from dayfly.project import formatting
from dayfly.project.runs import reasons, state
from dayfly.project.runs.references import unique_name
from dayfly.project.screens import progress

_LAST_LINES = 10
_RETRY_REASONS = {"no-capacity", "interrupted", "lost", "unknown", "no-network"}
"""A retry can succeed without any change."""
_ACCOUNT_REASONS = {"quota", "no-rights", "image-gone"}
"""A retry can succeed once something in the AWS account is fixed."""
_EXIT_CODES = {"no-rights": 3, "no-capacity": 5, "quota": 5, "image-gone": 5}
_WIDTH = 10
RECEIPT_PENDING = "not written yet; the sweeper writes it within 5 min"


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a run ended, by its newest attempt; `over` False: where it stands now. Texts are clauses without a full stop.

    `outcome`: also one of state.LIVE. `kept`: what is stored of a run that is over. `ended_by`: what ended the server; empty if
    that was the agent at the end of the job, or if there was no server. `next`: the next useful command.
    """

    run: str
    over: bool
    outcome: str
    reason: str
    why: str
    kept: str
    ended_by: str
    next: str

    @property
    def succeeded(self) -> bool:
        """Whether every command about this run exits with 0."""
        return self.outcome == Outcome.SUCCEEDED

    @property
    def title(self) -> str:
        """The run's full name, and why it ended as it did."""
        return formatting.with_detail(self.run, self.why)

    @property
    def exit_code(self) -> int:
        """0: succeeded; 3: a permission is missing; 5: EC2 gave no server; 1: any other end, or none yet."""
        if self.succeeded:
            return 0
        return _EXIT_CODES.get(self.reason, 1)

    def document(self) -> dict[str, Any]:
        """The outcome as JSON."""
        return {"run": self.run, "outcome": self.outcome, "reason": self.reason or None, "why": self.why or None}


def outcome_of(facts: Facts, *, local: bool) -> RunOutcome:
    """Return how the run ended, as far as it is known now. `local`: commands to type get `--local`."""
    claim, attempt = facts.claim, facts.attempt
    if claim is not None and claim.decision != Decision.RUN:
        return _not_run(facts, claim, local=local)
    where = state.state(facts)
    # A closed attempt is not the end of a run that waits for a retry.
    if attempt is None or attempt.closed is None or where != attempt.closed.outcome:
        return RunOutcome(
            run=str(facts.run),
            over=False,
            outcome=where,
            reason="",
            why="",
            kept="",
            ended_by="",
            next=formatting.dayfly("logs", unique_name(facts.run), "-f", local=local),
        )
    return _ended(facts, attempt, attempt.closed, local=local)


def _not_run(facts: Facts, claim: Claim, *, local: bool) -> RunOutcome:
    """The outcome of a tick that was skipped or missed."""
    command = "runs"
    if claim.decision == Decision.MISSED:
        command = "run"
    return RunOutcome(
        run=str(facts.run),
        over=True,
        outcome=claim.decision,
        reason=claim.reason,
        why=reasons.why_over(facts),
        kept="",
        ended_by="",
        next=formatting.dayfly(command, facts.run.job, local=local),
    )


def _ended(facts: Facts, attempt: Attempt, closed: Closed, *, local: bool) -> RunOutcome:
    ended_by = ""
    if attempt.elected is not None:
        ended_by = progress.unusual_end(closed.ended_by)
    return RunOutcome(
        run=str(facts.run),
        over=True,
        outcome=closed.outcome,
        reason=closed.reason,
        why=reasons.why_over(facts),
        kept=_kept(attempt),
        ended_by=ended_by,
        next=_next(facts, attempt, closed, local=local),
    )


def _kept(attempt: Attempt) -> str:
    ended = attempt.ended
    if ended is None and attempt.started is not None:
        return "the log so far"
    if ended is None:
        return ""
    log, files = "", ""
    if ended.log.bytes:
        log = "the log"
    if ended.outputs:
        files = formatting.number_of(len(ended.outputs), "file")
    return formatting.joined(log, files, separator=" and ")


def _next(facts: Facts, attempt: Attempt, closed: Closed, *, local: bool) -> str:
    name = unique_name(facts.run)
    retry = formatting.dayfly("retry", name, local=local)
    logs = formatting.dayfly("logs", name, local=local)
    if closed.outcome == Outcome.SUCCEEDED and attempt.ended is not None and attempt.ended.outputs:
        return formatting.dayfly("fetch", name, local=local)
    if closed.outcome == Outcome.SUCCEEDED:
        return logs
    if closed.outcome == Outcome.CANCELLED or closed.reason in _RETRY_REASONS:
        return retry
    if closed.reason in _ACCOUNT_REASONS:
        return f"once that is fixed: {retry}"
    if local:
        return f"{logs}      after a fix: {formatting.dayfly('run', facts.run.job, '--wait', local=True)}"
    return f"{logs}      after a fix: dayfly deploy, then {retry}"


# --- the closing block --------------------------------------------------------------------------------------------------


def outcome_lines(
    facts: Facts, zone: tzinfo, receipt: Mapping[str, Any] | None, *, local: bool = False
) -> tuple[str, ...]:
    """The last lines of a log that explain the end, the outcome, what is kept, the next command.

    A run that goes on has only its state and the next command. `receipt`: as stored, None if it is not.
    """
    outcome = outcome_of(facts, local=local)
    title = _labelled(reasons.outcome_words(outcome.outcome), outcome.title)
    following = _labelled("next", outcome.next)
    attempt = facts.attempt
    if not outcome.over or attempt is None:
        return (title, following)
    lines: list[str] = []
    if outcome.succeeded:
        lines.append(title)
    else:
        lines += [*last_lines(attempt), title]
        lines.append(_labelled("kept", f"{outcome.kept or 'nothing'}; `latest` is unchanged"))
        lines += _server_lines(attempt, outcome, zone)
    if receipt is None:
        lines.append(_labelled("receipt", RECEIPT_PENDING))
    return (*lines, following)


def last_lines(attempt: Attempt, count: int = _LAST_LINES) -> tuple[str, ...]:
    """`last 3 of 41 lines` and these lines of the log; if the agent reported no end, those of the server's console."""
    if attempt.ended is not None:
        log = attempt.ended.log
        shown = log.last[-count:]
        return _quoted(f"last {len(shown)} of {formatting.number_of(log.lines, 'line')}", shown)
    if attempt.closed is not None:
        return _quoted("dayfly's last lines on the server's console", attempt.closed.console[-count:])
    return ()


def _quoted(title: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    if not lines:
        return ()
    return (title, *(f"  | {line}" for line in lines))


def _server_lines(attempt: Attempt, outcome: RunOutcome, zone: tzinfo) -> list[str]:
    """What ended the server if it was not the agent, and how far from its deadline it was gone."""
    lines: list[str] = []
    if outcome.ended_by:
        lines.append(_labelled("ended by", outcome.ended_by))
    if attempt.closed is None or attempt.closed.gone is None:
        return lines
    if not outcome.ended_by and outcome.outcome != Outcome.TIMED_OUT:
        return lines
    gone = attempt.closed.gone
    spare, side = attempt.intent.deadline - gone, "before"
    if spare < timedelta(0):
        spare, side = -spare, "after"
    deadline = (
        f"{formatting.duration_phrase(spare)} {side} its deadline of {formatting.clock(attempt.intent.deadline, zone)}"
    )
    lines.append(_labelled("server", f"gone {formatting.clock(gone, zone)}, {deadline}"))
    return lines


def _labelled(label: str, line: str) -> str:
    return formatting.labelled(label, line, width=_WIDTH)
