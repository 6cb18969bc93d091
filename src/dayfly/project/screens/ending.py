"""How a run ended: outcome, why, what is kept, what ended the server, what to do next. The closing block of every screen about a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from dayfly.core.facts import Attempt, Facts
from dayfly.core.records import NoServer
from dayfly.project.screens import live, reasons, words

_LAST = 10
_AGAIN = {"no-capacity", "interrupted", "lost", "unknown", "no-network"}
_CLOUDS = {"quota", "no-rights", "image-gone"}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The end of a run by its newest attempt, or how it stands (`over` False). Words are clauses without a full stop.

    `ended_by`: what ended the server, empty where that was the agent at the end of the job, or there was no server.
    """

    run: str
    over: bool
    outcome: str
    reason: str
    why: str
    kept: str
    ended_by: str
    latest_moved: bool
    next: str

    @property
    def succeeded(self) -> bool:
        return self.outcome == "succeeded"

    @property
    def exit_code(self) -> int:
        """0 it succeeded; 3 a right was missing; 5 EC2 did not give it; 1 any other end, or none yet."""
        if self.succeeded:
            return 0
        return {"no-rights": 3, "no-capacity": 5, "quota": 5, "image-gone": 5}.get(self.reason, 1)

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {"run": self.run, "outcome": self.outcome, "reason": self.reason or None, "why": self.why or None}


def ending(facts: Facts, *, local: bool) -> Ending:
    """What can be said of the end now. `local`: the commands to type get `--local`."""
    state = live.live_state(facts)
    attempt = facts.attempt
    claim = facts.claim
    closed = attempt.closed if attempt else None
    over = (bool(closed) and state == (closed.outcome if closed else "")) or bool(claim and claim.decision != "run")
    if closed is not None and over:
        reason, detail = closed.reason, closed.detail
    else:
        reason, detail = (claim.reason, claim.why) if claim and over else ("", "")
    why = ""
    if over:
        limit = attempt.intent.time_limit_s if attempt else None
        missing = attempt.ended.missing if attempt and attempt.ended else ()
        refused = bool(attempt and isinstance(attempt.election, NoServer) and attempt.election.errors)
        why = reasons.sentence(state, reason, detail, limit_s=limit, missing=missing, refused=refused)
    by = closed.ended_by if closed and over and attempt and attempt.elected else ""
    return Ending(
        run=str(facts.run),
        over=over,
        outcome=state,
        reason=reason,
        why=why,
        kept=_kept(attempt) if attempt and over else "",
        ended_by="" if by.startswith("agent: ") else by,
        latest_moved=bool(facts.latest and facts.latest.record.run == str(facts.run)),
        next=_next(facts, state, reason, over=over, local=local),
    )


def end_lines(facts: Facts, zone: tzinfo, receipt: Mapping[str, Any] | None, *, local: bool = False) -> tuple[str, ...]:
    """The closing block, from the last lines of a log that matters to the next command.

    `receipt`: as stored; None says so on the screen of a run that is over. A run that goes on has one line and its next command.
    """
    end = ending(facts, local=local)
    label = reasons.outcome_words(end.outcome)
    lines: list[str] = []
    if end.over and not end.succeeded:
        lines += last_lines(facts.attempt)
    lines.append(_labelled(label, f"{end.run}: {end.why}" if end.why else end.run))
    if end.over and not end.succeeded and facts.attempt is not None:
        stays = "`latest` did not move"
        lines.append(_labelled("kept", f"{end.kept}; {stays}" if end.kept else f"nothing; {stays}"))
        lines += _server_lines(facts.attempt, end, zone)
    if end.over and receipt is None and facts.attempt is not None:
        lines.append(_labelled("receipt", "not written yet; the sweeper does it within 5 minutes"))
    lines.append(_labelled("next", end.next))
    return tuple(lines)


def last_lines(attempt: Attempt | None, count: int = _LAST) -> tuple[str, ...]:
    """`last 3 of 41 lines` and these lines; where the agent had no last word, what the server's console said."""
    if attempt is None:
        return ()
    if attempt.ended is not None:
        log = attempt.ended.log
        shown = log.last[-count:]
        return (
            (f"last {len(shown)} of {words.count(log.lines, 'line')}", *(f"  | {line}" for line in shown))
            if shown
            else ()
        )
    console = attempt.closed.console[-count:] if attempt.closed else ()
    return (
        ("what dayfly's own parts said on the server's console", *(f"  | {line}" for line in console))
        if console
        else ()
    )


def _kept(attempt: Attempt) -> str:
    ended = attempt.ended
    if ended is None:
        return "its log so far" if attempt.started is not None else ""
    log = "its log" if ended.log.bytes else ""
    files = f"{words.count(len(ended.outputs), 'file')} that it left" if ended.outputs else ""
    return ", ".join(part for part in (log, files) if part)


def _server_lines(attempt: Attempt, end: Ending, zone: tzinfo) -> list[str]:
    lines = []
    closed = attempt.closed
    if end.ended_by:
        lines.append(_labelled("ended by", end.ended_by))
    if closed is not None and closed.gone is not None and (end.ended_by or end.outcome == "timed-out"):
        spare = attempt.intent.deadline - closed.gone
        side = "before" if spare.total_seconds() >= 0 else "after"
        away = f"{words.spoken(abs(spare))} {side} its deadline of {words.clock(attempt.intent.deadline, zone)}"
        lines.append(_labelled("server", f"gone {words.clock(closed.gone, zone)}, {away}"))
    return lines


def _next(facts: Facts, state: str, reason: str, *, over: bool, local: bool) -> str:
    job, name = facts.run.job, words.name(facts.run)
    again = words.dayfly("retry", name, local=local)
    attempt = facts.attempt
    if not over:
        return words.dayfly("logs", name, "-f", local=local)
    if state == "succeeded":
        files = attempt is not None and attempt.ended is not None and attempt.ended.outputs
        return words.dayfly("fetch" if files else "logs", name, local=local)
    if state == "missed":
        return words.dayfly("run", job, local=local)
    if state == "skipped":
        return words.dayfly("runs", job, local=local)
    if state == "cancelled" or reason in _AGAIN:
        return again
    if reason in _CLOUDS:
        return f"once that is mended: {again}"
    fix = words.dayfly("run", job, "--wait", local=True) if local else f"dayfly deploy, then {again}"
    return f"{words.dayfly('logs', name, local=local)}      after a fix: {fix}"


def _labelled(label: str, text: str) -> str:
    return f"{label:<10} {text}".rstrip()
