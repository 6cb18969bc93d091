"""Two deploys, two destroys, or one of each at once: each ends well or with a message, and the next command finishes the work."""

from __future__ import annotations

import re
from itertools import product

import pytest

from dayfly.errors import SupplyError, Unclear, UnfinishedError
from dayfly.project.deploy.destroy import destroy
from model.account import ModelAccount
from model.deploying import SCOPE, deploy, deploy_flow, end, file, plan_of, repeat
from model.stepper import Stepper

TWO_JOBS = '[jobs.daily]\ncommand = "true"\nservers = ["c8g.large"]\nschedule = "0 7 * * *"\n'
COMMANDS = {
    "deploy": lambda: deploy_flow(file()),
    "deploy more": lambda: deploy_flow(file(TWO_JOBS), agent="agent2", code="code2"),
    "destroy": lambda: destroy(SCOPE, keep=False),
    "destroy and keep": lambda: destroy(SCOPE, keep=True),
}
ERROR_CODE = re.compile(r"[A-Z][A-Za-z]+(?:Exception|Error)\b|NoSuch[A-Z]\w+")
"""AWS's own words, such as AlreadyExistsException and NoSuchBucket."""


def account_with(state: str) -> ModelAccount:
    account = ModelAccount(shutdown_s=20)
    if state == "deployed":
        deploy(account)
    account.calls_answered = 0
    return account


def finish(stepper: Stepper) -> None:
    while not stepper.over:
        stepper.step()


def advance(stepper: Stepper, calls: int) -> None:
    for _ in range(calls):
        if not stepper.over:
            stepper.step()


def check(account: ModelAccount, steppers: list[Stepper], where: str) -> None:
    for stepper in steppers:
        error = stepper.error
        if error is None:
            continue
        assert isinstance(error, (UnfinishedError, Unclear, SupplyError)), f"{where}: {error!r}"
        assert error.hint, f"{where}: {error.message}"
        assert not ERROR_CODE.search(error.message), f"{where}: {error.message}"
    repeat(deploy, account)
    assert plan_of(account, file()).empty, where
    repeat(lambda account: end(account, keep=False), account)
    assert account.leftovers() == {}, where


@pytest.mark.parametrize("state", ["new", "deployed"])
@pytest.mark.parametrize(("first", "second"), list(product(COMMANDS, COMMANDS)))
def test_command_in_the_middle_of_another_ends_in_a_word(state, first, second):
    ready = account_with(state)
    finish(Stepper(ready, COMMANDS[first]()))
    for number in range(1, ready.calls_answered + 1):
        account = account_with(state)
        steppers = [Stepper(account, COMMANDS[name]()) for name in (first, second)]
        advance(steppers[0], number)
        finish(steppers[1])
        finish(steppers[0])
        check(account, steppers, f"{second} after call {number} of {first}")


@pytest.mark.parametrize("state", ["new", "deployed"])
@pytest.mark.parametrize(("first", "second"), list(product(COMMANDS, COMMANDS)))
def test_two_commands_in_turns_end_in_a_word(state, first, second):
    for ahead in range(0, 40, 3):
        account = account_with(state)
        steppers = [Stepper(account, COMMANDS[name]()) for name in (first, second)]
        advance(steppers[0], ahead)
        while not all(each.over for each in steppers):
            for each in steppers:
                advance(each, 1)
        check(account, steppers, f"{second} in turns, {ahead} calls behind {first}")
