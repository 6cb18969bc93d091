"""Fuzzes the tags of a live server: whatever they say, it ends, its run closes, and every screen works."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from datetime import timedelta

from dayfly.core import names
from fuzz import values, world
from model.program import Account

OWN = (
    names.TAG_RUN,
    names.TAG_ATTEMPT,
    names.TAG_DEADLINE,
    names.TAG_LIFETIME,
    names.TAG_BUCKET,
    names.TAG_ROLE,
    "Name",
)
TEXTS = tuple(text for text in values.ODD if isinstance(text, str) and len(text) <= 256)


def check(chance: random.Random) -> str:
    """Change tags of the live server of `pi`, and check the account. Returns what was changed."""
    account = world.in_use()
    server = next(one.id for one in account.servers.values() if not one.gone)
    said = _change(chance, account, server)
    if chance.random() < 0.5:
        account.kill_schedules.pop(server, None)
    with world.about(f"tags {account.servers[server].tags}"):
        _check_end(copy.deepcopy(account), server)
        world.check(account)
    return said


def _change(chance: random.Random, account: Account, server: str) -> str:
    tags = dict(account.servers[server].tags)
    name = chance.choice((*OWN, names.TAG_PROJECT, "more"))
    if name == names.TAG_PROJECT or chance.random() < 0.3:
        tags.pop(name, None)
        said = f"{name} removed"
    else:
        tags[name] = chance.choice(TEXTS)
        said = f"{name} changed"
    if chance.random() < 0.3:
        tags |= {f"more{number}": chance.choice(TEXTS) for number in range(42)}
    account.servers[server] = replace(account.servers[server], tags=tags)
    return said


def _check_end(account: Account, server: str) -> None:
    """Let a day pass, swept each hour: the server is ended, unless its project tag is gone and so is its kill schedule."""
    if not account.servers[server].project and server not in account.kill_schedules:
        return
    until = account.now + timedelta(days=1)
    while account.now < until and not account.servers[server].gone:
        account.pass_time(3600)
        world.sweep(account)
    world.require(account.servers[server].gone, f"{server} lives a day later; its tags: {account.servers[server].tags}")
