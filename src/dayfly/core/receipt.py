"""The receipt of an attempt: one JSON document with all that is known when it is closed. Pure functions.

`show`, `--json` and programs that read the bucket use it. What is not known is null, never 0.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from dayfly.core import election, names
from dayfly.core.facts import INTENT, Attempt, Facts, NotStored, Unreadable
from dayfly.core.model import Agent, Code, Deployed
from dayfly.core.record_json import moment_text
from dayfly.core.records import Claim, Closed, Elected, Election, Ended, NoServer, Started


def build(facts: Facts, attempt: Attempt, closed: Closed) -> dict[str, Any]:
    """Return the receipt of a closed attempt."""
    intended = not any(each.key.endswith(INTENT) for each in attempt.unreadable)
    return {
        "format": names.FORMAT,
        "run": str(facts.run),
        "job": facts.run.job,
        "tick": names.utc_text(facts.run.tick),
        **_of_claim(facts.claim),
        "attempt": attempt.number,
        "outcome": closed.outcome,
        "reason": closed.reason,
        "detail": closed.detail,
        "exit": closed.exit,
        "code": _code(attempt, facts.version(attempt.intent.version)),
        "server": _server(attempt, closed),
        "refused": refused(attempt),
        "console": list(closed.console),
        "times": times(facts, attempt),
        "deadline": names.utc_text(attempt.intent.deadline) if intended else None,
        **_of_ended(attempt.ended),
        "memory_mb": _memory(attempt.started, attempt.ended),
        "ran_on": _ran_on(attempt.started),
        "attempts": [
            {"attempt": number, "outcome": closed.outcome, "reason": closed.reason, "server": closed.server}
            for number, closed in facts.closed.items()
        ],
    }


def _of_claim(claim: Claim | NotStored | Unreadable) -> dict[str, Any]:
    match claim:
        case Claim(source=source, by=by, env=env):
            return {"source": source, "by": by, "env": dict(env)}
    return {"source": None, "by": None, "env": {}}


def times(facts: Facts, attempt: Attempt) -> dict[str, str | None]:
    """Return the times of an attempt, in UTC with milliseconds. None where one is not known."""
    known: dict[str, datetime | None] = dict.fromkeys(
        ("tick", "claimed", "intended", "server_started", "job_started", "job_ended", "stored", "server_gone", "closed")
    )
    known["tick"] = facts.run.tick
    if not any(each.key.endswith(INTENT) for each in attempt.unreadable):
        known["intended"] = attempt.intent.at
    for record in (facts.claim, attempt.election, attempt.started, attempt.ended, attempt.closed):
        known |= _times_of(record)
    texts: dict[str, str | None] = dict.fromkeys(known)
    texts |= {name: moment_text(moment) for name, moment in known.items() if moment}
    return texts


def _times_of(
    record: Claim | Election | Started | Ended | Closed | NotStored | Unreadable,
) -> dict[str, datetime | None]:
    """Return the times that a record holds."""
    match record:
        case Claim(at=at):
            return {"claimed": at}
        case Elected(launched=launched):
            return {"server_started": launched}
        case Started(at=at):
            return {"job_started": at}
        case Ended(job_started=None) as ended:
            return {"job_ended": ended.job_ended, "stored": ended.stored_at}
        case Ended() as ended:
            return {"job_started": ended.job_started, "job_ended": ended.job_ended, "stored": ended.stored_at}
        case Closed() as closed:
            return {"server_gone": closed.gone, "closed": closed.at}
    return {}


def _server(attempt: Attempt, closed: Closed) -> dict[str, Any] | None:
    match attempt.election:
        case Elected(server=server) as elected:
            said = {"ec2_code": closed.ec2_code or None, "ec2_message": closed.ec2_message or None}
            return {"id": server, **_shape(attempt, elected), "ended_by": closed.ended_by, **said}
    return None


def refused(attempt: Attempt) -> list[dict[str, str]]:
    """Return all that EC2 said when it refused a server: for each pool, or with an empty pool for the whole request."""
    match attempt.election:
        case NoServer(errors=errors) if errors:
            return [asdict(error) for error in errors]
    return [asdict(error) for error in election.heard(attempt)]


def _shape(attempt: Attempt, elected: Elected) -> dict[str, str | None]:
    """Return type, zone, market and image: as EC2 shows them now, or else as they were at the election."""
    fields = ("type", "zone", "market", "image")
    return {field: getattr(attempt.server, field, "") or getattr(elected, field) for field in fields}


def _of_ended(ended: Ended | NotStored) -> dict[str, Any]:
    if isinstance(ended, NotStored):
        return {"outputs": [], "missing": [], "log": None}
    return {
        "outputs": [asdict(output) for output in ended.outputs],
        "missing": list(ended.missing),
        "log": {"pieces": ended.log.pieces, "bytes": ended.log.bytes, "lines": ended.log.lines},
    }


def _memory(started: Started | NotStored, ended: Ended | NotStored) -> dict[str, int | None]:
    return {
        "job": getattr(ended, "job_peak_memory_mb", None),
        "agent": getattr(ended, "agent_peak_memory_mb", None),
        "server": getattr(started, "memory_mb", None),
    }


def _ran_on(started: Started | NotStored) -> dict[str, Any] | None:
    match started:
        case Started(machine=machine, python=python, cpus=cpus):
            return {"machine": machine, "python": python, "cpus": cpus}
    return None


def _code(attempt: Attempt, version: Deployed | NotStored | Unreadable) -> dict[str, Any]:
    code: Code | None = getattr(version, "code", None)
    keys = ("bundle", "sha256", "commit", "dirty")
    agent: Agent | None = getattr(version, "agent", None)
    return {
        "version": attempt.intent.version,
        **{key: getattr(code, key, None) for key in keys},
        "agent": getattr(agent, "sha256", None),
    }
