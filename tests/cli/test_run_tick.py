"""`run JOB --tick`: the tick of a schedule that did not run, as a user types and reads it, on a model account."""

from __future__ import annotations

import json

import pytest

from fuzz.world import SINCE, in_use, sweep
from model import program
from model.program import Program

MISSED = "pi@2026-11-25T01:41Z"


@pytest.fixture
def dayfly(tmp_path, monkeypatch) -> Program:
    """Return the program, four hours after the last delivery: later ticks were never delivered."""
    account = in_use()
    account.run_agent(list(account.servers)[-1])
    sweep(account)
    account.pass_time(4 * 3600)
    program.use(monkeypatch, account, tmp_path)
    return Program(account)


def row(said, run: str) -> str:
    return next(line for line in said.out.splitlines() if line.startswith(run))


def test_runs_names_the_command_that_runs_a_missed_tick(dayfly):
    listed = dayfly("runs", "pi", *SINCE)
    assert row(listed, MISSED).endswith(
        "missed     -    -               never started: dayfly run pi --tick 2026-11-25T01:41Z"
    )


def test_show_knows_a_tick_that_never_started(dayfly):
    shown = dayfly("show", MISSED)
    assert shown.code == 0, shown.err
    assert shown.out.splitlines()[1] == "pi@2026-11-25T01:41:00Z   missed: it never started"
    assert shown.out.splitlines()[2].startswith("due ")
    assert shown.out.splitlines()[-1] == "next      dayfly run pi --tick 2026-11-25T01:41Z"
    document = json.loads(dayfly("show", MISSED, "--json").out)
    assert (document["outcome"], document["over"], document["claim"]) == ("missed", True, None)


def test_show_knows_every_tick_that_runs_lists(dayfly):
    sweep(dayfly.account)
    for one in json.loads(dayfly("runs", "pi", *SINCE, "--json").out)["runs"]:
        assert dayfly("show", one["run"]).code == 0, one


def test_missed_tick_runs_and_moves_latest(dayfly):
    said = dayfly("run", "pi", "--tick", "2026-11-25T01:41Z", "--env", "MODE=small")
    assert said.code == 0, said.err
    assert "run      pi@2026-11-25T01:41:00Z, a tick of its schedule: `latest` is updated" in said.out
    server = list(dayfly.account.servers)[-1]
    go = dayfly.account.go_of(server)
    assert (go["tick"], go["day"], go["env"]["MODE"]) == ("2026-11-25T01:41:00Z", "2026-11-25", "small")
    dayfly.account.run_agent(server)
    sweep(dayfly.account)
    assert dayfly.account.json("latest/pi.json")["run"] == "pi@2026-11-25T01:41:00Z"
    assert row(dayfly("runs", "pi", *SINCE), MISSED).endswith("run later, latest")
    shown = dayfly("show", MISSED).out
    assert "due today 01:41" in shown or "due Wed 01:41" in shown
    assert "by ben" in shown


def test_claim_missed_is_run_later_and_shown(dayfly):
    sweep(dayfly.account)
    assert "dayfly run pi --tick 2026-11-25T01:41Z" in row(dayfly("runs", "pi", *SINCE), MISSED)
    assert dayfly("run", "pi", "--tick", "2026-11-25T01:41Z").code == 0
    assert "it was missed: never delivered" in dayfly("show", MISSED).out


def test_tick_that_succeeded_is_refused(dayfly):
    good = json.loads(dayfly("runs", "pi", *SINCE, "--json").out)["runs"][-1]
    assert good["outcome"] == "succeeded"
    said = dayfly("run", "pi", "--tick", good["tick"])
    assert said.code == 4
    assert f"dayfly retry {good['run']}" in said.err


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("2026-11-25T01:40Z", 4, "is no tick of pi's schedule in force then"),
        ("2026-11-25", 4, "pick one"),
        ("2026-11-26T01:41Z", 4, "is in the future"),
        ("2025-01-01T01:41Z", 4, "none was due around that day"),
        ("yesterday", 2, "--tick takes a date or a time"),
        ("", 2, "--tick takes a date or a time"),
    ],
)
def test_time_that_cannot_run_says_why(dayfly, text, code, words):
    said = dayfly("run", "pi", "--tick", text)
    assert (said.code, words in said.err) == (code, True), said.err
    assert "Traceback" not in said.err


def test_nearest_ticks_are_named(dayfly):
    said = dayfly("run", "pi", "--tick", "2026-11-25T01:50Z")
    for near in ("pi@2026-11-25T00:41Z", "pi@2026-11-25T01:41Z", "pi@2026-11-25T02:41Z"):
        assert near in said.err
    assert "dayfly run pi --tick 2026-11-25T02:41Z" in said.err


def test_publish_is_refused_with_a_tick(dayfly):
    assert dayfly("run", "pi", "--tick", "2026-11-25T01:41Z", "--publish").code == 2
