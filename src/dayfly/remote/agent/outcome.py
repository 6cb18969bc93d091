"""Decide the outcome of the attempt from what the agent observed, and build ended.json.

`succeeded` requires exit 0 and every declared output stored. What is not known is recorded as unknown.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from dayfly.remote.agent.job import Result
from dayfly.remote.agent.outputs import Matches
from dayfly.remote.boot import names

_DETAIL = 2000


class Verdict(NamedTuple):
    """`detail` explains the reason to people."""

    outcome: str
    reason: str
    detail: str


class NotStarted(Exception):
    """The command was never started. `reason` is one of those of ended.json; `detail` explains it to people."""

    outcome = "failed"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Cancelled(NotStarted):
    """A person cancelled the run before its command started."""

    outcome = "cancelled"

    def __init__(self) -> None:
        super().__init__("cancelled", "before its command started")


def decide(
    result: Result | None, problem: NotStarted | None, found: Matches, unsaved: list[str], limit: float, guest: bool
) -> Verdict:
    """Return the outcome with its one reason. `result` is None if the command was not started; `limit` is in seconds."""
    if problem is not None:
        return Verdict(problem.outcome, problem.reason, problem.detail)
    if result is None:
        return Verdict("failed", "unknown", "the command was not started")
    if result.cancelled:
        return Verdict("cancelled", "cancelled", "its command was ended; what it had written is kept")
    if result.timed_out:
        return Verdict("timed-out", "", f"the time limit of {limit:g} s was reached")
    if result.exit != 0:
        return _failed(result, guest)
    if found.missing:
        return Verdict("failed", "output-missing", "; ".join(f"{pattern} matched nothing" for pattern in found.missing))
    lost = [f"{path} links outside the job's folder" for path in found.refused] + unsaved
    if lost:
        return Verdict("failed", "not-saved", "; ".join(lost))
    return Verdict("succeeded", "", "")


def _failed(result: Result, guest: bool) -> Verdict:
    if result.exit is None and result.signal is None:
        return Verdict("failed", "unknown", "the command's exit was not seen")
    end = f"exit {result.exit}"
    if result.exit is None:
        end = f"killed by signal {result.signal}"
    # A process guest shares the machine's counter with others.
    if result.oom_kills > 0 and not guest:
        return Verdict("failed", "out-of-memory", f"{end}; the kernel ran out of memory")
    if result.disk_full:
        return Verdict("failed", "disk-full", f"{end}; the disk was full")
    return Verdict("failed", end, result.detail)


def record(
    verdict: Verdict,
    result: Result | None,
    found: Matches,
    outputs: list[dict[str, Any]],
    log: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of ended.json. What is unknown is null, never 0."""
    now = names.utc_millis(time.time())
    return {
        "format": names.FORMAT,
        "at": now,
        "job_started": result and names.utc_millis(result.started),
        "job_ended": result and names.utc_millis(result.ended),
        "exit": result and result.exit,
        "signal": result and result.signal,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "detail": verdict.detail[:_DETAIL],
        "outputs": outputs,
        "missing": found.missing,
        "log": dict(log),
        "job_peak_memory_mb": (result and result.peak_mb) or None,
        "agent_peak_memory_mb": peak_mb(),
        "stored_at": now,
    }


def peak_mb() -> int | None:
    """Return the agent's peak resident memory in MiB, or None if the kernel does not say."""
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith("VmHWM:"):
                    return -(-int(line.split()[1]) // 1024)
    except OSError:
        pass
    return None
