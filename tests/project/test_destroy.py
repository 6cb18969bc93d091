"""Destroy on the model account: nothing is left that costs money but what the user keeps, and a second look proves it (invariant 8)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core.model import Removed
from dayfly.errors import DayflyError, FileError, Unclear, UnfinishedError
from dayfly.flows import calls
from dayfly.project.deploy.destroy import destroy, take_inventory
from model.account import ModelAccount
from model.deploying import SCOPE, deploy, deploy_flow, end, file, plan_of, repeat, versions
from model.destroying import in_use, not_closed
from model.stepper import Stepper


def foreign(account: ModelAccount) -> str:
    return account.servers["i-foreign"].state


def test_deploy_then_destroy_leaves_nothing():
    account = ModelAccount()
    deploy(account)
    done = end(account, keep=False)
    assert account.leftovers() == {}
    assert done.left.is_empty
    assert done.left.remains(keep=False) == ()
    assert done.why == ""


def test_destroy_ends_live_servers_and_touches_nothing_foreign():
    account = in_use(shutdown_s=40)
    assert len(account.leftovers()["servers"]) == 1
    done = end(account, keep=False)
    assert account.leftovers() == {}
    assert done.left.is_empty
    assert foreign(account) == "running"


def test_stopped_server_is_ended_too():
    account = in_use()
    server = next(iter(account.servers))
    account.servers[server] = replace(account.servers[server], state="stopped")
    end(account, keep=False)
    assert account.leftovers() == {}


def test_kept_bucket_records_that_no_job_is_deployed():
    account = in_use()
    results = {key for key in account.objects if key.startswith("out/")}
    done = end(account, keep=True)
    assert set(account.leftovers()) == {"bucket", "objects", "uploads"}
    assert results <= set(account.objects)
    assert done.left.has_bucket
    assert done.left.remains(keep=True) == ()
    assert done.left.remains(keep=False) == ("the bucket",)
    assert isinstance(versions(account)["pi"], Removed)


def test_deploy_after_a_destroy_that_kept_results_finds_its_history():
    account = in_use()
    end(account, keep=True)
    deploy(account)
    assert plan_of(account, file()).empty
    assert "out/pi/0" in account.objects


@pytest.mark.parametrize("keep", [True, False])
def test_destroy_twice_is_the_same_as_once(keep):
    account = in_use()
    first = end(account, keep=keep)
    costs, objects = account.leftovers(), dict(account.objects)
    second = end(account, keep=keep)
    assert (account.leftovers(), account.objects) == (costs, objects)
    assert second.left == first.left


def test_destroy_of_what_was_never_deployed_does_nothing():
    account = ModelAccount()
    assert end(account, keep=False).left.is_empty
    assert account.leftovers() == {}


def test_kept_bucket_is_deleted_by_a_later_destroy():
    account = in_use()
    end(account, keep=True)
    end(account, keep=False)
    assert account.leftovers() == {}


def test_bucket_of_another_account_is_never_emptied():
    account = ModelAccount(bucket_owner="999999999999", objects={"theirs": b"x"})
    with pytest.raises(FileError):
        end(account, keep=False)
    assert account.objects == {"theirs": b"x"}


# --- what cannot be ended is reported ------------------------------------------------------------------------------------


def test_server_that_does_not_go_is_reported_as_left():
    account = in_use(shutdown_s=10_000)
    server = account.leftovers()["servers"][0]
    done = end(account, keep=False)
    assert done.left.remains(keep=False) == (server, "the stack")
    assert "DELETE_FAILED" in account.stack.status
    assert "SecurityGroup (securitygroup-1): model: this one fails" in done.why
    account.pass_time(10_000)
    end(account, keep=False)
    assert account.leftovers() == {}


def test_stack_that_cannot_be_deleted_does_not_keep_the_rest():
    account = in_use(fails_at={"DELETE": "ServerRole"})
    done = end(account, keep=False)
    assert done.left.remains(keep=False) == ("the stack",)
    assert "ServerRole" in done.why
    assert set(account.leftovers()) == {"stack"}
    account.fails_at.clear()
    assert end(account, keep=False).left.is_empty
    assert account.leftovers() == {}


def test_bucket_that_fills_up_again_is_reported_as_left():
    account = in_use()
    stepper = Stepper(account, destroy(SCOPE, keep=False))
    while not stepper.over:
        if isinstance(stepper.call, calls.DeleteBucket):
            account.objects["out/late"] = b"x"
        stepper.step()
    assert isinstance(stepper.error, UnfinishedError)
    assert "something still writes to it" in stepper.error.message


def test_inventory_shows_everything_and_changes_nothing():
    account = in_use()
    costs = account.leftovers()
    found = account.run(take_inventory(SCOPE))
    assert account.leftovers() == costs
    assert [server.id for server in found.servers] == costs["servers"]
    assert (found.schedules, found.has_bucket, found.objects) == (1, True, len(account.objects))
    assert found.stack is not None


# --- lost answers, commands cut off, others at the same time -------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("keep", [True, False])
def test_destroy_with_any_one_answer_lost_ends_the_same(when, keep):
    ready = in_use(shutdown_s=20)
    end(ready, keep=keep)
    expected = {"bucket": "000000000000"} if keep else {}
    for number in range(1, ready.calls_answered + 1):
        account = in_use(shutdown_s=20)
        account.faults[number] = when
        done = repeat(lambda account: end(account, keep=keep), account)
        costs = account.leftovers()
        assert {name: costs[name] for name in costs if name not in ("objects", "uploads")} == expected, f"call {number}"
        assert done.left.remains(keep=keep) == ()
        assert foreign(account) == "running"
        if keep:
            assert isinstance(versions(account)["pi"], Removed)
            assert not_closed(account) == [], f"call {number}"


def test_destroy_cut_off_anywhere_is_finished_by_the_next():
    ready = in_use()
    end(ready, keep=False)
    for number in range(1, ready.calls_answered):
        account = in_use()
        stepper = Stepper(account, destroy(SCOPE, keep=False))
        for _ in range(number):
            stepper.step()
        stepper.flow.close()
        repeat(lambda account: end(account, keep=False), account)
        assert account.leftovers() == {}, f"cut off after call {number}"


@pytest.mark.parametrize("keep", [True, False])
def test_destroy_after_a_deploy_cut_off_anywhere_leaves_nothing(keep):
    ready = ModelAccount()
    deploy(ready)
    for number in range(1, ready.calls_answered):
        account = ModelAccount()
        stepper = Stepper(account, deploy_flow(file()))
        for _ in range(number):
            stepper.step()
        stepper.flow.close()
        done = repeat(lambda account: end(account, keep=keep), account)
        assert set(account.leftovers()) <= ({"bucket", "objects"} if keep else set()), f"cut off after call {number}"
        assert done.left.remains(keep=keep) == ()


def test_destroy_after_an_update_cut_off_anywhere_leaves_nothing():
    ready = ModelAccount()
    deploy(ready)
    first = ready.calls_answered
    deploy(ready, functions="functions2")
    for number in range(1, ready.calls_answered - first):
        account = ModelAccount()
        deploy(account)
        stepper = Stepper(account, deploy_flow(file(), functions="functions2"))
        for _ in range(number):
            stepper.step()
        stepper.flow.close()
        repeat(lambda account: end(account, keep=False), account)
        assert account.leftovers() == {}, f"cut off after call {number}"


def test_two_destroys_at_once_leave_nothing():
    for ahead in range(0, 40, 3):
        account = in_use(shutdown_s=20)
        steppers = [Stepper(account, destroy(SCOPE, keep=False)) for _ in range(2)]
        for _ in range(ahead):
            steppers[0].step()
        while not all(each.over for each in steppers):
            for each in steppers:
                if not each.over:
                    each.step()
        for each in steppers:
            assert each.error is None or isinstance(each.error, (Unclear, UnfinishedError)), each.error
        end(account, keep=False)
        assert account.leftovers() == {}


def test_stack_is_deleted_only_after_servers_are_gone():
    account = in_use(shutdown_s=60)
    began = account.now
    end(account, keep=False)
    assert account.now - began >= timedelta(seconds=60)
    assert account.leftovers() == {}


@pytest.mark.parametrize("ahead", range(0, 30, 3))
@pytest.mark.parametrize("first", ["deploy", "destroy"])
def test_destroy_after_concurrent_deploy_and_destroy_leaves_nothing(ahead, first):
    account = in_use(shutdown_s=20)
    steppers = [
        Stepper(account, deploy_flow(file(), functions="functions2")),
        Stepper(account, destroy(SCOPE, keep=False)),
    ]
    if first == "destroy":
        steppers.reverse()
    for _ in range(ahead):
        steppers[0].step()
    while not all(each.over for each in steppers):
        for each in steppers:
            if not each.over:
                each.step()
    for each in steppers:
        assert each.error is None or isinstance(each.error, DayflyError), each.error
    done = repeat(lambda account: end(account, keep=False), account)
    assert done.left.is_empty
    assert account.leftovers() == {}
    assert foreign(account) == "running"


COMMANDS = {
    "deploy": lambda: deploy_flow(file()),
    "deploy other functions": lambda: deploy_flow(file(), functions="functions2"),
    "destroy and keep": lambda: destroy(SCOPE, keep=True),
    "destroy": lambda: destroy(SCOPE, keep=False),
}
HISTORY = st.lists(
    st.tuples(st.sampled_from(list(COMMANDS)), st.integers(1, 60), st.sampled_from(["before", "after", "cut off", ""])),
    max_size=6,
)


@given(history=HISTORY, fails=st.sampled_from(["", "CREATE", "UPDATE", "DELETE"]))
@settings(max_examples=150, deadline=None)
def test_after_any_history_of_commands_a_destroy_leaves_nothing(history, fails):
    account = in_use(shutdown_s=20, fails_at={})
    account.fails_at = {fails: "ServerRole"} if fails else {}
    for command, number, how in history:
        account.faults = {account.calls_answered + number: how} if how in ("before", "after") else {}
        stepper, steps = Stepper(account, COMMANDS[command]()), 0
        while not stepper.over and not (how == "cut off" and steps == number):
            stepper.step()
            steps += 1
        assert stepper.error is None or isinstance(stepper.error, DayflyError), stepper.error
        account.pass_time(60)
    account.faults, account.fails_at = {}, {}
    done = repeat(lambda account: end(account, keep=False), account)
    assert done.left.is_empty
    assert account.leftovers() == {}
    assert foreign(account) == "running"
    repeat(deploy, account)
    assert plan_of(account, file()).empty
