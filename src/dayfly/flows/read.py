"""Reads single records from the bucket; the answer is the record or NotStored. flows/gather.py puts those of a run together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from dayfly.core import names
from dayfly.core.facts import NOT_STORED, NotStored, WithEtag
from dayfly.core.model import Version
from dayfly.core.record_json import decode, decode_election
from dayfly.core.records import Elected, Election
from dayfly.core.versions import read_version
from dayfly.flows.calls import Flow, Get, ListFrom, ask

R = TypeVar("R")


def with_etag(kind: type[R], key: str) -> Flow[WithEtag[R] | NotStored]:
    """Return a record with its etag."""
    return (yield from _with_etag(key, lambda body: decode(kind, body)))


def record(kind: type[R], key: str) -> Flow[R | NotStored]:
    """Return a record."""
    return (yield from _content(key, lambda body: decode(kind, body)))


def election(run: names.RunName, attempt: int) -> Flow[Election | NotStored]:
    """Return the election of an attempt."""
    return (yield from _content(names.attempt_key(run, attempt, Elected.file), decode_election))


def version(key: str) -> Flow[Version | NotStored]:
    """Return a version of a job."""
    return (yield from _content(key, read_version))


def in_force(job: str, moment: datetime) -> Flow[tuple[Version, ...]]:
    """Return the version of a job that is in force at `moment`; empty when there is none."""
    keys = yield from ask(ListFrom(names.version_prefix(job), names.version_bound(job, moment), most=1))
    for key in keys:
        match (yield from version(key)):
            case NotStored():
                return ()
            case found:
                return (found,)
    return ()


def receipt(run: names.RunName, attempt: int) -> Flow[Mapping[str, Any] | NotStored]:
    """Return the receipt of an attempt, the JSON that core/receipt.py makes."""
    return (yield from _content(names.attempt_key(run, attempt, "receipt"), _mapping))


def exists(key: str) -> Flow[bool]:
    """Return whether there is an object with this key."""
    stored = yield from ask(Get(key))
    return stored is not None


def _mapping(body: bytes) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads(body)
    return content


def _content(key: str, decoded: Callable[[bytes], R]) -> Flow[R | NotStored]:
    match (yield from _with_etag(key, decoded)):
        case WithEtag(record=found):
            return found
    return NOT_STORED


def _with_etag(key: str, decoded: Callable[[bytes], R]) -> Flow[WithEtag[R] | NotStored]:
    stored = yield from ask(Get(key))
    if stored is None:
        return NOT_STORED
    return WithEtag(record=decoded(stored.body), etag=stored.etag)
