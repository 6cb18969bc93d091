"""How a run ended, or its current state: outcome, why, what is kept, what ended the server, the next command.

These are the last lines of every screen about a run. The lines before them, its steps, are made in progress.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from dayfly.core.facts import Attempt, Facts, NoAttempt, NotStored
from dayfly.core.reasons import Decision, Outcome, Source
from dayfly.core.records import Claim, Closed, Elected, Ended, Started
from dayfly.project import formatting
from dayfly.project.runs import reasons, state
from dayfly.project.runs.references import run_tick, unique_name
from dayfly.project.runs.rows import NEVER_STARTED
from dayfly.project.screens import progress

_LAST_LINES = 10
_RETRY_REASONS = {"no-capacity", "interrupted", "lost", "unknown", "no-network", "no-agent", "no-input"}
"""A retry can succeed without any change."""
_ACCOUNT_REASONS = {"quota", "no-rights", "image-gone", "disk-key", "no-secret", "no-role"}
"""A retry can succeed once something in the AWS account is fixed."""
_DEPLOY_REASONS = {"not-offered", "free-plan"}
"""A retry can succeed after a deploy. There is no log."""
_EXIT_CODES = {
    "no-rights": 3,
    "disk-key": 3,
    "no-capacity": 5,
    "quota": 5,
    "image-gone": 5,
    "not-offered": 5,
    "free-plan": 5,
}
_WIDTH = 10
RECEIPT_PENDING = "not written yet; the sweeper writes it in seconds, at most 5 min"


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How a run ended, by its newest attempt, or with `over` False its current state. Texts are clauses without a full stop.

    `outcome`: also one of state.LIVE. `kept`: what is stored of a run that is over. `ended_by`: what ended the server; empty if
    that was the agent at the end of the job, or if there was no server. `next`: the next useful command. `said`: by EC2, when it
    gave no server. `do`: what to do about that.
    """

    run: str
    over: bool
    outcome: str
    reason: str
    why: str
    kept: str
    ended_by: str
    next: str
    said: tuple[str, ...] = ()
    do: str = ""

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
        """Return the outcome as JSON."""
        end = {"run": self.run, "outcome": self.outcome, "reason": self.reason or None, "why": self.why or None}
        return {**end, "ec2_said": list(self.said), "do": self.do or None}


def outcome_of(facts: Facts, *, local: bool) -> RunOutcome:
    """Return how the run ended, as far as it is known now. `local`: commands to type get `--local`."""
    where = state.state(facts)
    if state.never_started(facts):
        return _never_started(facts, local=local)
    match facts.claim, facts.attempt:
        case Claim() as claim, _ if facts.not_run:
            return _not_run(facts, claim, local=local)
        # A closed attempt is not the end of a run that waits for a retry.
        case _, Attempt(closed=Closed() as closed) as attempt if where == closed.outcome:
            return _ended(facts, attempt, closed, local=local)
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


def _not_run(facts: Facts, claim: Claim, *, local: bool) -> RunOutcome:
    """Return the outcome of a tick that was skipped or missed."""
    command = formatting.dayfly("runs", facts.run.job, local=local)
    if claim.source != Source.HAND:
        command = run_tick(facts.run, local=local)
    elif claim.decision == Decision.MISSED:
        command = formatting.dayfly("run", facts.run.job, local=local)
    return RunOutcome(
        run=str(facts.run),
        over=True,
        outcome=claim.decision,
        reason=claim.reason,
        why=reasons.why_over(facts),
        kept="",
        ended_by="",
        next=command,
    )


def _never_started(facts: Facts, *, local: bool) -> RunOutcome:
    """Return the outcome of a tick that has no record at all."""
    return RunOutcome(
        run=str(facts.run),
        over=True,
        outcome=Decision.MISSED,
        reason=NEVER_STARTED,
        why="it never started",
        kept="",
        ended_by="",
        next=run_tick(facts.run, local=local),
    )


def _ended(facts: Facts, attempt: Attempt, closed: Closed, *, local: bool) -> RunOutcome:
    ended_by = ""
    if isinstance(attempt.election, Elected):
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
        said=reasons.ec2_said(attempt),
        do=_remedy(attempt, closed),
    )


def _remedy(attempt: Attempt, closed: Closed) -> str:
    if closed.outcome != Outcome.FAILED:
        return ""
    return reasons.remedy(attempt)


def _kept(attempt: Attempt) -> str:
    match attempt.started, attempt.ended:
        case Started(), NotStored():
            return "the log so far"
    log, files = "", ""
    if attempt.log.bytes:
        log = "the log"
    if attempt.outputs:
        files = formatting.number_of(len(attempt.outputs), "file")
    return formatting.joined(log, files, separator=" and ")


def _next(facts: Facts, attempt: Attempt, closed: Closed, *, local: bool) -> str:
    name = unique_name(facts.run)
    retry = formatting.dayfly("retry", name, local=local)
    logs = formatting.dayfly("logs", name, local=local)
    if closed.outcome == Outcome.SUCCEEDED and attempt.outputs:
        return formatting.dayfly("fetch", name, local=local)
    if closed.outcome == Outcome.SUCCEEDED:
        return logs
    if closed.outcome == Outcome.CANCELLED or closed.reason in _RETRY_REASONS:
        return retry
    if closed.reason in _ACCOUNT_REASONS:
        return f"once that is fixed: {retry}"
    if closed.reason in _DEPLOY_REASONS:
        return f"after a fix: {formatting.dayfly('deploy', local=local)}, then {retry}"
    if local:
        return f"{logs}      after a fix: {formatting.dayfly('run', facts.run.job, '--wait', local=True)}"
    return f"{logs}      after a fix: dayfly deploy, then {retry}"


# --- the closing block --------------------------------------------------------------------------------------------------


def outcome_lines(facts: Facts, zone: tzinfo, *, receipt_stored: bool, local: bool = False) -> tuple[str, ...]:
    """Return the log's last lines if they explain the end, then the outcome, what is kept and the next command.

    A run that is not over gets only its state and the next command. `receipt_stored`: whether its receipt is written.
    """
    outcome = outcome_of(facts, local=local)
    title = _labelled(reasons.outcome_words(outcome.outcome), outcome.title)
    following = _labelled("next", outcome.next)
    attempt = facts.attempt
    if not outcome.over or isinstance(attempt, NoAttempt):
        return (title, following)
    lines: list[str] = []
    if outcome.succeeded:
        lines.append(title)
    else:
        lines += [*last_lines(attempt), title, *said_lines(outcome, _WIDTH)]
        lines.append(_labelled("kept", f"{outcome.kept or 'nothing'}; `latest` is unchanged"))
        lines += _server_lines(attempt, outcome, zone)
    if not receipt_stored:
        lines.append(_labelled("receipt", RECEIPT_PENDING))
    return (*lines, following)


def said_lines(outcome: RunOutcome, width: int) -> list[str]:
    """Return what EC2 said, each line once, and what to do about it."""
    lines = [formatting.labelled("", line, width=width) for line in outcome.said]
    if lines:
        lines[0] = formatting.labelled("EC2 said", outcome.said[0], width=width)
    if outcome.do:
        lines.append(formatting.labelled("do", outcome.do, width=width))
    return lines


def last_lines(attempt: Attempt, count: int = _LAST_LINES) -> tuple[str, ...]:
    """Return the title `last 3 of 41 lines` and these lines of the log; if the agent reported no end, lines of the server's console."""
    match attempt.ended, attempt.closed:
        case Ended(log=log), _:
            shown = log.last[-count:]
            return _quoted(f"last {len(shown)} of {formatting.number_of(log.lines, 'line')}", shown)
        case _, Closed(console=console):
            return _quoted("dayfly's last lines on the server's console", console[-count:])
    return ()


def _quoted(title: str, lines: tuple[str, ...]) -> tuple[str, ...]:
    if not lines:
        return ()
    return (title, *(f"  | {line}" for line in lines))


def _server_lines(attempt: Attempt, outcome: RunOutcome, zone: tzinfo) -> list[str]:
    """Return what ended the server if it was not the agent, and how long before or after its deadline it was gone."""
    lines: list[str] = []
    if outcome.ended_by:
        lines.append(_labelled("ended by", outcome.ended_by))
    match attempt.closed:
        case Closed(gone=datetime() as gone) if outcome.ended_by or outcome.outcome == Outcome.TIMED_OUT:
            lines.append(_labelled("server", _gone(attempt, gone, zone)))
    return lines


def _gone(attempt: Attempt, gone: datetime, zone: tzinfo) -> str:
    spare, side = attempt.intent.deadline - gone, "before"
    if spare < timedelta(0):
        spare, side = -spare, "after"
    deadline = (
        f"{formatting.duration_phrase(spare)} {side} its deadline of {formatting.clock(attempt.intent.deadline, zone)}"
    )
    return f"gone {formatting.clock(gone, zone)}, {deadline}"


def _labelled(label: str, line: str) -> str:
    return formatting.labelled(label, line, width=_WIDTH)
