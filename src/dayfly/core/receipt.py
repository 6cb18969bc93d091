"""The receipt of an attempt: one JSON document with all that is known when it is closed. Pure: facts in, a mapping out.

`show`, `--json` and programs that read the bucket use it. Unknown is null, never 0.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from dayfly.core import names
from dayfly.core.facts import Attempt, Facts
from dayfly.core.model import Code, Deployed
from dayfly.core.records import Claim, Closed, Elected, Ended, Started, moment_text


def build(facts: Facts, claim: Claim, attempt: Attempt, closed: Closed) -> dict[str, Any]:
    """The receipt of a closed attempt."""
    return {
        "format": names.FORMAT,
        "run": str(facts.run),
        "job": facts.run.job,
        "tick": names.utc_text(facts.run.tick),
        "source": claim.source,
        "by": claim.by,
        "env": dict(claim.env),
        "attempt": attempt.number,
        "outcome": closed.outcome,
        "reason": closed.reason,
        "detail": closed.detail,
        "exit": closed.exit,
        "code": _code(attempt, facts.version(attempt.intent.version)),
        "server": _server(attempt, closed),
        "times": times(facts, attempt),
        "deadline": names.utc_text(attempt.intent.deadline),
        **_of_ended(attempt.ended),
        "memory_mb": _memory(attempt.started, attempt.ended),
        "ran_on": _ran_on(attempt.started),
        "attempts": [
            {
                "attempt": one.number,
                "outcome": one.closed.outcome,
                "reason": one.closed.reason,
                "server": one.closed.server,
            }
            for one in facts.attempts
            if one.closed is not None
        ],
    }


def times(facts: Facts, attempt: Attempt) -> dict[str, str | None]:
    """Every time known of an attempt, UTC with milliseconds; None where unknown."""
    known: dict[str, datetime | None] = dict.fromkeys(
        ("tick", "claimed", "intended", "server_started", "job_started", "job_ended", "stored", "server_gone", "closed")
    )
    known |= {"tick": facts.run.tick, "intended": attempt.intent.at}
    if facts.claim is not None:
        known["claimed"] = facts.claim.at
    if attempt.elected is not None:
        known["server_started"] = attempt.elected.launched
    if attempt.started is not None:
        known["job_started"] = attempt.started.at
    if attempt.ended is not None:
        ended = attempt.ended
        known["job_started"] = ended.job_started or known["job_started"]
        known |= {"job_ended": ended.job_ended, "stored": ended.stored_at}
    if attempt.closed is not None:
        known |= {"server_gone": _server_gone(attempt.closed), "closed": attempt.closed.at}
    texts: dict[str, str | None] = dict.fromkeys(known)
    texts |= {name: moment_text(moment) for name, moment in known.items() if moment is not None}
    return texts


def _server_gone(closed: Closed) -> datetime | None:
    """When EC2 says that the server was gone, or else when it was seen to be gone."""
    if closed.server is None:
        return None
    return closed.gone or closed.at


def _server(attempt: Attempt, closed: Closed) -> dict[str, Any] | None:
    if attempt.elected is None:
        return None
    shape = _shape(attempt, attempt.elected)
    return {"id": attempt.elected.server, **shape, "ended_by": closed.ended_by}


def _shape(attempt: Attempt, elected: Elected) -> dict[str, str | None]:
    """Type, zone, market and image: as EC2 shows them now, or else as they were at the election."""
    kinds = ("type", "zone", "market", "image")
    return {kind: getattr(attempt.server, kind, "") or getattr(elected, kind) for kind in kinds}


def _of_ended(ended: Ended | None) -> dict[str, Any]:
    if ended is None:
        return {"outputs": [], "missing": [], "log": None}
    return {
        "outputs": [asdict(output) for output in ended.outputs],
        "missing": list(ended.missing),
        "log": {"pieces": ended.log.pieces, "bytes": ended.log.bytes, "lines": ended.log.lines},
    }


def _memory(started: Started | None, ended: Ended | None) -> dict[str, int | None]:
    return {
        "job": getattr(ended, "job_peak_memory_mb", None),
        "agent": getattr(ended, "agent_peak_memory_mb", None),
        "server": getattr(started, "memory_mb", None),
    }


def _ran_on(started: Started | None) -> dict[str, Any] | None:
    if started is None:
        return None
    return {"machine": started.machine, "python": started.python, "cpus": started.cpus}


def _code(attempt: Attempt, version: Deployed | None) -> dict[str, Any]:
    code: Code | None = getattr(version, "code", None)
    keys = ("bundle", "sha256", "commit", "dirty")
    return {"version": attempt.intent.version, **{key: getattr(code, key, None) for key in keys}}
