"""Outcomes and reasons in sentences: one place, so that `run --wait`, `show` and `runs` say the same. No layout here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dayfly.project.file import durations

_FIXED: Mapping[str, str] = {
    "no-capacity": "EC2 had no server in any of the pools that were asked",
    "quota": "a quota of this account is too small for such a server",
    "no-rights": "EC2 refused the launch for want of a right",
    "image-gone": "its image does not exist (any more)",
    "no-network": "the server could not fetch the job's code",
    "setup": "the server could not be made ready for the command",
    "out-of-memory": "the command ran out of memory",
    "disk-full": "the server's disk was full",
    "stalled": "the command hung",
    "not-saved": "what the command made could not be stored whole",
    "interrupted": "EC2 took its spot server back",
    "lost": "its server went without a last word",
    "unknown": "what became of it is not known",
}
_DETAILED = {"no-capacity", "quota", "no-rights", "image-gone", "no-network", "setup", "out-of-memory", "disk-full",
             "not-saved"}  # fmt: skip


def outcome_words(outcome: str) -> str:
    """`timed-out` of keys and JSON is `timed out` on screens."""
    return outcome.replace("-", " ")


def sentence(
    outcome: str,
    reason: str,
    detail: str,
    *,
    limit_s: int | None = None,
    missing: Sequence[str] = (),
    refused: bool = False,
) -> str:
    """Why, as a clause that follows the run's name; empty for success. `refused`: EC2 said no to the launch."""
    match outcome:
        case "succeeded":
            return ""
        case "timed-out":
            limit = f" of {durations.text(limit_s)}" if limit_s else ""
            return f"the command did not end within its time_limit{limit}"
        case "cancelled":
            return "cancelled" + (f" {detail}" if detail.startswith("before") else "")
        case "missed":
            return f"too late: {detail}" if reason == "late" else detail or "it never started"
        case "skipped":
            return f"not run: {detail}" if detail else "not run"
    if reason.startswith("exit "):
        said = f" ({detail})" if detail else ""
        return f"the command exited with {reason.removeprefix('exit ')}{said}"
    if reason.startswith("killed by signal "):
        return f"the command was {reason}"
    if reason == "output-missing":
        return f"the command exited with 0, but {' and '.join(missing) or 'a declared output'} matched nothing"
    if reason in ("lost", "unknown") and detail:
        return f"EC2 refused the launch: {detail}" if refused else detail
    words = _FIXED.get(reason, reason or "it failed")
    return f"{words}: {detail}" if reason in _DETAILED and detail else words


def note(outcome: str, reason: str, detail: str) -> str:
    """A few words for a column; empty for success."""
    if outcome in ("succeeded", "timed-out", "cancelled"):
        return ""
    if outcome in ("skipped", "missed"):
        return detail or reason
    return reason
