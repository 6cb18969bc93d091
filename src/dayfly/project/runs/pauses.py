"""Pause a job and resume it, and look up which jobs are paused. The launcher reads the same object (core/claim.py)."""

from __future__ import annotations

from collections.abc import Mapping

from dayfly.core import names
from dayfly.core.facts import NotStored, Unreadable
from dayfly.core.record_json import encode
from dayfly.core.records import Paused
from dayfly.flows import read
from dayfly.flows.calls import Delete, Flow, List, Now, PutNew, ask

Pause = Paused | Unreadable
"""A job's pause. That the object exists says so, also if it cannot be read."""


def pause(job: str, by: str) -> Flow[Pause]:
    """Pause a job. Return the pause in force, which is an older one if the job was paused already."""
    record = Paused(at=(yield from ask(Now())), by=by)
    if (yield from ask(PutNew(names.paused_key(job), encode(record)))):
        return record
    match (yield from read.record(Paused, names.paused_key(job))):
        case NotStored():  # resumed between the two calls
            return (yield from pause(job, by))
        case found:
            return found


def resume(job: str) -> Flow[Pause | NotStored]:
    """Resume a job. Return the pause that it had."""
    before = yield from read.record(Paused, names.paused_key(job))
    yield from ask(Delete(names.paused_key(job)))
    return before


def paused_jobs(job: str | None = None) -> Flow[Mapping[str, Pause]]:
    """Return the pauses in force by job: of one job or of all."""
    found: dict[str, Pause] = {}
    for key in (yield from ask(List(names.PAUSED + (job or "")))):
        name = key.removeprefix(names.PAUSED)
        if job in (None, name):
            match (yield from read.record(Paused, key)):
                case NotStored():
                    continue
                case pause:
                    found[name] = pause
    return found
