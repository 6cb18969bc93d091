"""Kill a deploy and a destroy half way, then repeat it on a cloud that loses every answer once: it is finished all the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from dayfly.core import names
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.project.deploy.destroy import destroy
from model.account import ModelAccount
from model.deploying import SCOPE, deploy, deploy_flow, end, file, plan_of, repeat
from model.destroying import in_use
from model.stepper import Stepper

LOCAL = (calls.Now, calls.Sleep, calls.Log, calls.ObjectUrl)
"""Calls that no network answers."""
TRIES = 150


@dataclass
class ForgetfulAccount(ModelAccount):
    """An account whose first answer to each different call is lost, before or after the call took effect."""

    loses: str = ""
    lost: set[str] = field(default_factory=set)

    def answer(self, call: calls.Call[Any]) -> Any:
        if not self.loses or isinstance(call, LOCAL) or self._subject(call) in self.lost:
            return super().answer(call)
        self.lost.add(self._subject(call))
        if self.loses == "after":
            super().answer(call)
        raise Unclear("model: answer lost", hint="repeat the command")

    def _subject(self, call: calls.Call[Any]) -> str:
        """Return the kind of call and what it is about. A version's key holds the time of the deploy, so only its job counts."""
        about = getattr(call, "key", None) or getattr(call, "name", None) or getattr(call, "function", "")
        if names.is_version_key(str(about)):
            about = str(about).rpartition("/")[0]
        return f"{type(call).__name__} {about}"


def deployed() -> ForgetfulAccount:
    account = ForgetfulAccount()
    deploy(account)
    return account


def used() -> ForgetfulAccount:
    """Return an account with a project in use: a live server, results, unfinished uploads."""
    there = in_use(shutdown_s=20)
    return ForgetfulAccount(**{name: getattr(there, name) for name in there.__dataclass_fields__})


def change():
    return deploy_flow(file(), code="code2", functions="functions2")


KILLED_AFTER = {
    "deploy: the bucket is made": (ForgetfulAccount, lambda: deploy_flow(file()), calls.CreateBucket),
    "deploy: a file is stored": (ForgetfulAccount, lambda: deploy_flow(file()), calls.Upload),
    "deploy: the stack begins": (ForgetfulAccount, lambda: deploy_flow(file()), calls.CreateStack),
    "deploy: the stack is complete": (ForgetfulAccount, lambda: deploy_flow(file()), calls.StartFunction),
    "deploy: a version is written": (ForgetfulAccount, lambda: deploy_flow(file()), calls.PutNew),
    "deploy: a schedule is made": (ForgetfulAccount, lambda: deploy_flow(file()), calls.CreateSchedule),
    "deploy again: the update begins": (deployed, change, calls.UpdateStack),
    "deploy again: a version is written": (deployed, change, calls.PutNew),
    "destroy: a function is stopped": (used, lambda: destroy(SCOPE, keep=False), calls.StopFunction),
    "destroy: a schedule is deleted": (used, lambda: destroy(SCOPE, keep=False), calls.DeleteSchedule),
    "destroy: a server is ended": (used, lambda: destroy(SCOPE, keep=False), calls.TerminateServer),
    "destroy: the stack's deletion begins": (used, lambda: destroy(SCOPE, keep=False), calls.DeleteStack),
    "destroy: some objects are deleted": (used, lambda: destroy(SCOPE, keep=False), calls.DeleteSomeObjects),
    "destroy: some uploads are aborted": (used, lambda: destroy(SCOPE, keep=False), calls.AbortSomeUploads),
    "destroy: the bucket is deleted": (used, lambda: destroy(SCOPE, keep=False), calls.DeleteBucket),
    "destroy and keep: a run is cancelled": (used, lambda: destroy(SCOPE, keep=True), calls.PutNew),
}


def killed(point: str) -> ForgetfulAccount:
    """Return an account in which the command was killed right after the first call of this kind took effect."""
    make, command, kind = KILLED_AFTER[point]
    account = make()
    stepper = Stepper(account, command())
    seen = False
    while not seen:
        seen = isinstance(stepper.call, kind)
        stepper.step()
        assert not stepper.over
    stepper.flow.close()
    return account


@pytest.mark.parametrize("loses", ["", "before", "after"])
@pytest.mark.parametrize("point", KILLED_AFTER)
def test_deploy_is_repeated_to_its_end(point, loses):
    account = killed(point)
    account.loses = loses
    repeat(lambda account: account.run(change()), account, TRIES)
    assert bool(account.lost) == bool(loses)
    account.loses = ""
    assert plan_of(account, file(), code="code2", functions="functions2").empty
    assert sorted(account.schedules) == ["pi"]
    assert account.stopped == set()


@pytest.mark.parametrize("loses", ["", "before", "after"])
@pytest.mark.parametrize("point", KILLED_AFTER)
def test_destroy_is_repeated_to_its_end(point, loses):
    account = killed(point)
    account.loses = loses
    done = repeat(lambda account: end(account, keep=False), account, TRIES)
    assert bool(account.lost) == bool(loses)
    assert account.leftovers() == {}
    assert done.left.is_empty
