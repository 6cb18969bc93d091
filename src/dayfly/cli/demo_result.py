"""The result of a demo: whether it is as promised, and its last lines or JSON document. Calls no cloud; reads the fetched file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.cli import faults, output
from dayfly.core import names
from dayfly.core.facts import Attempt, Facts
from dayfly.core.records import Closed
from dayfly.project.runs import state
from dayfly.project.screens.outcome import RunOutcome, outcome_lines

BOUND_S = 7 * 60
"""The guarantee: a server is gone by its deadline; if only the last layer works, at most this long after it."""
_TIMES = ("tick", "claimed", "server_started", "job_started", "job_ended", "stored", "server_gone", "closed")
_WIDTH = 13


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a demo showed. `folder` holds the fetched files of a run that succeeded; `fault` is the argument of `--break`."""

    facts: Facts
    outcome: RunOutcome
    receipt: Mapping[str, Any]
    folder: Path | None
    servers_left: int
    fault: str | None

    @property
    def good(self) -> bool:
        """Whether the demo shows what it should; it decides the exit code."""
        if self.fault:
            return self.as_promised
        return self.outcome.succeeded and self.servers_left == 0 and bool(self.digits)

    @property
    def as_promised(self) -> bool:
        """Whether the server was gone in time and, with a fault, because of the fault."""
        if self.servers_left or not _gone_in_time(self.facts):
            return False
        return self.fault is None or faults.happened(self.fault, self._ended_by)

    @property
    def digits(self) -> int | None:
        """The number of digits after `3.` in the fetched file; None if the file is not one whole line of digits."""
        if self.folder is None:
            return None
        body = (self.folder / "out/pi.txt").read_bytes()
        is_whole = body.startswith(b"3.") and body.endswith(b"\n") and body[2:-1].isdigit()
        return len(body) - 3 if is_whole else None

    def lines(self, next_command: str) -> Iterator[str]:
        """Yield the last lines of the screen."""
        if self.folder is not None:
            yield _labelled("succeeded", self._digits_words())
            yield _labelled("result", str(self.folder / "out/pi.txt"))
        else:
            for line in outcome_lines(self.facts, ZoneInfo("UTC"), receipt_stored=bool(self.receipt), local=True):
                if not line.startswith(("next", "ended by")):
                    yield line
        match self.facts.attempt:
            case Attempt(closed=Closed() as closed, intent=intent) if self.fault:
                verdict = "as promised" if self.as_promised else "NOT as promised"
                deadline = f"gone by {intent.deadline:%H:%M:%S} at the latest"
                yield _labelled("ended by", f"{closed.ended_by}; {verdict}: {deadline}")
        yield _labelled("servers left", str(self.servers_left))
        yield _labelled("next", next_command)

    def document(self) -> dict[str, Any]:
        """Return the document of `--json`."""
        times = dict(self.receipt.get("times") or {})
        server = dict(self.receipt.get("server") or {})
        document: dict[str, Any] = {
            **self.outcome.document(),
            "digits": self.digits,
            "result": str(self.folder / "out/pi.txt") if self.folder else None,
            "receipt": dict(self.receipt) or None,
            "tick": {"at": names.utc_text(self.facts.run.tick), "source": state.source(self.facts)},
            "times": {name: times.get(name) for name in _TIMES},
            "server": {
                "id": server.get("id"),
                "type": server.get("type"),
                "life_s": _between(times, "server_started", "server_gone"),
                "life_at_most_s": _between(times, "server_started", "closed"),
                "job_s": _between(times, "job_started", "job_ended"),
            },
            "servers_left": self.servers_left,
        }
        if self.fault:
            document |= {"ended_by": server.get("ended_by"), "as_promised": self.as_promised}
        return document

    @property
    def _ended_by(self) -> str:
        """What ended the server; empty if that is not known."""
        match self.facts.attempt.closed:
            case Closed(ended_by=ended_by):
                return ended_by
        return ""

    def _digits_words(self) -> str:
        """Return the last line of the job's log, which says what it checked, if its count agrees with the file."""
        digits = self.digits
        if digits is None:
            return "but out/pi.txt is not a whole file of digits"
        log = self.facts.attempt.log.last
        if log and log[-1].startswith(f"{digits:,} digits"):
            return log[-1]
        return f"{digits:,} digits of pi"


def _labelled(label: str, text: str) -> str:
    return output.labelled(label, text, width=_WIDTH)


def _gone_in_time(facts: Facts) -> bool:
    match facts.attempt:
        case Attempt(closed=Closed(gone=gone, at=at), intent=intent):
            return (gone or at) <= intent.deadline + timedelta(seconds=BOUND_S)
    return False


def _between(times: Mapping[str, Any], start: str, end: str) -> float | None:
    """Return the seconds between two times of the receipt; None if one is missing."""
    if not times.get(start) or not times.get(end):
        return None
    spent = datetime.fromisoformat(times[end]) - datetime.fromisoformat(times[start])
    return round(spent.total_seconds(), 1)
