"""Fuzzes the objects in the bucket: any one of them may hold anything."""

from __future__ import annotations

import random
from typing import Any

from dayfly.core import names
from fuzz import values, world
from fuzz.world import GOOD, LIVE, OVER
from model.program import Account

BODIES = (
    *(
        b"",
        b"{",
        b"[]",
        b"{}",
        b"null",
        b"1",
        b'"x"',
        b"\xff\xfe",
        b"\0" * 50,
        b"[" * 100_000,
        b"{" * 100_000,
        b"9" * 5_000,
    ),
    *(b'{"a":' * 50_000, b'{"at": "\\ud800"}', b" " * 20_000_000, b'{"format": 999}', b'{"at": NaN}', b'{"at": 1e999}'),
)
WRITTEN_BY_SERVERS = ("started", "ended", "ended over", "log", "log over", "output over", "stray out")


def places(account: Account) -> dict[str, str]:
    """Return the key of an object of each kind that has to do with `pi`."""
    versions = sorted(key for key in account.objects if key.startswith("jobs/pi/"))
    out, out_over = _out(account, LIVE), _out(account, OVER)
    of_live = ("intent", "ask-2", "spot-refused", "server", "sent", "absent", "cancel", "end", "closed", "receipt")
    of_over = ("intent", "server", "closed", "receipt")
    return {
        "version": versions[0],
        "stray version": "jobs/pi/stray.json",
        "stray job": "jobs/stray",
        "open": names.open_key(LIVE),
        "open over": names.open_key(OVER),
        "stray open": "open/pi@yesterday",
        "paused": names.paused_key("pi"),
        "slot": names.slot_key("pi"),
        "latest": names.latest_key("pi"),
        "heartbeat": names.HEARTBEAT,
        "request": names.request_key(str(LIVE), 0),
        "stray done": f"{names.done_day(OVER)}x~y",
        "done outcome": f"{names.done_prefix(OVER)}1~x~y",
        "done of two": names.done_key(OVER, 1, "failed"),
        "done day": "done/yesterday/x",
        "claim": names.claim_key(LIVE),
        "claim over": names.claim_key(OVER),
        "backfill": names.backfill_key(LIVE),
        "backfill over": names.backfill_key(OVER),
        "stray attempt": names.run_prefix(LIVE) + "x/intent.json",
        "high attempt": names.attempt_key(LIVE, 999_999, "intent"),
        **{record: names.attempt_key(LIVE, 1, record) for record in of_live},
        **{f"{record} over": names.attempt_key(OVER, 1, record) for record in of_over},
        "started": names.started_key(out),
        "ended": names.ended_key(out),
        "ended over": names.ended_key(out_over),
        "log": names.log_key(out, 1),
        "log over": names.log_key(out_over, 1),
        "output over": f"{out_over}output/out/pi.txt",
        "stray out": f"{out}x/\x01y",
    }


def _out(account: Account, run: names.RunName) -> str:
    """Return the prefix of what the server of a run writes."""
    role, server = (account.json(names.attempt_key(run, 1, each)) for each in ("intent", "server"))
    return names.out_prefix(run, 1, role["role_id"], server["server"])


def body(chance: random.Random, account: Account, kind: str, key: str) -> bytes:
    """Return odd content: mostly what belongs there, with some fields changed."""
    if chance.random() < 0.3:
        return chance.choice(BODIES)
    whole = values.written(values.changed(chance, _like(account, kind, key)))
    if chance.random() < 0.1:
        return whole[: chance.randrange(len(whole))]
    return whole


def _like(account: Account, kind: str, key: str) -> Any:
    """Return the content of this object, or of the same one of another run."""
    same = (
        key,
        key.replace(str(LIVE.tick)[11:13], "22"),
        *(other for other in places(account).values() if kind in other),
    )
    for other in (*same, names.ended_key(_out(account, OVER)), names.attempt_key(GOOD, 1, kind)):
        if account.objects.get(other, b"").startswith(b"{"):
            return account.json(other)
    return {}


def check(chance: random.Random) -> str:
    """Put one odd object into the bucket, and check the account. Returns its kind."""
    account = world.in_use()
    kind, key = chance.choice(sorted(places(account).items()))
    account.objects[key] = body(chance, account, kind, key)
    with world.about(f"{kind}, {key}: {account.objects[key][:300]!r}"):
        world.check(account)
    return kind
