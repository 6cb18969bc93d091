"""With one bad object of any kind in the bucket every command shows everything else, and one line about the bad object."""

from __future__ import annotations

import copy
from datetime import timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchAt
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.project.file import config
from model import program
from model.cloud import TICK, acting_as
from model.deploying import deploy
from model.program import Account, Program

LATER = TICK + timedelta(hours=1)
OVER, LIVE = names.RunName("pi", TICK), names.RunName("pi", LATER)
GOOD = names.RunName("healthy", TICK + timedelta(minutes=1))
BAD = {
    "not JSON": b"{",
    "no field": b"{}",
    "not UTF-8": b"\xff\xfe",
    "huge": b" " * 20_000_000,
    "wrong types": b'{"run": 1, "at": [], "outcome": {}, "server": 5, "attempt": "x", "format": 1}',
}


def in_use() -> Account:
    return copy.deepcopy(_in_use())


@cache
def _in_use() -> Account:
    """Return an account with a finished run and a live one of `pi`, and a finished run of another job."""
    account = Account(now=TICK - timedelta(minutes=5))
    deploy(account, config.read(program.FILE, zones=ZoneInfo))
    for run in (OVER, GOOD, LIVE):
        account.pass_time((run.tick - account.now).total_seconds() + 1)
        asked = LaunchAt(job=run.job, tick=run.tick, source="schedule", request=str(run))
        account.run(launch(asked, acting_as("launcher")))
        if run != LIVE:
            assert account.run_agent(list(account.servers)[-1])
            account.run(sweep_project(acting_as("sweeper"), 90 * 86_400))
    return account


def places(account: Account) -> dict[str, str]:
    """Return the key of an object of each kind that the screens of `pi` read."""
    live, over = (names.attempt_key(run, 1, "server") for run in (LIVE, OVER))
    server = account.json(live)["server"]
    out = names.out_prefix(LIVE, 1, account.json(names.attempt_key(LIVE, 1, "intent"))["role_id"], server)
    ended = account.json(over)["server"]
    out_over = names.out_prefix(OVER, 1, account.json(names.attempt_key(OVER, 1, "intent"))["role_id"], ended)
    versions = sorted(key for key in account.objects if key.startswith("jobs/pi/"))
    return {
        "version": versions[0],
        "stray version": "jobs/pi/stray.json",
        "stray job": "jobs/stray",
        "open": names.open_key(LIVE),
        "stray open": "open/pi@yesterday",
        "slot": names.slot_key("pi"),
        "latest": names.latest_key("pi"),
        "heartbeat": names.HEARTBEAT,
        "request": names.request_key(str(LIVE), 0),
        "stray done": f"{names.done_day(OVER)}x~y",
        "done outcome": f"{names.done_prefix(OVER)}1~x~y",
        "done day": "done/yesterday/x",
        "claim": names.claim_key(LIVE),
        "claim over": names.claim_key(OVER),
        "intent": names.attempt_key(LIVE, 1, "intent"),
        "intent over": names.attempt_key(OVER, 1, "intent"),
        "stray attempt": names.run_prefix(LIVE) + "x/intent.json",
        "spot-refused": names.attempt_key(LIVE, 1, "spot-refused"),
        "server": live,
        "server over": over,
        "sent": names.attempt_key(LIVE, 1, "sent"),
        "absent": names.attempt_key(LIVE, 1, "absent"),
        "cancel": names.attempt_key(LIVE, 1, "cancel"),
        "end": names.attempt_key(LIVE, 1, "end"),
        "closed": names.attempt_key(LIVE, 1, "closed"),
        "closed over": names.attempt_key(OVER, 1, "closed"),
        "receipt": names.attempt_key(OVER, 1, "receipt"),
        "started": names.started_key(out),
        "ended": names.ended_key(out),
        "ended over": names.ended_key(out_over),
        "log": names.log_key(out, 1),
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


@pytest.fixture
def dayfly(tmp_path, monkeypatch, capsysbinary) -> Program:
    account = in_use()
    program.use(monkeypatch, account, tmp_path)
    return Program(account, tmp_path, capsysbinary)


SILENT = {"request", "sent", "stray job", "stray attempt", "log"}
"""No screen reads these objects: only the launcher reads a request, and a listing of folders shows no stray object."""
KINDS = list(places(in_use()))


@pytest.mark.parametrize("body", BAD)
@pytest.mark.parametrize("kind", KINDS)
def test_no_bad_object_ends_a_command_or_hides_the_others(dayfly, kind, body):
    key = places(dayfly.account)[kind]
    dayfly.account.objects[key] = BAD[body]
    noted = []
    for screen in SCREENS:
        code, out, err = dayfly(*screen)
        assert code != 70, f"{screen}: {err}"
        assert "Traceback" not in out + err
        noted += [line for line in err.splitlines() if line.startswith("note") and key in line]
        if screen[0] == "ps":
            assert all(
                server in out for server in dayfly.account.servers if dayfly.account.servers[server].state == "running"
            )
        if screen == SCREENS[0]:
            assert all(str(run.tick)[:10] in out and run.job in out for run in (LIVE, OVER, GOOD)), out
            assert "healthy@2026-11-24T22:42Z" in out
    is_object = body in ("no field", "wrong types")
    if kind not in SILENT and not (kind == "receipt" and is_object):  # a receipt is shown as far as it can be read
        assert noted, f"no line about {key}"
    code, out, err = dayfly("fetch", str(GOOD), "--to", "good")
    assert code == 0, err
    code, out, err = dayfly("show", str(GOOD))
    assert code == 0, err
    assert "succeeded" in out
