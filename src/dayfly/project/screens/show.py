"""`show RUN`: everything known about one run, and for a live one what stands between it and the bill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from dayfly.core import names, receipt
from dayfly.core.facts import Attempt, Facts
from dayfly.core.records import Heartbeat, Latest
from dayfly.project.screens import live, reasons, words
from dayfly.project.screens.ending import ending, last_lines

LATEST_END = timedelta(minutes=7)
"""After the deadline, by the sweeper, when it is the only layer left."""
_SWEEP_LATE = timedelta(minutes=15)
_ARMED = "dayfly switch: armed"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What `show` looks up beside a run's facts. `console`: dayfly's lines on a live server's console; None: not asked."""

    receipt: Mapping[str, Any] | None = None
    latest: Latest | None = None
    heartbeat: Heartbeat | None = None
    console: tuple[str, ...] | None = None


def show_lines(facts: Facts, seen: Seen, zone: tzinfo, now: datetime, *, local: bool = False) -> tuple[str, ...]:
    """The screen after its target line. `zone` is the job's, or UTC."""
    end = ending(facts, local=local)
    title = reasons.outcome_words(end.outcome)
    found = live.steps(facts)
    when = (
        f"due {words.day_time(facts.run.tick, zone, now)}"
        if _scheduled(facts)
        else f"by hand {words.day_time(facts.run.tick, zone, now)}"
    )
    lines = [f"{end.run}   {title}{': ' + end.why if end.why else ''}", f"{when} {zone_name(zone)}", ""]
    lines += [live.step_line(line, found[0].at, zone, tenths=False, full=True) for line in found]
    lines.append("")
    if not end.over:
        lines += _between(facts, seen, zone, now)
    else:
        log = last_lines(facts.attempt)
        if log:
            lines += [_labelled("log", log[0]), *log[1:]]
        lines += _after(facts, seen, end.ended_by)
    lines.append(_latest(facts, seen, zone, now))
    lines.append(_labelled("next", end.next))
    return tuple(lines)


def show_document(facts: Facts, seen: Seen, now: datetime, *, local: bool = False) -> dict[str, Any]:
    """The same for programs: the receipt's fields of a closed attempt, else what is known; unknown is null."""
    end = ending(facts, local=local)
    attempt = facts.attempt
    content: dict[str, Any] = dict(
        seen.receipt or {"run": end.run, "job": facts.run.job, "tick": names.utc_text(facts.run.tick)}
    )
    content |= {"outcome": end.outcome, "reason": end.reason or None, "over": end.over, "why": end.why or None}
    content["claim"] = {"decision": facts.claim.decision, "why": facts.claim.why} if facts.claim else None
    content["log_last"] = list(attempt.ended.log.last) if attempt and attempt.ended else None
    content["latest"] = seen.latest.run if seen.latest else None
    content["next"] = end.next
    if attempt is not None and seen.receipt is None:
        content["times"] = receipt.times(facts, attempt)
        content["deadline"] = names.utc_text(attempt.intent.deadline)
        content["server"] = _server(attempt)
        content["attempt"] = attempt.number
    if attempt is not None and not end.over and not (attempt.server and attempt.server.gone):
        content["ends_by"] = _layers(attempt, seen, now)
    return content


def zone_name(zone: tzinfo) -> str:
    """`Europe/Berlin`, `UTC`."""
    return str(getattr(zone, "key", None) or zone)


def _scheduled(facts: Facts) -> bool:
    opened = facts.opened.record if facts.opened else None
    return (facts.claim.source if facts.claim else opened.source if opened else "") == "schedule"


def _server(attempt: Attempt) -> dict[str, Any] | None:
    elected = attempt.elected
    if elected is None:
        return None
    shape = {"type": elected.type, "zone": elected.zone, "market": elected.market, "image": elected.image}
    return {"id": elected.server, **shape, "state": attempt.server.state if attempt.server else None}


# --- a live run ---------------------------------------------------------------------------------------------------------


def _between(facts: Facts, seen: Seen, zone: tzinfo, now: datetime) -> list[str]:
    """What ends the server: each line looked up now, none assumed."""
    attempt = facts.attempt
    if attempt is None or attempt.election is None:
        return [_labelled("server", "none yet")]
    if attempt.elected is None:
        return []
    if attempt.server is not None and attempt.server.gone:
        return [_labelled("server", f"{attempt.elected.server}: {live.TO_CLOSE}")]
    deadline = attempt.intent.deadline
    last = words.clock(deadline + LATEST_END, zone)
    state = attempt.server.state if attempt.server else "not shown by EC2: unknown, not gone"
    lines = [
        _labelled("server", f"{attempt.elected.server} is {state}"),
        _labelled(
            "ends by",
            f"{words.clock(deadline, zone)} its deadline; {last} at the very latest, while any one of these works",
        ),
    ]
    layers = _layers(attempt, seen, now)
    return [
        *lines,
        *(f"  {name.replace('_', ' '):<14} {layers[name]['says']}" for name in ("switch", "kill_schedule", "sweeper")),
    ]


def _layers(attempt: Attempt, seen: Seen, now: datetime) -> dict[str, dict[str, Any]]:
    server = attempt.elected.server if attempt.elected else None
    armed = server in attempt.armed if server else False
    kill = {
        True: f"{names.kill_schedule(server or '')} is there",
        False: "NOT THERE; the next step of this run makes it",
    }[armed]
    return {
        "switch": _switch(seen.console),
        "kill_schedule": {"ok": armed, "says": kill},
        "sweeper": _sweeper(seen.heartbeat, now),
    }


def _switch(console: tuple[str, ...] | None) -> dict[str, Any]:
    line = next((line for line in reversed(console or ()) if _ARMED in line), None)
    if line is not None:
        return {
            "ok": True,
            "says": f"{line[line.index(_ARMED) + len('dayfly switch: ') :].strip()} (the server's console)",
        }
    return {"ok": None, "says": "unknown: the server's console does not show it (yet)"}


def _sweeper(beat: Heartbeat | None, now: datetime) -> dict[str, Any]:
    if beat is None:
        return {"ok": None, "says": "unknown: it left no heartbeat yet"}
    ago = now - beat.at
    said = f"last whole sweep {words.spoken(ago)} ago"
    return {
        "ok": ago <= _SWEEP_LATE,
        "says": said if ago <= _SWEEP_LATE else f"SILENT: {said}; it comes every 5 minutes",
    }


# --- a run that is over -------------------------------------------------------------------------------------------------


def _after(facts: Facts, seen: Seen, ended_by: str) -> list[str]:
    attempt = facts.attempt
    if attempt is None or attempt.closed is None:
        return []
    lines = []
    if ended_by:
        lines.append(_labelled("ended by", ended_by))
    lines.append(_labelled("code", _code(facts, attempt)))
    if facts.claim and facts.claim.env:
        lines.append(_labelled("env", " ".join(f"{key}={value}" for key, value in sorted(facts.claim.env.items()))))
    if len(facts.attempts) > 1:
        each = [
            f"{one.number} {reasons.outcome_words(one.closed.outcome)} {one.closed.reason}".rstrip()
            for one in facts.attempts
            if one.closed
        ]
        lines.append(_labelled("attempts", "; ".join(each)))
    if attempt.ended is not None and attempt.ended.outputs:
        lines.append(
            _labelled("files", ", ".join(f"{one.path} {words.size(one.size)}" for one in attempt.ended.outputs[:5]))
        )
        if len(attempt.ended.outputs) > 5:
            lines[-1] += f", and {len(attempt.ended.outputs) - 5} more"
    if seen.receipt is None:
        lines.append(_labelled("receipt", "not written yet; the sweeper does it within 5 minutes"))
    return lines


def _code(facts: Facts, attempt: Attempt) -> str:
    version = facts.version(attempt.intent.version)
    if version is None:
        return "unknown: its version is not in the bucket any more"
    code = version.code
    said = "none"
    if code is not None:
        said = code.sha256[:7]
        said += f" = commit {code.commit[:7]} ({'changed since' if code.dirty else 'clean'})" if code.commit else ""
    image = attempt.elected.image if attempt.elected else None
    wanted = version.job.image
    return f"{said}      image {wanted}" + (f" = {image}" if image and image != wanted else "")


def _latest(facts: Facts, seen: Seen, zone: tzinfo, now: datetime) -> str:
    if seen.latest is None:
        return _labelled("latest", f"none: no good result of {facts.run.job} by its schedule yet")
    if seen.latest.run == str(facts.run):
        return _labelled("latest", "this run")
    run = names.run_name(seen.latest.run)
    return _labelled("latest", f"{words.name(run)}, of {words.day_time(run.tick, zone, now)}")


def _labelled(label: str, text: str) -> str:
    return f"{label:<9} {text}".rstrip()
