"""Copies a good result to where the job's `results` says, whole or not at all: its files, then their manifest, then `latest`.

A copy that takes long goes on in the next sweep, where this one stopped. Two sweeps at once copy the same content twice, which does no
harm. What is copied, and where to, is decided in core/publication.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from dayfly.core import names, publication
from dayfly.core.facts import Facts, WithEtag
from dayfly.core.publication import Place
from dayfly.core.record_json import encode
from dayfly.core.records import Closed, Output, Published, Publishing
from dayfly.core.step import Publish
from dayfly.errors import DayflyError, Unclear
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Copied, Copy, Flow, Get, Now, PutMatch, PutNew, Stored, ask
from dayfly.flows.outcome import Outdated, Taken, write_over

COPY_FOR = timedelta(seconds=60)
"""How long one walk copies files of one run."""
_BATCH = 40
_MOVES = 5


def publish(found: Publish, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    """Copy the result, or a part of it. If the bucket refuses, that is recorded and tried again by later sweeps, for a day."""
    key = names.attempt_key(facts.run, found.attempt, Publishing.file)
    stored = yield from read.with_etag(Publishing, key)
    copied = 0
    match stored:
        case WithEtag(record=Publishing(copied=before)):
            copied = before
    to = publication.place(found.results, facts.run.job)
    outputs = tuple(one for one in found.publishing.outputs if publication.is_own(one, found.prefix))
    folder = publication.folder(to, facts.run, found.attempt)
    why, latest = "", False
    try:
        copied = yield from _copy(outputs, copied, folder, to, now)
        if copied == len(outputs):
            latest = yield from _show(found, facts, actor, to, folder, outputs)
    except Unclear:
        raise
    except DayflyError as error:
        why = error.message
    now = yield from ask(Now())
    unfinished, given_up = why or copied < len(outputs), why and _is_too_old(found, now)
    if unfinished and not given_up:
        progress = Publishing(at=now, copied=copied, why=why)
        yield from write_over(key, encode(progress), stored)
        return Outdated()
    at = f"s3://{to.bucket or actor.bucket}/{folder}"
    record = Published(at=now, folder=at, latest=latest, why=why)
    yield from ask(PutNew(names.attempt_key(facts.run, found.attempt, Published.file), encode(record)))
    return replace(facts, published=True)


def _is_too_old(found: Publish, now: datetime) -> bool:
    match found.publishing.closed:
        case Closed(at=at):
            return now - at > publication.GIVE_UP_AFTER
    return True


def _copy(outputs: tuple[Output, ...], copied: int, folder: str, to: Place, started: datetime) -> Flow[int]:
    """Copy the files that are not copied yet, until the time is up. Return how many are copied."""
    while copied < len(outputs):
        batch = outputs[copied : copied + _BATCH]
        copies = tuple(Copied(source=one.key, to=f"{folder}{one.path}", size=one.size) for one in batch)
        yield from ask(Copy(copies, to.bucket))
        copied += len(copies)
        if (yield from ask(Now())) - started > COPY_FOR:
            break
    return copied


def _show(
    found: Publish, facts: Facts, actor: Actor, to: Place, folder: str, outputs: tuple[Output, ...]
) -> Flow[bool]:
    """Write the manifest of the folder, and move `latest` to it if it names an older result. Return whether it names this one."""
    closed = found.publishing.closed
    at = facts.run.tick
    match closed:
        case Closed(at=closed_at):
            at = closed_at
    body = publication.manifest(facts.run, found.attempt, at, f"s3://{to.bucket or actor.bucket}/", folder, outputs)
    yield from ask(PutNew(f"{folder}manifest.json", body, to.bucket))
    # The key is written before it is read: S3 says 403, not 404, of a key that does not exist to whoever may not list the bucket.
    if (yield from ask(PutNew(to.latest, body, to.bucket))):
        return True
    for _ in range(_MOVES):
        match (yield from ask(Get(to.latest, bucket=to.bucket))):
            case Stored(body=current) if not publication.is_newer(facts.run, found.attempt, current):
                return current == body
            case Stored(etag=etag):
                if (yield from ask(PutMatch(to.latest, body, etag, to.bucket))):
                    return True
    raise Unclear(f"{to.latest} changes all the time", hint="the next sweep tries again")
