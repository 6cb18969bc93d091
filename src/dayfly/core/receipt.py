"""The receipt of an attempt: one JSON document with all that is known when it is closed. Pure: facts in, a mapping out.

Readers: `show`, `--json`, and whoever reads the bucket without dayfly. Unknown is null, never 0.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from dayfly.core import names
from dayfly.core.facts import Attempt, Facts
from dayfly.core.model import Version
from dayfly.core.records import moment_text


def build(facts: Facts, attempt: Attempt) -> dict[str, Any]:
    """The receipt of a closed attempt."""
    assert facts.claim is not None
    assert attempt.closed is not None
    closed, ended, elected = attempt.closed, attempt.ended, attempt.elected
    version = facts.version(attempt.intent.version)
    server = None
    if elected is not None and elected.server is not None:
        shown = attempt.server  # EC2 knows more of it now than when it was elected
        shape = {
            "type": (shown.type if shown else None) or elected.type,
            "zone": (shown.zone if shown else None) or elected.zone,
            "market": (shown.market if shown else None) or elected.market,
            "image": (shown.image if shown else None) or elected.image,
        }
        server = {"id": elected.server, **shape, "ended_by": closed.ended_by}
    return {
        "format": names.FORMAT,
        "run": str(facts.run),
        "job": facts.run.job,
        "tick": names.utc_text(facts.run.tick),
        "source": facts.claim.source,
        "by": facts.claim.by,
        "env": dict(facts.claim.env),
        "attempt": attempt.number,
        "outcome": closed.outcome,
        "reason": closed.reason,
        "detail": closed.detail,
        "exit": closed.exit,
        "code": _code(attempt, version),
        "server": server,
        "times": times(facts, attempt),
        "deadline": names.utc_text(attempt.intent.deadline),
        "outputs": [asdict(output) for output in ended.outputs] if ended else [],
        "missing": list(ended.missing) if ended else [],
        "log": {"pieces": ended.log.pieces, "bytes": ended.log.bytes, "lines": ended.log.lines} if ended else None,
        "memory_mb": {
            "job": ended.job_peak_memory_mb if ended else None,
            "agent": ended.agent_peak_memory_mb if ended else None,
            "server": attempt.started.memory_mb if attempt.started else None,
        },
        "ran_on": {"machine": attempt.started.machine, "python": attempt.started.python, "cpus": attempt.started.cpus}
        if attempt.started
        else None,
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
    """Every moment known of an attempt, UTC with milliseconds."""
    ended, closed, elected = attempt.ended, attempt.closed, attempt.elected
    known: dict[str, datetime | None] = {
        "tick": facts.run.tick,
        "claimed": facts.claim.at if facts.claim else None,
        "intended": attempt.intent.at,
        "server_started": elected.launched if elected else None,
        "job_started": (ended.job_started if ended else None) or (attempt.started.at if attempt.started else None),
        "job_ended": ended.job_ended if ended else None,
        "stored": ended.stored_at if ended else None,
        "server_gone": (closed.gone or (closed.at if closed.server else None)) if closed else None,
        "closed": closed.at if closed else None,
    }
    return {name: moment_text(moment) if moment else None for name, moment in known.items()}


def _code(attempt: Attempt, version: Version | None) -> dict[str, Any]:
    code = version.code if version else None
    return {
        "version": attempt.intent.version,
        "bundle": code.bundle if code else None,
        "sha256": code.sha256 if code else None,
        "commit": code.commit if code else None,
        "dirty": code.dirty if code else None,
    }
