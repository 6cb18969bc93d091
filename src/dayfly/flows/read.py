"""Reads single records from the bucket: the record, NotStored, or Unreadable. flows/gather.py puts those of a run together.

Others can write into the bucket, so no body raises an error here, and none is read that is larger than a record can be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from dayfly.core import names
from dayfly.core.facts import NOT_STORED, Facts, NotStored, Unreadable, WithEtag
from dayfly.core.model import Version
from dayfly.core.reasons import Flaw, Source
from dayfly.core.record_checks import belongs
from dayfly.core.record_json import BadRecord, decode, decode_election, read_json
from dayfly.core.records import Claim, Elected, Election, Ended, Opened, Paused, Started
from dayfly.core.versions import read_version
from dayfly.errors import DayflyError
from dayfly.flows.calls import LARGEST_RECORD, Call, Flow, Get, ListFrom, Log, Stored, TooLarge, ask

R = TypeVar("R")

LARGEST = {Started: 64 << 10, Ended: 8 << 20}
"""Bytes of the records that a server writes; LARGEST_RECORD for the others. An output takes about 300 bytes in ended.json."""
UNREADABLE = "unreadable"
"""The field of a log line about an object that cannot be read; its value is the key."""
_MOST_STRAY_KEYS = 100


def with_etag(kind: type[R], key: str) -> Flow[WithEtag[R] | WithEtag[Unreadable] | NotStored]:
    """Return a record with its etag. An object that cannot be read has one too, to replace or delete it."""
    return (yield from _with_etag(key, lambda body: decode(kind, body), LARGEST_RECORD))


def record(kind: type[R], key: str) -> Flow[R | NotStored | Unreadable]:
    """Return a record."""
    return (yield from _content(key, lambda body: decode(kind, body), LARGEST.get(kind, LARGEST_RECORD)))


def claim(run: names.RunName, keys: tuple[str, ...]) -> Flow[Claim | NotStored | Unreadable]:
    """Return the claim of a run that counts: the second one, if there is one. `keys`: the listing of the run's records."""
    for key in (names.backfill_key(run), names.claim_key(run)):
        if key in keys:
            return (yield from record(Claim, key))
    return NOT_STORED


def paused(facts: Facts) -> Flow[Paused | NotStored | Unreadable]:
    """Return whether the job is paused. Only an undecided tick of the schedule makes that matter."""
    match facts.claim, facts.opened:
        case NotStored(), WithEtag(record=Opened(source=Source.SCHEDULE)):
            return (yield from record(Paused, names.paused_key(facts.run.job)))
    return NOT_STORED


def election(run: names.RunName, attempt: int) -> Flow[Election | NotStored | Unreadable]:
    """Return the election of an attempt."""
    return (yield from _content(names.attempt_key(run, attempt, Elected.file), decode_election))


def version(key: str) -> Flow[Version | NotStored | Unreadable]:
    """Return a version of a job."""
    return (yield from _content(key, read_version))


def in_force(job: str, moment: datetime) -> Flow[tuple[Version | Unreadable, ...]]:
    """Return the version of a job that is in force at `moment`; empty when there is none. Stray keys are passed over."""
    prefix, after = names.version_prefix(job), names.version_bound(job, moment)
    for _ in range(_MOST_STRAY_KEYS):
        keys = yield from ask(ListFrom(prefix, after, most=1))
        for key in keys:
            after = key
            if names.is_version_key(key):
                match (yield from version(key)):
                    case NotStored():
                        return ()
                    case found:
                        return (found,)
        if not keys:
            break
    return ()


def receipt(run: names.RunName, attempt: int) -> Flow[Mapping[str, Any] | NotStored | Unreadable]:
    """Return the receipt of an attempt, the JSON that core/receipt.py makes."""
    return (yield from _content(names.attempt_key(run, attempt, "receipt"), read_json))


def exists(key: str) -> Flow[bool]:
    """Return whether there is an object with this key."""
    stored = yield from ask(Get(key))
    return stored is not None


def _content(key: str, decoded: Callable[[bytes], R], most: int = LARGEST_RECORD) -> Flow[R | NotStored | Unreadable]:
    match (yield from _with_etag(key, decoded, most)):
        case WithEtag(record=found):
            return found
    return NOT_STORED


def _with_etag(
    key: str, decoded: Callable[[bytes], R], most: int
) -> Flow[WithEtag[R] | WithEtag[Unreadable] | NotStored]:
    match (yield from ask(Get(key, most))):
        case Stored(body=body, etag=etag):
            try:
                found = decoded(body)
            except BadRecord as error:
                return WithEtag(record=(yield from noted(Unreadable(key, error.flaw))), etag=etag)
            if not belongs(found, key):
                return WithEtag(record=(yield from noted(Unreadable(key, Flaw.ANOTHER_KEY))), etag=etag)
            return WithEtag(record=found, etag=etag)
        case TooLarge(etag=etag):
            return WithEtag(record=(yield from noted(Unreadable(key, Flaw.TOO_LARGE))), etag=etag)
        case None:
            return NOT_STORED


def noted(found: Unreadable) -> Flow[Unreadable]:
    """Log an object that cannot be read, and return it. Screens show such a line once."""
    yield from ask(Log(str(found), {UNREADABLE: found.key}))
    return found


def noted_once(flow: Flow[R]) -> Flow[R]:
    """Run a flow that reads the same objects many times, and log each one that cannot be read only once."""
    seen: set[str] = set()
    try:
        call = next(flow)
        while True:
            try:
                answer = None
                if not _is_repeated(call, seen):
                    answer = yield call
            except DayflyError as error:
                call = flow.throw(error)
            else:
                call = flow.send(answer)
    except StopIteration as stop:
        result: R = stop.value
        return result


def _is_repeated(call: Call[Any], seen: set[str]) -> bool:
    """Return whether a call logs an object that was logged before."""
    match call:
        case Log(fields=fields) if UNREADABLE in fields:
            repeated = fields[UNREADABLE] in seen
            seen.add(fields[UNREADABLE])
            return repeated
    return False
