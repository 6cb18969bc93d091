"""The steps of a run so far, one line each with its time: for `run --wait`, `demo` and `show`.

A line appears when its fact is known and does not change later. outcome.py adds how the run ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from dayfly.core.facts import Attempt, Facts, NotStored
from dayfly.core.model import Deployed
from dayfly.core.reasons import Outcome
from dayfly.core.records import Cancel, Claim, Closed, Elected, Ended, EndOrder, NoServer, SpotRefused, Started
from dayfly.project import formatting
from dayfly.project.file import durations
from dayfly.project.runs import reasons, state
from dayfly.project.runs.references import unique_name

_AGENT = "agent: "


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """One step that happened. `attempt` (0: the tick and its claim) and `name` identify it.

    `line`: the text on every screen. `more`: what only `show` adds to it.
    """

    attempt: int
    name: str
    at: datetime
    line: str = ""
    more: str = ""


@dataclass(frozen=True, kw_only=True)
class ServerLine(StepLine):
    """A server was launched. `shape`: its type, market and zone, as far as known."""

    server: str
    shape: str
    deadline: datetime


@dataclass(frozen=True, kw_only=True)
class GoneLine(StepLine):
    """The server is gone. `job`: how long the command ran; `ended_by`: empty if the agent ended the server.

    `exact`: whether EC2 gave the time of the end. If not, it is the time at which the server was seen to be gone.
    """

    lived: timedelta
    exact: bool
    job: timedelta | None
    ended_by: str


def step_lines(facts: Facts, *, attempt: int = 1) -> tuple[StepLine, ...]:
    """Return the steps so far, oldest first, from this attempt on (1: with the tick and the claim).

    No line has an earlier time than the line before it, although EC2 gives whole seconds and three machines have different clocks.
    """
    found: list[StepLine] = []
    if attempt <= 1:
        found += _tick_and_claim(facts)
    for one in facts.attempts:
        if one.number >= attempt:
            found += _attempt(facts, one)
    lines: list[StepLine] = []
    for line in found:
        if lines and line.at < lines[-1].at:
            line = replace(line, at=lines[-1].at)
        lines.append(line)
    return tuple(lines)


def _tick_and_claim(facts: Facts) -> Iterator[StepLine]:
    scheduled = state.is_tick(facts)
    if isinstance(facts.claim, NotStored) and facts.retry:
        scheduled = False  # The open record of a retry does not say what started the run.
    if scheduled:
        yield StepLine(attempt=0, name="tick", at=facts.run.tick, line="due by its schedule")
    match facts.claim:
        case Claim() as claim:
            yield _claimed(facts, claim, scheduled=scheduled)


def _claimed(facts: Facts, claim: Claim, *, scheduled: bool) -> StepLine:
    name = unique_name(facts.run)
    if facts.not_run:
        why = reasons.explain(claim.decision, claim.reason, claim.why)
        return StepLine(attempt=0, name=claim.decision, at=claim.at, line=f"{name}: {why}")
    if scheduled:
        return StepLine(attempt=0, name="claimed", at=claim.at, line=name, more=f"   {claim.why}")
    # The name of a run by hand was just printed.
    return StepLine(attempt=0, name="claimed", at=claim.at, more=claim.why)


def _attempt(facts: Facts, attempt: Attempt) -> list[StepLine]:
    lines: list[StepLine] = []
    if attempt.number > 1:
        lines.append(
            StepLine(attempt=attempt.number, name="retry", at=attempt.intent.at, line=f"attempt {attempt.number}")
        )
    lines += _spot_refused(attempt)
    lines += _server(attempt)
    lines += _job(facts, attempt)
    lines += _gone(attempt)
    if facts.cancelled:  # A cancel can come at any step.
        lines.sort(key=lambda line: line.at)
    return lines


def _spot_refused(attempt: Attempt) -> Iterator[StepLine]:
    match attempt.spot_refused:
        case SpotRefused(at=at, errors=errors):
            codes = ", ".join(dict.fromkeys(error.code for error in errors))
            line = f"{codes} in {formatting.number_of(len(errors), 'pool')}"
            if len(attempt.intent.markets) > 1:
                line += "; on-demand is next"
            yield StepLine(attempt=attempt.number, name="no spot", at=at, line=line)


def _server(attempt: Attempt) -> Iterator[StepLine]:
    match attempt.election:
        case NoServer(at=at) as none:
            yield StepLine(attempt=attempt.number, name="no server", at=at, line=reasons.explain_no_server(none))
        case Elected(launched=launched, server=server) as elected:
            shape = formatting.joined(elected.type or "", elected.market or "", separator=" ")
            yield ServerLine(
                attempt=attempt.number,
                name="server",
                at=launched,
                server=server,
                shape=formatting.joined(shape, elected.zone or "", separator=" in "),
                deadline=attempt.intent.deadline,
            )


def _job(facts: Facts, attempt: Attempt) -> Iterator[StepLine]:
    number = attempt.number
    match state.job_started(attempt):
        case datetime() as began:
            yield StepLine(attempt=number, name="job started", at=began, line=_command(facts, attempt))
    match facts.cancel:
        case Cancel(at=at, by=by) if attempt is facts.attempt:
            yield StepLine(attempt=number, name="cancelled", at=at, line=f"by {by or 'hand'}")
    match attempt.end_order:
        case EndOrder(at=at, by=by, why=why) if why != "cancelled":
            program = by.partition(":")[0] or "dayfly"
            yield StepLine(attempt=number, name="ending", at=at, line=f"the {program} ends the server: {why}")
    match attempt.ended:
        case Ended() as ended:
            yield from _reported(attempt, ended)


def _reported(attempt: Attempt, ended: Ended) -> Iterator[StepLine]:
    """Return what the agent reported about the end."""
    number = attempt.number
    match ended.job_ended:
        case datetime() as at:
            yield StepLine(attempt=number, name="job ended", at=at, line=_describe_end(attempt, ended))
        case None:
            why = reasons.explain(ended.outcome, ended.reason, ended.detail)
            yield StepLine(attempt=number, name="not started", at=ended.at, line=why)
    if ended.stored_at and (ended.outputs or ended.log.bytes or ended.job_ended):
        yield StepLine(attempt=number, name="stored", at=ended.stored_at, line=_describe_stored(ended))


def _command(facts: Facts, attempt: Attempt) -> str:
    match facts.version(attempt.intent.version):
        case Deployed(job=job):
            return formatting.one_line(job.command)
    return ""


def _describe_end(attempt: Attempt, ended: Ended) -> str:
    total: int | None = None
    match attempt.started:
        case Started(memory_mb=memory_mb):
            total = memory_mb
    return formatting.joined(_describe_exit(attempt, ended), formatting.memory(ended.job_peak_memory_mb, total))


def _describe_exit(attempt: Attempt, ended: Ended) -> str:
    took = state.job_duration(attempt)
    if ended.outcome == Outcome.TIMED_OUT:
        limit_s = attempt.intent.time_limit_s
        said = f"TERM at the time limit of {durations.text(limit_s)}"
        if took and took.total_seconds() >= limit_s + 1:
            said += f", gone after {formatting.duration_phrase(took)}"
        return said
    match ended:
        case Ended(exit=0):
            return "exit 0"
        case Ended(exit=int() as code):
            said = f"exit {code}"
        case Ended(signal=int() as signal):
            said = f"killed by signal {signal}"
        case _:
            said = "its exit was not seen"
    match took:
        case timedelta():
            said += f" after {formatting.duration_phrase(took)}"
    return said


def _describe_stored(ended: Ended) -> str:
    size = sum(output.size for output in ended.outputs)
    if ended.outputs and not ended.missing:
        return f"{formatting.number_of(len(ended.outputs), 'file')}, {formatting.size(size)}"
    said = f"log {formatting.number_of(ended.log.lines, 'line')}"
    if ended.missing:
        said += f"; outputs: {' and '.join(ended.missing)} matched nothing"
    if ended.outputs:
        said += f", {formatting.number_of(len(ended.outputs), 'other file')} kept"
    return said


def _gone(attempt: Attempt) -> Iterator[StepLine]:
    match attempt.closed, attempt.election:
        case Closed(gone=datetime() as at) as closed, Elected(launched=launched):
            yield _gone_line(attempt, closed, launched, at=at, exact=True)
        case Closed(at=at) as closed, Elected(launched=launched):
            yield _gone_line(attempt, closed, launched, at=at, exact=False)


def _gone_line(attempt: Attempt, closed: Closed, launched: datetime, *, at: datetime, exact: bool) -> GoneLine:
    match attempt.ended:
        case Ended(at=reported):
            # EC2 gives whole seconds: a server was not gone before its agent reported the end.
            at = max(at, reported)
    name = "seen gone"
    if exact:
        name = "server gone"
    return GoneLine(
        attempt=attempt.number,
        name=name,
        at=at,
        lived=at - launched,
        exact=exact,
        job=state.job_duration(attempt),
        ended_by=unusual_end(closed.ended_by),
    )


def unusual_end(ended_by: str) -> str:
    """Return what ended the server; empty if it was the agent, which is the normal case."""
    if ended_by.startswith(_AGENT):
        return ""
    return ended_by


def progress_lines(
    facts: Facts, zone: tzinfo, *, tenths: bool, full: bool = False, attempt: int = 1
) -> tuple[str, ...]:
    """Return the run so far as lines of text. Later facts add lines at the end and change none.

    `tenths`: as in the demo, with tenths of a second. `full`: with what only `show` adds. `attempt`: the first one shown.
    """
    lines = step_lines(facts, attempt=attempt)
    return tuple(format_step(line, lines[0].at, zone, tenths=tenths, full=full) for line in lines)


def format_step(line: StepLine, base: datetime, zone: tzinfo, *, tenths: bool, full: bool = False) -> str:
    """Format one step as a line of text, with its time and how long after `base` it happened."""
    at = formatting.clock(line.at, zone, tenths=tenths)
    said = _describe(line, zone, tenths=tenths, full=full)
    # Computed from the times as shown, so that both agree on the screen.
    after = _cut(line.at, tenths=tenths) - _cut(base, tenths=tenths)
    if tenths:
        return f"  {line.name:<12}  {at:<10}  {_distance_in_tenths(line, after):>7}   {said}".rstrip()
    name, distance = line.name, ""
    if isinstance(line, GoneLine) and line.exact:
        name = "gone"
    if line.at > base:
        distance = f"+{formatting.duration(after)}"
    return f"  {at}  {distance:>8}  {name:<11}  {said}".rstrip()


def _describe(step: StepLine, zone: tzinfo, *, tenths: bool, full: bool) -> str:
    match step:
        case ServerLine():
            return _describe_server(step, zone, tenths=tenths)
        case GoneLine():
            return _describe_gone(step, tenths=tenths)
    if full:
        return step.line + step.more
    return step.line


def _describe_server(step: ServerLine, zone: tzinfo, *, tenths: bool) -> str:
    gone_by = f"gone by {formatting.clock(step.deadline, zone)}"
    if tenths:  # The demo has named the type already.
        return f"{step.server}, {gone_by} whatever happens"
    return formatting.joined(step.server, step.shape, gone_by)


def _describe_gone(step: GoneLine, *, tenths: bool) -> str:
    lived = formatting.duration_phrase(step.lived, tenths=tenths)
    said = f"lived at most {lived}"
    if step.exact:
        said = f"lived {lived}"
    if step.job is not None:
        said += f" for a job of {formatting.duration_phrase(step.job, tenths=tenths)}"
    if step.ended_by:
        said += f"; ended by {step.ended_by}"
    return said


def _distance_in_tenths(line: StepLine, after: timedelta) -> str:
    if line.name == "tick":
        return ""
    if after.total_seconds() >= 60:
        return f"+{formatting.duration(after)}"
    return f"+{after.total_seconds():.1f} s"


def _cut(moment: datetime, *, tenths: bool) -> datetime:
    if tenths:
        return moment.replace(microsecond=moment.microsecond // 100_000 * 100_000)
    return moment.replace(microsecond=0)
