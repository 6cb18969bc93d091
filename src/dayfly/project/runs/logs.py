"""Emit the log of a run piece by piece, unchanged; with `follow`, new pieces too until the job is over."""

from __future__ import annotations

from dataclasses import dataclass, field

from dayfly.core import names
from dayfly.core.facts import Attempt, Facts, NotStored
from dayfly.core.records import Elected, NoServer
from dayfly.errors import NotFoundError, Unclear
from dayfly.flows.calls import Flow, Get, List, ShowBytes, Sleep, Stored, TooLarge, ask
from dayfly.flows.gather import gather
from dayfly.project.runs import reasons
from dayfly.project.runs.details import out_prefix
from dayfly.project.runs.references import unique_name

UNCLEAR_AT_MOST = 20
"""Following stops after this many unclear answers in a row."""


@dataclass
class Tail:
    """How far a log was read: keys and total size of the emitted pieces. `is_over`: no more pieces will come."""

    seen: set[str] = field(default_factory=set)
    bytes: int = 0
    is_over: bool = False


def tail(run: names.RunName, *, follow: bool, poll_s: float) -> Flow[Tail]:
    """Emit each piece of the newest attempt's log once, in order; with `follow` until the job is over. Returns how far it was read.

    Raises NotFoundError for a run that has no server and will have none.
    """
    read = Tail()
    unclear = 0
    while True:
        try:
            yield from _read_on(run, read, follow=follow)
            unclear = 0
        except Unclear:
            unclear += 1
            if unclear > UNCLEAR_AT_MOST:
                raise
        if read.is_over or not (follow or unclear):
            return read
        yield from ask(Sleep(poll_s))


def _read_on(run: names.RunName, read: Tail, *, follow: bool) -> Flow[None]:
    """Emit the new pieces, and record them in `read`."""
    facts = yield from gather(run)
    if follow and _may_get_a_server(facts):
        return
    attempt = log_attempt(facts)
    for key in (yield from log_pieces(run, attempt)):
        if key not in read.seen:
            body = yield from _piece(key)
            yield from ask(ShowBytes(body))
            read.seen.add(key)
            read.bytes += len(body)
    read.is_over = is_over(attempt)


def log_pieces(run: names.RunName, attempt: Attempt) -> Flow[tuple[str, ...]]:
    """Return the keys of the pieces of the attempt's log, in order, up to the first that is missing."""
    prefix = out_prefix(run, attempt)
    if not prefix:
        return ()
    return names.log_pieces(prefix, (yield from ask(List(f"{prefix}log/"))))


def _piece(key: str) -> Flow[bytes]:
    """Return one piece of a log, at most 4 MiB. Raises NotFoundError if it was deleted."""
    match (yield from ask(Get(key))):
        case Stored(body=body):
            return body
        case TooLarge():
            return f"[{key} is too large for a piece of a log; it is left out]\n".encode()
        case None:
            raise NotFoundError(f"{key} is no longer in the bucket")


def log_attempt(facts: Facts) -> Attempt:
    """Return the newest attempt with a server. Raises NotFoundError if none has one."""
    with_server = [one for one in facts.attempts if isinstance(one.election, Elected)]
    if with_server:
        return with_server[-1]
    why = reasons.why_over(facts) or "it has no server yet"
    raise NotFoundError(f"{facts.run} has no log: {why}", hint=f"dayfly show {unique_name(facts.run)}")


def _may_get_a_server(facts: Facts) -> bool:
    """Return whether the newest attempt waits for its server."""
    match facts.attempt.closed, facts.attempt.election:
        case NotStored(), NotStored() | NoServer():
            return facts.is_open
    return False


def is_over(attempt: Attempt) -> bool:
    """Return whether the log is complete: the agent reported the end, or the server is gone."""
    match attempt.ended, attempt.closed:
        case NotStored(), NotStored():
            return attempt.server.gone
    return True
