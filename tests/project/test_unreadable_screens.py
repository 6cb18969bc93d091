"""With one bad object of any kind in the bucket every command shows everything else, and one line about the bad object."""

from __future__ import annotations

import pytest

from fuzz.facts import places
from fuzz.world import GOOD, LIVE, OVER, in_use
from model import program
from model.program import Program

BAD = {
    "not JSON": b"{",
    "no field": b"{}",
    "not UTF-8": b"\xff\xfe",
    "huge": b" " * 20_000_000,
    "wrong types": b'{"run": 1, "at": [], "outcome": {}, "server": 5, "attempt": "x", "format": 1}',
}


SCREENS = (
    ("runs", "--since", "2026-11-01"),
    ("runs", "pi", "--since", "2026-11-01", "--json"),
    ("show", str(LIVE)),
    ("show", str(OVER), "--json"),
    ("show", "pi"),
    ("logs", str(LIVE)),
    ("logs", str(OVER)),
    ("ps",),
    ("ps", "--json"),
    ("fetch", "pi", "--to", "a"),
    ("fetch", str(OVER), "--to", "b"),
    ("retry", str(OVER)),
    ("cancel", str(LIVE)),
)
"""Commands in this order: the last two change something."""


KINDS = list(places(in_use()))
SILENT = {"request", "sent", "stray job", "stray attempt", "log", "log over", "output over", "stray out", "open over"}
SILENT |= {"done of two", "high attempt"}
"""No screen reads these objects: only the launcher reads a request, and a listing of folders shows no stray object."""


@pytest.fixture
def dayfly(tmp_path, monkeypatch) -> Program:
    account = in_use()
    program.use(monkeypatch, account, tmp_path)
    return Program(account)


@pytest.mark.parametrize("body", BAD)
@pytest.mark.parametrize("kind", KINDS)
def test_no_bad_object_ends_a_command_or_hides_the_others(dayfly, kind, body):
    key = places(dayfly.account)[kind]
    dayfly.account.objects[key] = BAD[body]
    noted = []
    for screen in SCREENS:
        said = dayfly(*screen)
        assert said.code != 70, said
        assert "Traceback" not in said.out + said.err
        noted += [line for line in said.err.splitlines() if line.startswith("note") and key in line]
        if screen[0] == "ps":
            running = [server.id for server in dayfly.account.servers.values() if server.state == "running"]
            assert all(server in said.out for server in running)
        if screen == SCREENS[0]:
            assert "healthy@2026-11-24T22:42Z" in said.out
    is_object = body in ("no field", "wrong types")
    if kind not in SILENT and not (kind.startswith("receipt") and is_object):  # it is shown as far as it can be read
        assert noted, f"no line about {key}"
    assert dayfly("fetch", str(GOOD), "--to", "good").code == 0
    shown = dayfly("show", str(GOOD))
    assert shown.code == 0
    assert "succeeded" in shown.out
