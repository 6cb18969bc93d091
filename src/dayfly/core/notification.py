"""What people are told about a run: which facts, in which words, under which id, and how a webhook is signed. Pure functions.

When a message is due is core/effects.py; who sends it is flows/telling.py. The words of screens are in project/screens.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from dayfly.core import names
from dayfly.core.claim import run_again
from dayfly.core.facts import Attempt, Facts, WithEtag
from dayfly.core.intervals import Intervals
from dayfly.core.model import Deployed
from dayfly.core.reasons import ClaimReason, Decision, Notice, Outcome, Source
from dayfly.core.record_json import moment_text
from dayfly.core.records import Claim, Closed, Latest, Telling, Told, Trouble

MOST_TRIES = 6
"""How often a message is sent that a receiver did not take. With a sweep every 5 minutes that is about half an hour."""
KEY_PREFIX = "whsec_"
"""So begins a signing key in its written form, as the specification of Standard Webhooks says; base64 of the key follows."""
_SUBJECT_MOST = 100
"""SNS takes no longer subject, and only ASCII in it."""
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_OF_OUTCOMES = {
    str(Outcome.FAILED): Notice.FAILED,
    str(Outcome.TIMED_OUT): Notice.TIMED_OUT,
    str(Decision.MISSED): Notice.MISSED,
}


@dataclass(frozen=True, kw_only=True)
class Receivers:
    """Who is told: e-mail addresses, which the topic serves, and URLs. `topic`: its ARN."""

    addresses: tuple[str, ...] = ()
    topic: str = ""

    @property
    def mails(self) -> tuple[str, ...]:
        """Return the e-mail addresses."""
        return tuple(address for address in self.addresses if not is_url(address))

    @property
    def urls(self) -> tuple[str, ...]:
        """Return the URLs."""
        return tuple(address for address in self.addresses if is_url(address))


NOBODY = Receivers()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a run lives: project, account and region."""

    project: str
    account: str
    region: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message. `id` is the same however often it is sent. `body` is the JSON for a URL, `subject` and `text` are for e-mail."""

    id: str
    notice: Notice
    subject: str
    text: str
    body: bytes


def is_url(address: str) -> bool:
    """Return whether an address is a URL and not an e-mail address."""
    return "://" in address


def due(facts: Facts, outcome: str, now: datetime, intervals: Intervals) -> Notice | None:
    """Return what must be told about a run now; None when nothing is to be told, or another process may be telling it."""
    notice = untold(facts, outcome)
    match facts.telling:
        case WithEtag(record=Telling(at=at)) if timedelta(0) <= now - at < intervals.tell_again_after:
            return None
    return notice


def untold(facts: Facts, outcome: str) -> Notice | None:
    """Return what people have to hear about a run and were not told; None when there is nothing."""
    if not facts.is_open or facts.told or not _is_public(facts.claim):
        return None
    match facts.telling:
        case WithEtag(record=Telling(notice=notice)):
            return notice
    match facts.trouble:
        case WithEtag(record=Trouble() as trouble) if outcome == Outcome.SUCCEEDED and _after(facts, trouble):
            return Notice.RECOVERED
    return _OF_OUTCOMES.get(outcome)


def _is_public(claim: object) -> bool:
    """Return whether others wait for the run's result. Who starts a run by hand, without --publish, sees how it ends."""
    match claim:
        case Claim(reason=ClaimReason.REMOVED):
            return False
        case Claim(source=Source.HAND, publish=publish):
            return publish
    return True


def _after(facts: Facts, trouble: Trouble) -> bool:
    """Return whether this run is newer than the one that was in trouble, or another attempt of it."""
    return (facts.run.tick, facts.attempt.number) > (names.run_name(trouble.run).tick, trouble.attempt)


def message_id(bucket: str, run: str, attempt: int, notice: Notice) -> str:
    """Return the id of a message: the same for the same fact, whoever sends it and however often."""
    digest = hashlib.sha256(f"{bucket}|{run}|{attempt}|{notice}".encode()).hexdigest()
    return f"msg_{digest[:32]}"


def about(facts: Facts, notice: Notice, place: Place, zone: tzinfo) -> Message:
    """Return the message about a run. It depends on records alone, so that it is the same whenever it is sent."""
    run, number = facts.run, facts.attempt.number
    due_at = f"{_day_time(run.tick, zone)} {_zone_name(zone)}"
    why = _why(facts)
    lines = [f"{notice.value}: {run.job}, due {due_at}"]
    if why and notice != Notice.RECOVERED:
        lines.append(f"why    {why}")
    lines.append(f"run    {run}{_on_server(facts)}")
    if notice != Notice.RECOVERED:
        lines.append(f"last   {_last_good(facts, zone)}")
    next_command = _next(facts, notice)
    lines += [f"next   {next_command}", f"where  {_where(place)}", "", _note(notice)]
    bucket = names.bucket(place.project, place.account, place.region)
    data = {
        "job": run.job,
        "run": str(run),
        "tick": names.utc_text(run.tick),
        "attempt": number,
        "why": why,
        "next": next_command,
        **_place(place),
    }
    return _message(
        id=message_id(bucket, str(run), number, notice),
        notice=notice,
        subject=f"{notice.value}: {run.job}, {_day_time(run.tick, zone)}",
        lines=lines,
        at=_at(facts),
        data=data,
    )


def trial_message(place: Place, now: datetime, by: str) -> Message:
    """Return the message of `notify --test`."""
    bucket = names.bucket(place.project, place.account, place.region)
    lines = [
        f"test: {by} tries whether messages of project {place.project} arrive. Nothing is wrong.",
        f"where  {_where(place)}",
    ]
    return _message(
        id=message_id(bucket, moment_text(now), 0, Notice.TEST),
        notice=Notice.TEST,
        subject=f"test: dayfly project {place.project}",
        lines=lines,
        at=now,
        data=_place(place),
    )


def _message(
    *, id: str, notice: Notice, subject: str, lines: list[str], at: datetime, data: Mapping[str, Any]
) -> Message:
    text = "\n".join(lines)
    content = {"type": f"run.{notice.value}", "timestamp": moment_text(at), "text": text, "data": {"id": id, **data}}
    plain = subject.encode("ascii", "replace").decode()
    return Message(
        id=id,
        notice=notice,
        subject=plain[:_SUBJECT_MOST],
        text=f"{text}\n\n{id}\n",
        body=json.dumps(content, sort_keys=True, ensure_ascii=False).encode(),
    )


def _place(place: Place) -> dict[str, str]:
    return {"project": place.project, "account": place.account, "region": place.region}


def _where(place: Place) -> str:
    return f"project {place.project}, AWS account {place.account}, {place.region}"


def _why(facts: Facts) -> str:
    """Return why the run ended as it did, or did not start."""
    match facts.attempt.closed, facts.claim:
        case Closed(reason=reason, detail=detail), _:
            return ": ".join(part for part in (reason, detail) if part)
        case _, Claim(why=why):
            return why
    return "; ".join(map(str, facts.broken))


def _at(facts: Facts) -> datetime:
    """Return when the fact was recorded."""
    match facts.attempt.closed, facts.claim:
        case Closed(at=at), _:
            return at
        case _, Claim(at=at):
            return at
    return facts.run.tick


def _on_server(facts: Facts) -> str:
    match facts.attempt:
        case Attempt(number=number, elected_id=server) if server:
            return f", attempt {number} on {server}"
    return ""


def _last_good(facts: Facts, zone: tzinfo) -> str:
    match facts.latest:
        case WithEtag(record=Latest(run=run)):
            return f"good result: {run}, due {_day_time(names.run_name(run).tick, zone)}"
    return "no good result yet"


def _next(facts: Facts, notice: Notice) -> str:
    run = facts.run
    if notice == Notice.RECOVERED:
        return f"dayfly fetch {run}"
    if isinstance(facts.attempt, Attempt):
        return f"dayfly logs {run}; after a fix: dayfly deploy, then dayfly retry {run}"
    return f"dayfly show {run}; to run it now: {run_again(run, facts.claim)}"


def _note(notice: Notice) -> str:
    if notice == Notice.RECOVERED:
        return "This is told once, after the first good result that follows a failed or missed run."
    return "This is told once. The next good result is told as recovered."


def _day_time(moment: datetime, zone: tzinfo) -> str:
    """Return `Tue 24 Nov 2026 02:30`, in English whatever the locale is."""
    local = moment.astimezone(zone)
    clock = f"{local:%H:%M}"
    if local.second:
        clock = f"{local:%H:%M:%S}"
    return f"{_WEEKDAYS[local.weekday()]} {local.day} {_MONTHS[local.month - 1]} {local.year} {clock}"


def _zone_name(zone: tzinfo) -> str:
    return str(getattr(zone, "key", None) or zone)


def zone_of(facts: Facts) -> str:
    """Return the name of the time zone of the run's job; UTC where its version is not known."""
    keys = [facts.attempt.intent.version] if isinstance(facts.attempt, Attempt) else []
    match facts.claim:
        case Claim(version=version):
            keys.append(version)
    for key in keys:
        match facts.version(key):
            case Deployed(job=job):
                return job.timezone
    return "UTC"


# --- webhooks -----------------------------------------------------------------------------------------------------------


def written_key(secret: bytes) -> str:
    """Return a signing key in its written form."""
    return KEY_PREFIX + base64.b64encode(secret).decode()


def signed_headers(id: str, now: datetime, body: bytes, key: str) -> dict[str, str]:
    """Return the headers of a signed webhook, by the specification of Standard Webhooks. Raises ValueError for a bad key."""
    secret = base64.b64decode(key.removeprefix(KEY_PREFIX), validate=True)
    stamp = str(int(now.timestamp()))
    digest = hmac.new(secret, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "user-agent": "dayfly",
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


# --- what comes of sending it -------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What came of one try: the addresses that took the message, and why others did not."""

    took: tuple[str, ...] = ()
    failed: Mapping[str, str]


def open_addresses(facts: Facts, receivers: Receivers) -> tuple[str, ...]:
    """Return the addresses that did not take the message yet."""
    match facts.telling:
        case WithEtag(record=Telling(took=took)):
            return tuple(address for address in receivers.addresses if address not in took)
    return receivers.addresses


def claimed(facts: Facts, notice: Notice, now: datetime, by: str) -> Telling:
    """Return the record that claims the sending of a message, before it is sent."""
    match facts.telling:
        case WithEtag(record=Telling(tries=tries, took=took, failed=failed)):
            return Telling(at=now, by=by, notice=notice, tries=tries + 1, took=took, failed=failed)
    return Telling(at=now, by=by, notice=notice, tries=1)


def finished(telling: Telling, id: str, now: datetime) -> Told | None:
    """Return the last record about a message; None while it must be sent again."""
    if telling.failed and telling.tries < MOST_TRIES:
        return None
    return Told(
        at=now, notice=telling.notice, id=id, tries=telling.tries, took=telling.took, failed=dict(telling.failed)
    )
