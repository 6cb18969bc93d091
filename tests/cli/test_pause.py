"""`pause` and `resume` as a user types and reads them, on a model account."""

from __future__ import annotations

import json

import pytest

from fuzz.world import LIVE, SINCE, in_use
from model import program
from model.program import Program


@pytest.fixture
def dayfly(tmp_path, monkeypatch) -> Program:
    account = in_use()
    program.use(monkeypatch, account, tmp_path)
    return Program(account)


def test_pause_says_since_when_and_how_to_resume(dayfly):
    said = dayfly("pause", "pi")
    assert said.code == 0, said.err
    assert said.out.splitlines()[1].startswith("paused   pi since ")
    assert said.out.splitlines()[1].endswith(" by ben: its ticks are skipped. A deploy keeps the pause")
    assert said.out.splitlines()[2] == "next     dayfly resume pi"
    assert "paused/pi" in dayfly.account.objects


def test_second_pause_keeps_the_first(dayfly):
    first = json.loads(dayfly("pause", "pi", "--json").out)["paused"]
    dayfly.account.pass_time(60)
    assert json.loads(dayfly("pause", "pi", "--json").out)["paused"] == first


def test_resume_says_the_next_tick(dayfly):
    dayfly("pause", "pi")
    said = dayfly("resume", "pi")
    assert said.code == 0, said.err
    assert said.out.splitlines()[1].startswith("resumed  pi, paused since ")
    assert "; next tick " in said.out
    assert "paused/pi" not in dayfly.account.objects


def test_resume_of_a_job_that_is_not_paused_says_so(dayfly):
    said = dayfly("resume", "pi")
    assert (said.code, "pi was not paused" in said.out) == (0, True)


@pytest.mark.parametrize("command", ["pause", "resume"])
def test_unknown_job_is_not_paused(dayfly, command):
    said = dayfly(command, "pie")
    assert (said.code, "did you mean pi?" in said.err) == (4, True)


def test_runs_and_show_say_that_a_job_is_paused(dayfly):
    dayfly("pause", "pi")
    listed = dayfly("runs", *SINCE).out.splitlines()
    assert listed[1].startswith("paused   pi since ")
    assert listed[1].endswith(" by ben: its ticks are skipped; dayfly resume pi")
    assert "paused" not in dayfly("runs", "healthy", *SINCE).out
    assert "paused    pi since " in dayfly("show", str(LIVE)).out
    assert json.loads(dayfly("runs", *SINCE, "--json").out)["paused"]["pi"]["by"] == "ben"
    assert json.loads(dayfly("show", str(LIVE), "--json").out)["paused"]["by"] == "ben"
    dayfly("resume", "pi")
    assert "paused" not in dayfly("runs", *SINCE).out


def test_project_that_is_not_deployed_cannot_be_paused(tmp_path, monkeypatch):
    account = program.Account()
    program.use(monkeypatch, account, tmp_path)
    assert Program(account)("pause", "pi").code == 4
