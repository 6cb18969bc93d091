"""The last word: what became of the attempt, judged from what was seen, and the record that says so.

Nothing is called succeeded that is not exit 0 with every declared output stored; what is not known says so.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from dayfly.remote.agent import words
from dayfly.remote.agent.job import Course
from dayfly.remote.agent.outputs import Found

_DETAIL = 2000


class Verdict(NamedTuple):
    outcome: str
    reason: str
    detail: str


class Trouble(Exception):
    """Why the command was never started: a reason of ended.json and words for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def judge(
    course: Course | None, trouble: Trouble | None, found: Found, unsaved: list[str], limit: float, guest: bool
) -> Verdict:
    """Outcome, its one reason and the words for people."""
    if trouble is not None:
        return Verdict("failed", trouble.reason, trouble.detail)
    if course is None:
        return Verdict("failed", "unknown", "the command was not started")
    if course.timed_out:
        return Verdict("timed-out", "", f"the time limit of {limit:g} s was reached")
    if course.exit != 0:
        return _failed(course, guest)
    if found.missing:
        return Verdict("failed", "output-missing", "; ".join(f"{pattern} matched nothing" for pattern in found.missing))
    kept = [f"{path} is a link that leads outside the job's folder" for path in found.refused] + unsaved
    if kept:
        return Verdict("failed", "not-saved", "; ".join(kept))
    return Verdict("succeeded", "", "")


def _failed(course: Course, guest: bool) -> Verdict:
    if course.exit is None and course.signal is None:
        return Verdict("failed", "unknown", "the command's end was not seen")
    end = f"exit {course.exit}" if course.exit is not None else f"killed by signal {course.signal}"
    if course.memory_kills > 0 and not guest:
        return Verdict("failed", "out-of-memory", f"{end}; the kernel killed for want of memory")
    if course.disk_full:
        return Verdict("failed", "disk-full", f"{end}; no space was left on the server's disk")
    return Verdict("failed", end, course.words)


def record(
    verdict: Verdict,
    course: Course | None,
    found: Found,
    outputs: list[dict[str, Any]],
    log: Mapping[str, Any],
) -> dict[str, Any]:
    """ended.json. Unknown is null, never 0."""
    now = words.utc_millis(time.time())
    return {
        "format": words.FORMAT,
        "at": now,
        "job_started": course and words.utc_millis(course.started),
        "job_ended": course and words.utc_millis(course.ended),
        "exit": course and course.exit,
        "signal": course and course.signal,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "detail": verdict.detail[:_DETAIL],
        "outputs": outputs,
        "missing": found.missing,
        "log": dict(log),
        "job_peak_memory_mb": (course and course.peak_mb) or None,
        "agent_peak_memory_mb": peak_mb(),
        "stored_at": now,
    }


def peak_mb() -> int | None:
    """Most resident memory of this process so far, MiB."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return -(-int(line.split()[1]) // 1024)
    except OSError:
        pass
    return None
