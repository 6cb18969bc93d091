"""The steps of a run as lines, each with the moment it happened: what `run --wait`, `demo` and `show` draw.

A line appears when its fact is known and never changes after that. How a run ended is ending.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from dayfly.core.facts import Attempt, Facts
from dayfly.core.records import Ended, NoServer
from dayfly.project.screens import reasons, words

TO_CLOSE = "its server is gone; closed at the next sweep"
_AGENT = "agent: "


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """One step that happened. `(attempt, name)` is its identity (0: the tick and its claim).

    `words` may hold `{shape}`, `{deadline}` and `{lived}`, which depend on the zone and on the screen; `more` is what only `show`
    says.
    """

    attempt: int
    name: str
    at: datetime
    words: str
    more: str = ""
    shape: str = ""
    deadline: datetime | None = None
    lived: timedelta | None = None
    job: timedelta | None = None

    def text(self, zone: tzinfo, *, tenths: bool, full: bool = False) -> str:
        """The words, filled in. `full`: with what only `show` says."""
        said = f"{self.words}{self.more}" if full else self.words
        if self.deadline is not None:
            gone_by = f"gone by {words.clock(self.deadline, zone)}"
            # The demo has named the type already, and its reader wants to know one thing.
            said = said.replace("{shape}", "" if tenths else self.shape)
            said = said.replace("{deadline}", f"{gone_by} whatever happens" if tenths else gone_by)
        if self.lived is not None:
            lived = f"lived {words.spoken(self.lived, tenths=tenths)}"
            job = f" for a job of {words.spoken(self.job, tenths=tenths)}" if self.job is not None else ""
            said = said.replace("{lived}", lived + job)
        return said


def steps(facts: Facts, *, attempt: int = 1) -> tuple[StepLine, ...]:
    """Everything that happened so far, oldest first; from this attempt on (1: with the tick and the claim).

    No line is earlier than the one before it: EC2 tells whole seconds, and the clocks of three machines differ by a little.
    """
    found = [*(_before(facts) if attempt <= 1 else ())]
    for one in facts.attempts:
        if one.number >= attempt:
            found += (
                sorted(_of_attempt(facts, one), key=lambda line: line.at) if facts.cancel else _of_attempt(facts, one)
            )
    lines: list[StepLine] = []
    for line in found:
        lines.append(replace(line, at=max(line.at, lines[-1].at)) if lines else line)
    return tuple(lines)


def _before(facts: Facts) -> Iterator[StepLine]:
    claim, opened = facts.claim, facts.opened.record if facts.opened else None
    source = claim.source if claim else opened.source if opened and opened.retry is None else None
    if source == "schedule":
        yield StepLine(attempt=0, name="tick", at=facts.run.tick, words="due by its schedule")
    if claim is None:
        return
    if claim.decision == "run":
        # A run by hand was just named by whoever started it; a tick's run gets its name here.
        said = words.name(facts.run) if source == "schedule" else ""
        why = f"   {claim.why}" if said else claim.why
        yield StepLine(attempt=0, name="claimed", at=claim.at, words=said, more=why)
    else:
        said = reasons.sentence(claim.decision, claim.reason, claim.why)
        yield StepLine(attempt=0, name=claim.decision, at=claim.at, words=f"{words.name(facts.run)}: {said}")


def _of_attempt(facts: Facts, attempt: Attempt) -> Iterator[StepLine]:
    number = attempt.number
    if number > 1:
        yield StepLine(attempt=number, name="retry", at=attempt.intent.at, words=f"attempt {number}")
    if attempt.spot_refused is not None:
        errors = attempt.spot_refused.errors
        codes = ", ".join(dict.fromkeys(error.code for error in errors))
        said = f"{codes} in {words.count(len(errors), 'pool')}" + (
            "; asked on demand" if len(attempt.intent.markets) > 1 else ""
        )
        yield StepLine(attempt=number, name="no spot", at=attempt.spot_refused.at, words=said)
    yield from _server(attempt)
    yield from _job(facts, attempt)
    yield from _gone(attempt)


def _server(attempt: Attempt) -> Iterator[StepLine]:
    elected = attempt.election
    if elected is None:
        return
    if isinstance(elected, NoServer):
        said = reasons.sentence("failed", elected.reason, elected.detail, refused=bool(elected.errors))
        yield StepLine(attempt=attempt.number, name="no server", at=elected.at, words=said)
        return
    where = f" in {elected.zone}" if elected.zone else ""
    shape = f", {elected.type} {elected.market or ''}".rstrip() + where if elected.type else ""
    yield StepLine(
        attempt=attempt.number,
        name="server",
        at=elected.launched,
        words=f"{elected.server}{{shape}}, {{deadline}}",
        shape=shape,
        deadline=attempt.intent.deadline,
    )


def _job(facts: Facts, attempt: Attempt) -> Iterator[StepLine]:
    number, ended = attempt.number, attempt.ended
    began = started_at(attempt)
    if began is not None:
        version = facts.version(attempt.intent.version)
        command = words.command(version.job.command) if version else ""
        yield StepLine(attempt=number, name="job started", at=began, words=command)
    if facts.cancel is not None and attempt is facts.attempt:
        yield StepLine(attempt=number, name="cancelled", at=facts.cancel.at, words=f"by {facts.cancel.by or 'hand'}")
    order = attempt.end_order
    if order is not None and order.why != "cancelled":
        who = order.by.partition(":")[0] or "dayfly"
        yield StepLine(attempt=number, name="ending", at=order.at, words=f"the {who} ends the server: {order.why}")
    if ended is None:
        return
    if ended.job_ended is None:
        said = reasons.sentence(ended.outcome, ended.reason, ended.detail)
        yield StepLine(attempt=number, name="not started", at=ended.at, words=said)
    else:
        yield StepLine(attempt=number, name="job ended", at=ended.job_ended, words=_end_words(attempt, ended))
    if ended.stored_at is not None and (ended.outputs or ended.log.bytes or ended.job_ended):
        yield StepLine(attempt=number, name="stored", at=ended.stored_at, words=_stored_words(ended))


def started_at(attempt: Attempt) -> datetime | None:
    """When the command began, by the first word about it; None: it did not, or nobody said so."""
    if attempt.started is not None:
        return attempt.started.at
    return attempt.ended.job_started if attempt.ended else None


def took(attempt: Attempt) -> timedelta | None:
    """How long the command ran, by the server's own clock."""
    ended = attempt.ended
    return ended.job_ended - ended.job_started if ended and ended.job_started and ended.job_ended else None


def _end_words(attempt: Attempt, ended: Ended) -> str:
    if ended.outcome == "timed-out":
        said = f"TERM at its time limit of {words.spoken(attempt.intent.time_limit_s)}"
        took_it = took(attempt)
        if took_it is not None and took_it.total_seconds() >= attempt.intent.time_limit_s + 1:
            said += f", gone after {words.spoken(took_it)}"
    elif ended.exit is not None:
        said = f"exit {ended.exit}"
    elif ended.signal is not None:
        said = f"killed by signal {ended.signal}"
    else:
        said = "its end was not seen"
    took_it = took(attempt)
    if ended.exit != 0 and ended.outcome != "timed-out" and took_it is not None:
        said += f" after {words.spoken(took_it)}"
    peak = words.memory(ended.job_peak_memory_mb, attempt.started.memory_mb if attempt.started else None)
    return f"{said}, {peak}" if peak else said


def _stored_words(ended: Ended) -> str:
    if ended.outputs and not ended.missing:
        whole = sum(output.size for output in ended.outputs)
        return f"{words.count(len(ended.outputs), 'file')}, {words.size(whole)}"
    log = f"log {words.count(ended.log.lines, 'line')}"
    if ended.missing:
        declared = f"outputs: {' and '.join(ended.missing)} matched nothing"
        kept = f", {words.count(len(ended.outputs), 'other file')} kept" if ended.outputs else ""
        return f"{log}; {declared}{kept}"
    return log


def _gone(attempt: Attempt) -> Iterator[StepLine]:
    closed, elected = attempt.closed, attempt.elected
    if closed is None or elected is None:
        return
    at = closed.gone or closed.at
    ended = attempt.ended
    if ended is not None:
        # EC2 tells whole seconds: a server was not gone before its own last word.
        at = max(at, ended.at)
    began = elected.launched
    agent = closed.ended_by.startswith(_AGENT)
    yield StepLine(
        attempt=attempt.number,
        name="server gone",
        at=at,
        words="{lived}" if agent else f"{{lived}}; ended by {closed.ended_by}",
        lived=at - began,
        job=took(attempt),
    )


def run_lines(facts: Facts, zone: tzinfo, *, tenths: bool, attempt: int = 1) -> tuple[str, ...]:
    """The picture of a run so far: a line is added when its fact is known, and none changes later.

    `tenths`: the demo's, with tenths of a second, for somebody who sees it the first time. `attempt`: from which attempt on.
    """
    found = steps(facts, attempt=attempt)
    return tuple(step_line(line, found[0].at, zone, tenths=tenths) for line in found)


def step_line(line: StepLine, base: datetime, zone: tzinfo, *, tenths: bool, full: bool = False) -> str:
    """One line of the picture; the distance is counted from `base`, and left out at it."""
    at = words.clock(line.at, zone, tenths=tenths)
    said = line.text(zone, tenths=tenths, full=full)
    # Between the times as they are shown, so that clock and distance never disagree.
    away = _cut(line.at, tenths=tenths) - _cut(base, tenths=tenths)
    if tenths:
        seconds = away.total_seconds()
        delta = "" if line.name == "tick" else f"+{seconds:.1f} s" if seconds < 60 else f"+{words.span(away)}"
        return f"  {line.name:<12}  {at:<10}  {delta:>7}   {said}".rstrip()
    delta = "" if line.at <= base else f"+{words.span(away)}"
    name = "gone" if line.name == "server gone" else line.name
    return f"  {at}  {delta:>8}  {name:<11}  {said}".rstrip()


def _cut(moment: datetime, *, tenths: bool) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 100_000 * 100_000 if tenths else 0)


def live_state(facts: Facts) -> str:
    """waiting, starting, running or saving; or the outcome once the newest attempt is closed."""
    if facts.claim is None:
        return "waiting"
    if facts.claim.decision != "run":
        return facts.claim.decision
    attempt = facts.attempt
    if attempt is None:
        return "starting"
    if facts.opened is not None and facts.opened.record.retry == attempt.number + 1:
        return "waiting"
    if attempt.closed is not None:
        return attempt.closed.outcome
    if attempt.ended is not None:
        return "saving"
    return "running" if attempt.started is not None else "starting"
