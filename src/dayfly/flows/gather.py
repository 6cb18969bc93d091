"""Gather: all facts of one run, EC2 asked first, then the bucket. Reads only; decides nothing.

The order matters: a server that stored its end and went between the two questions is then not lost.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from dayfly.core import names
from dayfly.core.facts import Attempt, Facts, KeptAbsent, KeptLatest, KeptOpen, KeptSlot, Server
from dayfly.core.model import Version
from dayfly.core.records import (
    Absent,
    Cancel,
    Claim,
    Closed,
    Elected,
    Ended,
    EndOrder,
    Intent,
    Latest,
    Opened,
    Slot,
    SpotRefused,
    Started,
    decode,
)
from dayfly.core.versions import read_version
from dayfly.flows.calls import Flow, Get, IsArmed, List, Now, Servers, ask

R = TypeVar("R")


def gather(run: names.RunName, seen: tuple[Server, ...] = ()) -> Flow[Facts]:
    """All facts of a run. `seen`: servers that EC2 named in an answer to this same walk and may not list yet."""
    listed = yield from ask(Servers(run=str(run)))
    servers = (*listed, *(server for server in seen if server.id not in {each.id for each in listed}))
    now = yield from ask(Now())
    # The slot first, then the open key, then the rest: whoever frees the slot by this etag saw all that came before it.
    slot = yield from ask(Get(names.slot_key(run.job)))
    opened = yield from ask(Get(names.open_key(run)))
    keys = yield from ask(List(names.run_prefix(run)))
    claim = yield from record(Claim, names.claim_key(run), keys)
    attempts: list[Attempt] = []
    for number in _numbers(run, keys):
        attempts.append((yield from _attempt(run, number, keys, servers)))
    kept_open = KeptOpen(etag=opened.etag, record=decode(Opened, opened.body)) if opened else None
    retry = kept_open.record.retry if kept_open else None
    newest = attempts[-1] if attempts else None
    over = newest.closed is not None if newest else claim is not None and claim.decision != "run"
    return Facts(
        run=run,
        opened=kept_open,
        claim=claim,
        slot=KeptSlot(etag=slot.etag, record=decode(Slot, slot.body)) if slot else None,
        versions=(yield from _versions(run, claim, attempts, now)),
        attempts=tuple(attempts),
        cancel=(
            yield from record(Cancel, names.attempt_key(run, retry or (newest.number if newest else 1), "cancel"), keys)
        ),
        latest=(yield from _latest(run.job)) if over else None,
        done=(yield from done_names(run)) if over else (),
    )


def record(kind: type[R], key: str, keys: tuple[str, ...] | None = None) -> Flow[R | None]:
    """One record, or None when it is not there. `keys`: a listing that says so without asking."""
    if keys is not None and key not in keys:
        return None
    stored = yield from ask(Get(key))
    return decode(kind, stored.body) if stored else None


def done_names(run: names.RunName) -> Flow[tuple[names.DoneName, ...]]:
    """The markers of a finished run, one per attempt."""
    prefix = names.done_key(run, 0, "").rsplit("~", 2)[0] + "~"
    found = yield from ask(List(prefix))
    return tuple(names.done_name(key) for key in found)


def _numbers(run: names.RunName, keys: tuple[str, ...]) -> list[int]:
    """The attempts that have an intent."""
    start = len(names.run_prefix(run))
    parts = [key[start:].split("/") for key in keys]
    return sorted(int(part[0]) for part in parts if len(part) == 2 and part[1] == "intent.json" and part[0].isdecimal())


def _attempt(run: names.RunName, number: int, keys: tuple[str, ...], servers: tuple[Server, ...]) -> Flow[Attempt]:
    def key(name: str) -> str:
        return names.attempt_key(run, number, name)

    intent = yield from record(Intent, key("intent"), keys)
    assert intent is not None
    elected = yield from record(Elected, key("server"), keys)
    closed = yield from record(Closed, key("closed"), keys)
    mine = tuple(server for server in servers if server.attempt == number)
    started: Started | None = None
    ended: Ended | None = None
    go_sent = False
    if elected is not None and elected.server is not None:
        out = names.out_prefix(run, number, intent.role_id, elected.server)
        started = yield from record(Started, out + "started.json")
        ended = yield from record(Ended, out + "ended.json")
        go_sent = started is not None or closed is not None
        if not go_sent:
            go_sent = (yield from ask(Get(names.go_key(intent.role_id, elected.server)))) is not None
    armed: list[str] = []
    for server in dict.fromkeys(
        [*(each.id for each in mine), *([elected.server] if elected and elected.server else [])]
    ):
        if (yield from ask(IsArmed(server))):
            armed.append(server)
    return Attempt(
        number=number,
        intent=intent,
        spot_refused=(yield from record(SpotRefused, key("spot-refused"), keys)),
        elected=elected,
        absent=(yield from _absent(key("absent"), keys)),
        end_order=(yield from record(EndOrder, key("end"), keys)),
        go_sent=go_sent,
        started=started,
        ended=ended,
        closed=closed,
        receipt=key("receipt") in keys,
        servers=mine,
        armed=frozenset(armed),
    )


def _absent(key: str, keys: tuple[str, ...]) -> Flow[KeptAbsent | None]:
    stored = (yield from ask(Get(key))) if key in keys else None
    return KeptAbsent(etag=stored.etag, record=decode(Absent, stored.body)) if stored else None


def _latest(job: str) -> Flow[KeptLatest | None]:
    stored = yield from ask(Get(names.latest_key(job)))
    return KeptLatest(etag=stored.etag, record=decode(Latest, stored.body)) if stored else None


def _versions(
    run: names.RunName, claim: Claim | None, attempts: list[Attempt], now: datetime
) -> Flow[tuple[Version, ...]]:
    """The versions that can matter: in force at the tick and now, and those that the records name."""
    wanted = {claim.version} if claim and claim.version else set()
    wanted |= {attempt.intent.version for attempt in attempts}
    keys = yield from ask(List(names.version_prefix(run.job)))
    for moment in (run.tick, now):
        held = [key for key in keys if names.version_since(key) <= moment]
        wanted |= {max(held, key=lambda key: names.version_since(key))} if held else set()
    found: list[Version] = []
    for key in sorted(wanted):
        stored = yield from ask(Get(key))
        if stored is not None:
            found.append(read_version(stored.body))
    return tuple(found)
