"""The account that each fuzzed case starts from, and what must hold after it. A case that breaks it raises Broken."""

from __future__ import annotations

import contextlib
import copy
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchAt
from dayfly.core.reasons import Outcome
from dayfly.flows.gather import attempt_numbers
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.project.file import config
from model import program
from model.cloud import TICK, acting_as
from model.deploying import deploy
from model.program import Account, Program, Said

LATER = TICK + timedelta(hours=1)
OVER, LIVE = names.RunName("pi", TICK), names.RunName("pi", LATER)
GOOD = names.RunName("healthy", TICK + timedelta(minutes=1))
NEXT = names.RunName("healthy", GOOD.tick + timedelta(hours=2))
SINCE = ("--since", "2026-11-01")
DAY = 24 * 3600
_ROUNDS = 6


class Broken(Exception):
    """Something that must hold does not."""


def require(holds: object, what: str) -> None:
    if not holds:
        raise Broken(what)


@contextlib.contextmanager
def about(case: str) -> Iterator[None]:
    """Name the case in any error that the block raises."""
    try:
        yield
    except Exception as error:
        raise Broken(f"{case[:500]}: {type(error).__name__}: {error}") from error


def in_use() -> Account:
    """Return an account with a finished run and a live one of `pi`, and a finished run of `healthy`."""
    return copy.deepcopy(_in_use())


@cache
def _in_use() -> Account:
    account = Account(now=TICK - timedelta(minutes=5))
    deploy(account, config.read(program.FILE, zones=ZoneInfo))
    for run in (OVER, GOOD, LIVE):
        tick(account, run)
        if run != LIVE:
            require(account.run_agent(list(account.servers)[-1]), "the model's agent did not run")
            sweep(account)
    return account


def tick(account: Account, run: names.RunName) -> None:
    """Let the schedule deliver this tick, a second late."""
    account.pass_time(max(0, (run.tick - account.now).total_seconds() + 1))
    asked = LaunchAt(job=run.job, tick=run.tick, source="schedule", request=str(run))
    account.run(launch(asked, acting_as("launcher")))


def sweep(account: Account) -> None:
    account.run(sweep_project(acting_as("sweeper"), 90 * DAY))


@contextlib.contextmanager
def a_folder() -> Iterator[tuple[pytest.MonkeyPatch, Path]]:
    """A new current folder, and what to set there until it is left."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.chdir(name)
        yield patch, Path(name)


def check(account: Account) -> None:
    """Raise Broken unless every screen works, every run closes once its server is gone, and `healthy` is not disturbed."""
    with a_folder() as (patch, folder):
        program.use(patch, account, folder)
        dayfly = Program(account)
        _check_screens(dayfly)
        _check_closing(account)
        _check_healthy(account, dayfly)


def fine(said: Said) -> Said:
    """Return what a command said. Raises Broken for a bug."""
    shown = f"dayfly {' '.join(said.command)}: exit {said.code}: {said.err[-1500:]}"
    require(said.code in (0, 1, 2, 3, 4, 5, 6), shown)
    require("Traceback" not in said.err, shown)
    return said


def _check_screens(dayfly: Program) -> None:
    listed = fine(dayfly("runs", *SINCE))
    require("healthy@2026-11-24T22:42Z" in listed.out, f"runs does not show the other job: {listed.out}")
    shown = fine(dayfly("ps"))
    for server in dayfly.account.servers.values():
        visible = server.state == "running" and server.project
        require(not visible or server.id in shown.out, f"ps does not show {server.id}: {shown.out}")
    for run in (LIVE, OVER):
        for command in ("show", "logs"):
            fine(dayfly(command, str(run)))
    fine(dayfly("fetch", str(OVER)))
    fetched = fine(dayfly("fetch", "healthy"))
    require(fetched.code == 0, f"fetch of the other job: {fetched.err}")


def _check_closing(account: Account) -> None:
    """Terminate every server, and sweep twice. A sweep may launch what waited, so this is repeated."""
    for _ in range(_ROUNDS):
        running = [server.id for server in account.servers.values() if not server.gone]
        for server in running:
            account.terminate(server)
        for _ in range(2):
            account.pass_time(300)
            sweep(account)
        if not any(not server.gone for server in account.servers.values()):
            break
    # Nobody can know that a server is gone which EC2 never showed; such a run closes an hour after its launch.
    left = [run for run in _open(account) if _had_server(account, run)]
    require(not left, f"open after every server is gone and two sweeps: {', '.join(map(str, left))}")


def _open(account: Account) -> tuple[names.RunName, ...]:
    """Return the runs that are listed as open."""
    return tuple(names.run_names(key.removeprefix(names.OPEN) for key in account.objects if key.startswith(names.OPEN)))


def _had_server(account: Account, run: names.RunName) -> bool:
    """Return whether EC2 shows a server of the run's newest attempt."""
    keys = tuple(key for key in sorted(account.objects) if key.startswith(names.run_prefix(run)))
    newest = attempt_numbers(run, keys)[-1:]
    return any([server.attempt] == newest and server.run == str(run) for server in account.servers.values())


def _check_healthy(account: Account, dayfly: Program) -> None:
    """Deliver a tick of the other job. It must succeed, close, and move `latest`."""
    tick(account, NEXT)
    require(account.run_agent(list(account.servers)[-1]), "the other job got no server")
    sweep(account)
    closed = names.attempt_key(NEXT, 1, "closed")
    require(closed in account.objects, "the other job's run is not closed")
    require(account.json(closed)["outcome"] == Outcome.SUCCEEDED, "the other job's run did not succeed")
    require(account.json(names.latest_key("healthy"))["run"] == str(NEXT), "`latest` of the other job did not move")
    require(
        account.json(names.HEARTBEAT)["at"][:19] == names.utc_text(account.now)[:19], "the sweep wrote no heartbeat"
    )
    shown = fine(dayfly("show", str(NEXT)))
    require("succeeded" in shown.out, f"show of the other job: {shown.out}")
