"""Fuzzes the launcher's event: any document gets an answer, and harms no run."""

from __future__ import annotations

import random
from typing import Any

from dayfly.core.event import FIELDS
from dayfly.errors import DayflyError
from fuzz import values, world
from model.program import Account, deliver

GOOD: dict[str, tuple[Any, ...]] = {
    "job": ("pi", "healthy", "gone"),
    "tick": (
        "2026-11-24T22:41:00Z",
        "2026-11-24T23:41:00Z",
        "1970-01-01T00:00:00Z",
        "2199-12-31T23:59:59Z",
        "2026-11-24T23:41:30Z",
    ),
    "source": ("schedule", "hand"),
    "request": ("r1", "pi@2026-11-24T22:41:00Z", ""),
    "by": ("ben", ""),
    "env": ({}, {"MODE": "small"}),
    "publish": (True, False),
    "retry": (
        "pi@2026-11-24T22:41:00Z",
        "pi@2026-11-24T23:41:00Z",
        "healthy@2026-11-24T22:42:00Z",
        "gone@2026-11-24T22:41:00Z",
    ),
    "same_code": (True, False),
}


def event(chance: random.Random) -> Any:
    """Return a document: mostly an object with the fields of an event, good and odd."""
    if chance.random() < 0.05:
        return values.odd(chance)
    made: dict[str, Any] = {"job": "pi"}
    if chance.random() < 0.15:
        made = {}
    for name in chance.sample(sorted(FIELDS), chance.randrange(1, 5)):
        made[name] = chance.choice(GOOD[name])
    if chance.random() < 0.7:
        made = values.changed(chance, made)
    return made


def check(chance: random.Random) -> str:
    """Deliver an event twice and check the account. Returns what became of it."""
    asked, account = event(chance), world.in_use()
    with world.about(f"event {asked!r}"):
        said = [_deliver(account, asked) for _ in range(2)]
        world.require(all(each.get("refused") or each.get("run") for each in said), f"no answer: {said!r}")
        world.check(account)
    if said[0].get("refused"):
        return "refused"
    return str(said[0]["decision"])


def _deliver(account: Account, asked: Any) -> dict[str, Any]:
    try:
        return deliver(account, asked)
    except DayflyError as error:
        return {"refused": error.message}
