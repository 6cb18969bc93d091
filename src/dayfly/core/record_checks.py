"""What a record must hold beyond the types of its fields. `check` refuses a record that would break its reader, and `belongs`
says whether it lies under a key of its own: another run's record is as bad as none.

One function for each kind of record that needs one. Sizes and texts that a server reported are bounded in core/report.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.model import LONGEST, LONGEST_LIFETIME, Deployed, Job, Removed, Timetable
from dayfly.core.reasons import Decision
from dayfly.core.records import Claim, Elected, Ended, Intent, Latest, NextAsk, Opened, Output, Requested, Slot, Trouble

_SERVER = re.compile(r"i-[0-9a-f]{1,17}")
_MOST_ATTEMPTS = 1_000_000


def check(record: Any) -> None:
    """Raise ValueError if the record holds what its readers cannot use."""
    checking = _CHECKS.get(type(record))
    if checking:
        checking(record)


def belongs(record: object, key: str) -> bool:
    """Return whether a record that names its run, its job or its content lies where such a record lies."""
    match record:
        case Opened(run=run):
            return key == names.open_key(names.run_name(run))
        case Claim(run=run):
            return key in (names.claim_key(names.run_name(run)), names.backfill_key(names.run_name(run)))
        case Intent(attempt=attempt):
            return key.endswith(f"/{attempt}/{Intent.file}.json")
        case NextAsk(file=file):
            return key.endswith(f"/{file}.json")
        case Slot(holder=run):
            return key == names.slot_key(names.run_name(run).job)
        case Latest(run=run):
            return key == names.latest_key(names.run_name(run).job)
        case Trouble(run=run):
            return key == names.trouble_key(names.run_name(run).job)
        case Deployed(key=own) | Removed(key=own):
            return key == own
    return True


def _require(good: bool, what: str) -> None:
    if not good:
        raise ValueError(f"bad {what}")


def _attempt(number: int) -> None:
    _require(0 <= number <= _MOST_ATTEMPTS, "number of an attempt")


def _duration(seconds: int, longest: timedelta) -> None:
    _require(0 <= seconds <= longest.total_seconds(), "duration")


def _opened(record: Opened) -> None:
    names.run_name(record.run)
    _attempt(record.retry or 0)


def _requested(record: Requested) -> None:
    names.run_name(record.run)
    _attempt(record.attempt or 0)


def _slot(record: Slot) -> None:
    names.run_name(record.holder)


def _claim(record: Claim) -> None:
    names.run_name(record.run)
    if record.decision == Decision.RUN:
        _version(record.version)


def _version(key: str) -> None:
    _require(names.is_version_key(key), "version")


def _intent(record: Intent) -> None:
    _attempt(record.attempt)
    _version(record.version)
    _require(bool(record.markets), "markets")
    requests = [record.requests.get(market) for market in record.markets]
    _require(all(isinstance(request, Mapping) for request in requests), "requests")
    for seconds in (record.time_limit_s, record.margin_s):
        _duration(seconds, LONGEST)
    _require(record.launch <= record.deadline <= record.launch + LONGEST_LIFETIME, "deadline")


def _elected(record: Elected) -> None:
    _require(bool(_SERVER.fullmatch(record.server)), "server")


def _ended(record: Ended) -> None:
    for number, most in ((record.exit, 255), (record.signal, 64)):
        _require(0 <= (number or 0) <= most, "exit or signal")


def _output(record: Output) -> None:
    _require(record.size >= 0, "size")


def _latest(record: Latest) -> None:
    names.run_name(record.run)
    _attempt(record.attempt)


def _trouble(record: Trouble) -> None:
    names.run_name(record.run)
    _attempt(record.attempt)


def _timetable(record: Timetable) -> None:
    _duration(record.start_within_s, LONGEST)


def _job(record: Job) -> None:
    for seconds in (record.time_limit_s, record.margin_s, record.start_within_s):
        _duration(seconds, LONGEST)


_CHECKS: dict[type[Any], Callable[[Any], None]] = {
    Opened: _opened,
    Requested: _requested,
    Slot: _slot,
    Claim: _claim,
    Intent: _intent,
    Elected: _elected,
    Ended: _ended,
    Output: _output,
    Latest: _latest,
    Trouble: _trouble,
    Timetable: _timetable,
    Job: _job,
}
