"""Runs the `dayfly` program on a model account: its commands find this account where they would find AWS."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dayfly.cli import target
from dayfly.cli.main import main
from dayfly.cloud.clients import Aws
from dayfly.core.event import launch_request
from dayfly.errors import DayflyError, Refused, Unclear
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.remote import launcher
from model.account import ACCOUNT, ModelAccount
from model.cloud import PROJECT, REGION, ROLE, acting_as

FILE = f'''
project = "{PROJECT}"
regions = ["{REGION}"]
[defaults]
command = "pie 600 out/pi.txt"
servers = ["c8g.large"]
outputs = ["out/pi.txt"]
[jobs.pi]
schedule = "41 * * * *"
market = "spot-first"
[jobs.healthy]
schedule = "42 * * * *"
'''


@dataclass
class Account(ModelAccount):
    """A model account whose launcher function runs the launcher's flow, and whose servers have the role of the model's agent."""

    def find_stack(self, call: calls.FindStack) -> calls.Stack | calls.NoStack:
        match super().find_stack(call):
            case calls.Stack(outputs=outputs) as stack if outputs:
                return replace(stack, outputs={**outputs, "ServerRoleId": ROLE})
            case stack:
                return stack

    def terminate_server(self, call: calls.TerminateServer) -> None:
        if self.servers[call.server].project != PROJECT:
            raise Refused(f"{call.server} is not a server of project {PROJECT}; it was not terminated")
        super().terminate_server(call)

    def invoke(self, call: calls.Invoke) -> calls.Invoked | None:
        if not self._has("Launcher"):
            return None
        try:
            return calls.Invoked(answer=deliver(self, json.loads(call.body)))
        except DayflyError as error:
            return calls.Invoked(answer={}, error=f"{type(error).__name__}: {error.message}")


def deliver(account: ModelAccount, event: Any) -> dict[str, Any]:
    """Do what the launcher function does with an event, and return its answer."""
    try:
        result = account.run(launch(launch_request(event, "invocation"), acting_as("launcher")))
    except DayflyError as error:
        if isinstance(error, Unclear):
            raise
        return {"run": None, "refused": error.message, "hint": error.hint, "exit": error.exit_code}
    return launcher.answer(result)


@dataclass(frozen=True)
class OnModel:
    """An interpreter whose calls a model account answers."""

    account: ModelAccount
    log: Callable[[str, Any], None]
    emit: Callable[[bytes], None]

    def answer(self, call: calls.Call[Any]) -> Any:
        match call:
            case calls.Log(line=line, fields=fields):
                self.log(line, fields)
            case calls.ShowBytes(body=body):
                self.emit(body)
        return self.account.answer(call)

    def run(self, flow: Generator[calls.Call[Any], Any, Any]) -> Any:
        try:
            call = next(flow)
            while True:
                try:
                    answer = self.answer(call)
                except DayflyError as error:
                    call = flow.throw(error)
                else:
                    call = flow.send(answer)
        except StopIteration as stop:
            return stop.value


@dataclass(frozen=True, kw_only=True)
class ModelTarget(target.Target):
    """A target whose calls a model account answers."""

    model: ModelAccount = field(default_factory=ModelAccount)

    def interpreter(self, project: str, **given: Any) -> Any:
        found = super().interpreter(project, **given)
        return OnModel(self.model, found.log, found.emit)


@dataclass(frozen=True)
class Said:
    """What a command returned and printed."""

    command: tuple[str, ...]
    code: int
    out: str
    err: str


@dataclass
class Program:
    """The program, whose commands find this account."""

    account: Account

    def __call__(self, *arguments: str) -> Said:
        """Run a command. Its bytes are decoded with replacement."""
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["--debug", *arguments])
        said = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))
        return Said(arguments, code, *said)


def use(patch: pytest.MonkeyPatch, account: Account, folder: Path) -> None:
    """Make this folder the current one, with FILE as its dayfly.toml, and this account what every command finds."""
    (folder / "dayfly.toml").write_text(FILE, encoding="utf-8")
    patch.chdir(folder)
    patch.setattr(target, "find", lambda _project, use_local: found(account, use_local=use_local))


def found(account: Account, *, use_local: bool) -> ModelTarget:
    assert not use_local
    return ModelTarget(aws=Aws(region=REGION), account=ACCOUNT, who="ben", region=REGION, local=None, model=account)
