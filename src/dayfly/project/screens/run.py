"""Screen of `show RUN`: everything known about one run, and what will end its server if it is live; as text and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import Any

from dayfly.core import names, receipt
from dayfly.core.facts import Attempt, Facts, NoAttempt, NotShown, NotStored, Server, Unreadable
from dayfly.core.model import Code, Deployed
from dayfly.core.record_json import moment_text
from dayfly.core.records import Claim, Closed, Elected, Ended, Heartbeat, Latest, NoServer, Published, Telling, Told
from dayfly.core.sweep import LATEST_END, SWEEP_OVERDUE
from dayfly.project import formatting
from dayfly.project.runs import reasons, state
from dayfly.project.runs.details import RunDetails
from dayfly.project.runs.references import unique_name
from dayfly.project.screens.outcome import RECEIPT_PENDING, RunOutcome, last_lines, outcome_of, said_lines
from dayfly.project.screens.pauses import paused_document, since
from dayfly.project.screens.progress import progress_lines

_ARMED = "dayfly switch: armed"
_MOST_FILES = 5
_WIDTH = 9


def show_lines(details: RunDetails, zone: tzinfo, *, local: bool = False) -> tuple[str, ...]:
    """Return the screen below its target line, with times in `zone`."""
    facts = details.facts
    outcome = outcome_of(facts, local=local)
    lines = [
        formatting.with_detail(f"{outcome.run}   {reasons.outcome_words(outcome.outcome)}", outcome.why),
        f"{_due(facts, zone, details.at)} {formatting.zone_name(zone)}",
        "",
        *progress_lines(facts, zone, tenths=False, full=True),
        "",
    ]
    match facts.attempt:
        case Attempt() as attempt:
            lines += _attempt(details, attempt, outcome, zone)
        case NoAttempt() if not outcome.over:
            lines.append(_labelled("server", "none yet"))
    lines += [*_notified(details, zone), *_published(details)]
    lines.append(_labelled("latest", _latest(details, zone)))
    for job, pause in details.pauses.items():
        resume = formatting.dayfly("resume", job, local=local)
        lines.append(_labelled("paused", f"{job} {since(pause, zone, details.at)}; {resume}"))
    lines.append(_labelled("next", outcome.next))
    return tuple(lines)


def show_document(details: RunDetails, *, local: bool = False) -> dict[str, Any]:
    """Return the screen as JSON: the receipt's fields if it is stored, otherwise what is known; null for what is unknown."""
    facts = details.facts
    outcome = outcome_of(facts, local=local)
    content: dict[str, Any] = {"run": outcome.run, "job": facts.run.job, "tick": names.utc_text(facts.run.tick)}
    match details.receipt, facts.attempt:
        case NotStored(), Attempt() as attempt:
            content |= {
                "times": receipt.times(facts, attempt),
                "deadline": names.utc_text(attempt.intent.deadline),
                "server": _server_document(attempt),
                "attempt": attempt.number,
                "refused": receipt.refused(attempt),
            }
        case Mapping() as stored, _:
            content = dict(stored)
    content |= {
        "outcome": outcome.outcome,
        "reason": outcome.reason or None,
        "over": outcome.over,
        "why": outcome.why or None,
        "ec2_said": list(outcome.said),
        "do": outcome.do or None,
        "claim": None,
        "log_last": None,
        "latest": None,
        "paused": {job: paused_document(pause) for job, pause in details.pauses.items()}.get(facts.run.job),
        "notified": _notified_document(details),
        "results": getattr(details.published, "folder", None),
        "next": outcome.next,
    }
    match facts.claim:
        case Claim(decision=decision, why=why):
            content["claim"] = {"decision": decision, "why": why}
    match facts.attempt.ended:
        case Ended(log=log):
            content["log_last"] = list(log.last)
    match details.latest:
        case Latest(run=run):
            content["latest"] = run
    match facts.attempt:
        case Attempt() as attempt if not (outcome.over or attempt.server.gone):
            content["ends_by"] = _layers(details, attempt)
    return content


def _due(facts: Facts, zone: tzinfo, now: datetime) -> str:
    due = formatting.day_time(facts.run.tick, zone, now)
    if state.is_tick(facts):
        return f"due {due}"
    return f"by hand {due}"


def _server_document(attempt: Attempt) -> dict[str, Any] | None:
    match attempt.election:
        case Elected() as elected:
            return {
                "id": elected.server,
                "type": elected.type,
                "zone": elected.zone,
                "market": elected.market,
                "image": elected.image,
                "state": attempt.server.state or None,
            }
    return None


def _attempt(details: RunDetails, attempt: Attempt, outcome: RunOutcome, zone: tzinfo) -> list[str]:
    if outcome.over:
        return [*said_lines(outcome, _WIDTH), *_log(attempt), *_results(details, attempt, outcome)]
    return _live_server(details, attempt, zone)


# --- a live run ---------------------------------------------------------------------------------------------------------


def _live_server(details: RunDetails, attempt: Attempt, zone: tzinfo) -> list[str]:
    """Return the lines about the server and each layer that would end it."""
    match attempt.election:
        case NotStored():
            return [_labelled("server", "none yet")]
        case NoServer():
            return []
        case Elected(server=server) if attempt.server.gone:
            return [_labelled("server", f"{server}: {state.CLOSING}")]
        case Elected(server=server):
            return _live_elected(details, attempt, server, zone)
        case Unreadable() as unreadable:
            return [_labelled("server", f"unknown: {unreadable}")]


def _live_elected(details: RunDetails, attempt: Attempt, server: str, zone: tzinfo) -> list[str]:
    deadline = attempt.intent.deadline
    match attempt.server:
        case Server(state=shown):
            seen = shown
        case NotShown():
            seen = "not shown by EC2; its state is unknown"
    latest = f"{formatting.clock(deadline + LATEST_END, zone)} at the latest"
    return [
        _labelled("server", f"{server} is {seen}"),
        _labelled(
            "ends by", f"{formatting.clock(deadline, zone)}, its deadline; {latest}, while any one of these works"
        ),
        *(_layer_line(name, layer) for name, layer in _layers(details, attempt).items()),
    ]


def _layer_line(name: str, layer: Mapping[str, Any]) -> str:
    return formatting.labelled(name.replace("_", " "), layer["says"], width=14, indent=2)


def _layers(details: RunDetails, attempt: Attempt) -> dict[str, dict[str, Any]]:
    """Return whether each layer is ready to end the server: `ok` (null: unknown), and `says`, the same in words."""
    return {
        "switch": _switch(details.console),
        "kill_schedule": _kill_schedule(attempt),
        "sweeper": _sweeper(details.heartbeat, details.at),
    }


def _switch(console: tuple[str, ...]) -> dict[str, Any]:
    for line in reversed(console):
        _, found, after = line.partition(_ARMED)
        if found:
            return {"ok": True, "says": f"armed{after.rstrip()} (from the server's console)"}
    return {"ok": None, "says": "unknown: not on the server's console yet"}


def _kill_schedule(attempt: Attempt) -> dict[str, Any]:
    if attempt.elected_id in attempt.armed:
        return {"ok": True, "says": f"armed ({names.kill_schedule(attempt.elected_id)})"}
    return {"ok": False, "says": "MISSING; the next step of this run makes it"}


def _sweeper(heartbeat: Heartbeat | NotStored | Unreadable, now: datetime) -> dict[str, Any]:
    if isinstance(heartbeat, NotStored):
        return {"ok": None, "says": "unknown: it has not reported yet"}
    if isinstance(heartbeat, Unreadable):
        return {"ok": None, "says": f"unknown: {heartbeat}"}
    age = now - heartbeat.at
    said = f"last complete sweep {formatting.duration_phrase(age)} ago"
    if age > SWEEP_OVERDUE:
        return {"ok": False, "says": f"SILENT: {said}; it is due every 5 minutes"}
    return {"ok": True, "says": said}


# --- a run that is over -------------------------------------------------------------------------------------------------


def _log(attempt: Attempt) -> list[str]:
    title, *lines = last_lines(attempt) or ("",)
    if not title:
        return []
    return [_labelled("log", title), *lines]


def _results(details: RunDetails, attempt: Attempt, outcome: RunOutcome) -> list[str]:
    facts = details.facts
    lines: list[str] = []
    if outcome.ended_by:
        lines.append(_labelled("ended by", outcome.ended_by))
    lines.append(_labelled("code", _code(facts, attempt)))
    match facts.claim:
        case Claim(env=env) if env:
            lines.append(_labelled("env", " ".join(f"{key}={value}" for key, value in sorted(env.items()))))
    if len(facts.attempts) > 1:
        ends = [_attempt_end(number, closed) for number, closed in facts.closed.items()]
        lines.append(_labelled("attempts", "; ".join(ends)))
    if attempt.outputs:
        files = [f"{one.path} {formatting.size(one.size)}" for one in attempt.outputs]
        lines.append(_labelled("files", _first_few(files)))
    if isinstance(details.receipt, NotStored):
        lines.append(_labelled("receipt", RECEIPT_PENDING))
    return lines


def _notified(details: RunDetails, zone: tzinfo) -> list[str]:
    """Return the lines about who heard how the run ended; none if nobody has to."""
    match details.told:
        case Telling(took=took, failed=failed, tries=tries):
            waiting = f"; tried {formatting.number_of(tries, 'time')}, to be sent again"
            return _told_lines("", took, failed, waiting)
        case Told(took=(), failed=failed) if not failed:
            return [_labelled("notified", "nobody: notify is empty")]
        case Told(at=at, notice=notice, took=took, failed=failed, tries=tries):
            given_up = f"; given up at try {tries}"
            return _told_lines(f"{formatting.clock(at, zone)}, {notice}: ", took, failed, given_up)
        case Unreadable() as unreadable:
            return [_labelled("notified", f"unknown: {unreadable}")]
    return []


def _told_lines(head: str, took: Sequence[str], failed: Mapping[str, str], why_not: str) -> list[str]:
    lines = [_labelled("notified", f"{head}{', '.join(took)}")] if took else []
    return [*lines, *(_labelled("not told", f"{address}: {why}{why_not}") for address, why in failed.items())]


def _published(details: RunDetails) -> list[str]:
    """Return the line about where the result stands for others; none if `results` does not say so."""
    match details.published:
        case Published(folder=folder, why="", latest=latest):
            pointed = {True: "; latest names it", False: "; latest names a newer one"}[latest]
            return [_labelled("results", f"{folder}{pointed}")]
        case Published(folder=folder, why=why):
            return [_labelled("results", f"NOT in {folder}: {why}; given up")]
    return []


def _notified_document(details: RunDetails) -> dict[str, Any] | None:
    match details.told:
        case Told(at=at, notice=notice, id=id, took=took, failed=failed, tries=tries):
            content = {"at": moment_text(at), "notice": notice, "id": id}
            return {**content, "took": list(took), "failed": dict(failed), "tries": tries}
    return None


def _attempt_end(number: int, closed: Closed) -> str:
    """Return the end of an attempt: `1 failed exit 3`."""
    return formatting.joined(str(number), reasons.outcome_words(closed.outcome), closed.reason, separator=" ")


def _first_few(files: list[str]) -> str:
    shown = ", ".join(files[:_MOST_FILES])
    if len(files) > _MOST_FILES:
        return f"{shown}, and {len(files) - _MOST_FILES} more"
    return shown


def _code(facts: Facts, attempt: Attempt) -> str:
    """Return the code and the image that the attempt ran: `3fa94c1 = commit 9f2c1ab (clean)      image debian-13 = ami-0d4e`."""
    match facts.version(attempt.intent.version):
        case Deployed() as version:
            return f"{_bundle(version.code)}      image {_image(version, attempt)}"
    return "unknown: the job's version was removed"


def _bundle(code: Code | None) -> str:
    match code:
        case Code(sha256=sha256, commit=str() as commit, dirty=dirty) if commit:
            changes = {True: "changed since", False: "clean"}[dirty]
            return f"{sha256[:7]} = commit {commit[:7]} ({changes})"
        case Code(sha256=sha256):
            return sha256[:7]
    return "none"


def _image(version: Deployed, attempt: Attempt) -> str:
    image = version.job.image
    match attempt.election:
        case Elected(image=launched) if launched and launched != image:
            return f"{image} = {launched}"
    return image


def _latest(details: RunDetails, zone: tzinfo) -> str:
    """Return which run `latest` names."""
    if isinstance(details.latest, NotStored):
        return f"none yet: no scheduled run of {details.facts.run.job} has succeeded"
    if isinstance(details.latest, Unreadable):
        return f"unknown: {details.latest}"
    run = names.run_name(details.latest.run)
    if run == details.facts.run:
        return "this run"
    return f"{unique_name(run)}, of {formatting.day_time(run.tick, zone, details.at)}"


def _labelled(label: str, line: str) -> str:
    return formatting.labelled(label, line, width=_WIDTH)
