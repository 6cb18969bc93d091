"""Tells the project's addresses about a run: claims the sending, sends, and records what came of it. Each part may be lost.

A crash between the claim and the record of its end leaves the claim; some minutes later the message is sent again, with the same id.
What is told, and when, is decided in core/notification.py and core/effects.py.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from dayfly.core import names, notification
from dayfly.core.facts import NOT_STORED, Facts, WithEtag
from dayfly.core.notification import Message, Place, Receivers, Sent
from dayfly.core.reasons import Notice
from dayfly.core.record_json import encode
from dayfly.core.records import Telling, Told, Trouble
from dayfly.core.step import Tell
from dayfly.errors import DayflyError
from dayfly.flows import read
from dayfly.flows.actor import Actor
from dayfly.flows.calls import Call, Delete, Flow, Log, Now, Post, Publish, PutMatch, PutNew, ReadSecret, ask
from dayfly.flows.outcome import Outdated, Taken, write_over


def tell(found: Tell, facts: Facts, actor: Actor, now: datetime) -> Flow[Taken]:
    """Tell the addresses that were not told yet. Two processes that do this at once send once: the claim of one of them fails."""
    run = facts.run
    message = _message(found, facts, actor)
    telling = notification.claimed(facts, found.notice, now, f"{actor.who} {actor.process}".strip())
    key = names.attempt_key(run, found.attempt, Telling.file)
    if not (yield from write_over(key, encode(telling), facts.telling)):
        return Outdated()
    if found.notice != Notice.RECOVERED:
        trouble = Trouble(run=str(run), attempt=found.attempt, at=now)
        yield from ask(PutNew(names.trouble_key(run.job), encode(trouble)))
    addresses = notification.open_addresses(facts, actor.notify)
    sent = yield from send(message, addresses, actor.notify, actor.project)
    ended = replace(telling, took=(*telling.took, *sent.took), failed=sent.failed)
    told = notification.finished(ended, message.id, (yield from ask(Now())))
    if isinstance(told, Told):
        return (yield from _record(told, found, facts))
    stored = yield from read.with_etag(Telling, key)
    match stored:
        case WithEtag(record=own, etag=etag) if own == telling:
            yield from ask(PutMatch(key, encode(ended), etag))
    return Outdated()


def _record(told: Told, found: Tell, facts: Facts) -> Flow[Taken]:
    """Record that nothing is sent any more. A recovery ends the trouble first, so that no later run is told as one."""
    match facts.trouble:
        case WithEtag(etag=etag) if found.notice == Notice.RECOVERED:
            yield from ask(Delete(names.trouble_key(facts.run.job), etag))
    yield from ask(PutNew(names.attempt_key(facts.run, found.attempt, Told.file), encode(told)))
    yield from ask(Log(f"{facts.run}: told", {"id": told.id, "took": told.took, "failed": dict(told.failed)}))
    return replace(facts, told=True, trouble=NOT_STORED)


def _message(found: Tell, facts: Facts, actor: Actor) -> Message:
    zone = actor.zones(notification.zone_of(facts))
    return notification.about(facts, found.notice, place(actor), zone)


def place(actor: Actor) -> Place:
    """Return where the actor's project lives."""
    account = names.account_of(actor.bucket, actor.project, actor.region)
    return Place(project=actor.project, account=account, region=actor.region)


def send(message: Message, addresses: tuple[str, ...], receivers: Receivers, project: str) -> Flow[Sent]:
    """Send a message to these addresses. No address that does not answer keeps the others from getting it."""
    took: list[str] = []
    failed: dict[str, str] = {}
    mails = tuple(address for address in addresses if address in receivers.mails)
    urls = tuple(address for address in addresses if address in receivers.urls)
    if mails:
        why = yield from _try(Publish(topic=receivers.topic, subject=message.subject, text=message.text))
        took += [address for address in mails if not why]
        failed |= {address: why for address in mails if why}
    if urls:
        key = yield from _key(project)
        for url in urls:
            why = yield from _post(url, message, key)
            if why:
                failed[url] = why
            else:
                took.append(url)
    return Sent(took=tuple(took), failed=failed)


def tell_trial(actor: Actor, by: str) -> Flow[Sent]:
    """Send the test message of `notify --test` to every address, and return what came of it."""
    message = notification.trial_message(place(actor), (yield from ask(Now())), by)
    return (yield from send(message, actor.notify.addresses, actor.notify, actor.project))


def _key(project: str) -> Flow[str]:
    """Return the key that signs webhooks; empty if it cannot be read."""
    try:
        return (yield from ask(ReadSecret(names.notify_key(project)))) or ""
    except DayflyError as error:
        yield from ask(Log(f"the key that signs webhooks cannot be read: {error.message}", {}))
        return ""


def _post(url: str, message: Message, key: str) -> Flow[str]:
    """Send the message to a URL. Return why it was not taken; empty if it was."""
    now = yield from ask(Now())
    try:
        headers = notification.signed_headers(message.id, now, message.body, key)
    except ValueError:
        headers = {}
    if not (key and headers):
        return "there is no key to sign it with: dayfly deploy makes one"
    return (yield from _try(Post(url=url, headers=headers, body=message.body)))


def _try(call: Call[str]) -> Flow[str]:
    """Make a call that answers why it failed. An error of AWS is an answer too."""
    try:
        return (yield from ask(call))
    except DayflyError as error:
        return error.message
