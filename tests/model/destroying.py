"""An account in which a project is in use, and what is left of its runs after a destroy."""

from __future__ import annotations

from dataclasses import replace

from dayfly.core import names
from dayfly.core.event import LaunchNow
from dayfly.errors import Refused
from dayfly.flows.launch import launch
from model.account import ModelAccount
from model.cloud import PROJECT, acting_as
from model.deploying import deploy

LAUNCHER = names.launcher_function(PROJECT)
FOREIGN = {names.TAG_PROJECT: "other", names.TAG_RUN: "job@2026-11-24T22:41:00Z"}


def in_use(**state) -> ModelAccount:
    """Return an account with the project deployed, a live run by hand, results, an unfinished upload and things of other projects."""
    account = ModelAccount(**state)
    deploy(account)
    start(account, "first")
    own = next(iter(account.servers.values()))
    account.servers["i-foreign"] = replace(own, id="i-foreign", tags=FOREIGN)
    account.objects |= {f"out/pi/{number}": b"result" for number in range(7)}
    account.uploads |= {f"out/pi/big{number}" for number in range(12)}
    account.calls_answered = 0
    return account


def start(account: ModelAccount, request: str) -> None:
    """Let the launcher start a run by hand, with what the stack holds. Lambda runs no function that is stopped."""
    if LAUNCHER in account.stopped:
        raise Refused("TooManyRequestsException")
    account.run(launch(LaunchNow(job="pi", request=request), acting_as("launcher")))


def live(account: ModelAccount) -> list[str]:
    return account.leftovers().get("servers", [])


def not_closed(account: ModelAccount) -> list[str]:
    """Return what says that a run goes on: keys of open runs, slots, and attempts without an end."""
    begun = {key.rpartition("/")[0] for key in account.objects if key.endswith("/intent.json")}
    ended = {key.rpartition("/")[0] for key in account.objects if key.endswith("/receipt.json")}
    return [*sorted(key for key in account.objects if key.startswith(("open/", "slots/"))), *sorted(begun - ended)]
