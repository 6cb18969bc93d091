"""Deploy and destroy on a stack in each state that CloudFormation has: what happens, what is said, and that a repetition ends well."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from dayfly.errors import SupplyError, UnfinishedError
from dayfly.flows import calls
from dayfly.project.deploy.bucket import MADE_WITHIN_S
from dayfly.project.deploy.destroy import destroy, take_inventory
from dayfly.project.deploy.functions import functions_stopped
from dayfly.project.stack.change import WITHIN_S
from model.account import STACK, ModelAccount
from model.deploying import SCOPE, deploy, deploy_flow, end, file, plan_of, repeat
from model.stepper import Stepper

PAGE = Path(__file__).parents[2] / "docs" / "stack-states.md"


def is_deployed(account: ModelAccount, **built: str) -> bool:
    return plan_of(account, file(), **built).empty and "pi" in account.schedules


def cut_off_while(status: str, flow, **state) -> ModelAccount:
    """Return an account in which a command was killed while the stack was in this state."""
    account = ModelAccount(**state)
    if flow is not deploy_flow:
        deploy(account)
    stepper = Stepper(account, flow(file()) if flow is deploy_flow else flow())
    while account.stack is None or account.stack.status != status:
        stepper.step()
    stepper.flow.close()
    return account


def failed(command, **fails_at: str) -> ModelAccount:
    """Return an account after commands that failed at these resources."""
    account = ModelAccount()
    if "UPDATE" in fails_at or "DELETE" in fails_at:
        deploy(account)
    account.fails_at = dict(fails_at)
    with pytest.raises(SupplyError):
        command(account)
    return account


def undeletable(resource: str) -> ModelAccount:
    account = ModelAccount()
    deploy(account)
    account.fails_at = {"DELETE": resource}
    assert "the stack" in end(account, keep=True).left.remains(keep=True)
    return account


def deployed_as(status: str) -> ModelAccount:
    account = ModelAccount()
    deploy(account)
    account.stack.status = status
    return account


def never_run() -> ModelAccount:
    account = deployed_as("REVIEW_IN_PROGRESS")
    account.stack.resources = set()
    account.schedules.clear()
    return account


def update(account: ModelAccount):
    return deploy(account, functions="functions2")


STATES = {
    "CREATE_IN_PROGRESS": lambda: cut_off_while("CREATE_IN_PROGRESS", deploy_flow),
    "CREATE_COMPLETE": lambda: deployed_as("CREATE_COMPLETE"),
    "CREATE_FAILED": lambda: deployed_as("CREATE_FAILED"),
    "ROLLBACK_IN_PROGRESS": lambda: cut_off_while("ROLLBACK_IN_PROGRESS", deploy_flow, fails_at={"CREATE": "Launcher"}),
    "ROLLBACK_COMPLETE": lambda: failed(deploy, CREATE="Launcher"),
    "ROLLBACK_FAILED": lambda: failed(deploy, CREATE="Launcher", ROLLBACK="SecurityGroup"),
    "REVIEW_IN_PROGRESS": never_run,
    "UPDATE_IN_PROGRESS": lambda: cut_off_while(
        "UPDATE_IN_PROGRESS", lambda: deploy_flow(file(), functions="functions2")
    ),
    "UPDATE_COMPLETE": lambda: deployed_as("UPDATE_COMPLETE"),
    "UPDATE_ROLLBACK_IN_PROGRESS": lambda: cut_off_while(
        "UPDATE_ROLLBACK_IN_PROGRESS",
        lambda: deploy_flow(file(), functions="functions2"),
        fails_at={"UPDATE": "Sweeper"},
    ),
    "UPDATE_ROLLBACK_COMPLETE": lambda: failed(update, UPDATE="Sweeper"),
    "UPDATE_ROLLBACK_FAILED": lambda: failed(update, UPDATE="Sweeper", UPDATE_ROLLBACK="Launcher"),
    "DELETE_IN_PROGRESS": lambda: cut_off_while("DELETE_IN_PROGRESS", lambda: destroy(SCOPE, keep=True)),
    "DELETE_FAILED": lambda: undeletable("SecurityGroup"),
}
BUSY = {status for status in STATES if status.endswith("_IN_PROGRESS")} - {"REVIEW_IN_PROGRESS"}


@pytest.mark.parametrize("status", STATES)
def test_deploy_ends_well_in_every_state_when_repeated(status):
    account = STATES[status]()
    assert account.stack.status == status
    account.fails_at.clear()
    repeat(lambda account: deploy(account, functions="functions3"), account)
    assert is_deployed(account, functions="functions3")


@pytest.mark.parametrize("status", sorted(set(STATES) - BUSY))
def test_deploy_needs_no_repetition_when_nothing_is_in_progress(status):
    account = STATES[status]()
    account.fails_at.clear()
    deploy(account, functions="functions3")
    assert is_deployed(account, functions="functions3")


@pytest.mark.parametrize("status", sorted(BUSY))
def test_deploy_of_another_template_leaves_a_busy_stack_alone(status):
    account = STATES[status]()
    account.stack.settles += timedelta(seconds=WITHIN_S)
    with pytest.raises(UnfinishedError, match=f"is {status}; wait until the change has ended") as raised:
        deploy(account, functions="functions3")
    assert (raised.value.exit_code, raised.value.hint) == (6, "dayfly deploy")
    assert account.stack.status == status


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("keep", [True, False])
def test_destroy_in_every_state_leaves_nothing(status, keep):
    account = STATES[status]()
    account.fails_at.clear()
    done = repeat(lambda account: end(account, keep=keep), account)
    assert done.left.remains(keep=keep) == ()
    assert done.why == ""
    assert set(account.leftovers()) <= ({"bucket", "objects"} if keep else set())


def test_page_of_states_names_the_states_that_are_tested():
    rows = re.findall(r"^\| `([A-Z_]+)`", PAGE.read_text(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(STATES)


# --- what fails again ----------------------------------------------------------------------------------------------------


def test_stack_that_cannot_be_deleted_is_left_whole_and_named():
    account = undeletable("SecurityGroup")
    done = end(account, keep=False)
    assert done.left.remains(keep=False) == ("the stack",)
    assert "SecurityGroup (securitygroup-1): model: this one fails" in done.why
    assert not account.retained


def test_deploy_leaves_behind_what_cannot_be_deleted_and_has_no_name():
    account = undeletable("SecurityGroup")
    deploy(account)
    assert is_deployed(account)
    assert account.retained == {"SecurityGroup"}
    assert any("left behind" in line and "securitygroup-1" in line for line in account.log_lines)


def test_deploy_does_not_leave_behind_what_has_the_name_it_needs():
    account = undeletable("Launcher")
    with pytest.raises(SupplyError, match=r"could not be deleted: Launcher \(launcher-1\)") as raised:
        deploy(account)
    assert (raised.value.exit_code, raised.value.hint) == (5, "remove what uses it, then dayfly destroy")
    assert account.stack.status == "DELETE_FAILED"
    assert not account.retained


def test_rollback_that_fails_again_names_the_resource_and_the_way_out():
    account = STATES["UPDATE_ROLLBACK_FAILED"]()
    with pytest.raises(SupplyError, match="could not be rolled back: Launcher: model: this one fails") as raised:
        deploy(account)
    assert "--resources-to-skip" in raised.value.hint
    assert account.stack.status == "UPDATE_ROLLBACK_FAILED"


@pytest.mark.parametrize(
    ("taken", "resource", "words", "command"),
    [
        (
            STACK,
            "Group",
            "schedule group dayfly-pi already exists",
            "aws scheduler delete-schedule-group --name dayfly-pi",
        ),
        ("dayfly-pi-dead-letters", "DeadLetters", "queue dayfly-pi-dead-letters already exists", "delete the queue"),
        ("dayfly-pi-launcher", "Launcher", "function dayfly-pi-launcher already", "aws lambda delete-function"),
    ],
)
def test_name_that_is_taken_is_said_with_its_remedy(taken, resource, words, command):
    account = ModelAccount(taken={taken})
    with pytest.raises(SupplyError, match=words) as raised:
        deploy(account)
    assert f"failed at {resource}" in raised.value.message
    assert command in raised.value.hint
    assert "rename the project" in raised.value.hint
    account.taken.clear()
    deploy(account)
    assert is_deployed(account)


def test_unknown_state_is_left_alone():
    account = deployed_as("IMPORT_ROLLBACK_FAILED")
    with pytest.raises(UnfinishedError, match="IMPORT_ROLLBACK_FAILED; dayfly changes no stack in this state"):
        deploy(account)


def test_stack_that_aws_will_not_delete_does_not_keep_the_rest():
    account = deployed_as("UPDATE_IN_PROGRESS")
    done = end(account, keep=False)
    assert done.left.remains(keep=False) == ("the stack",)
    assert "cannot be deleted while in status UPDATE_IN_PROGRESS" in done.why
    assert set(account.leftovers()) == {"stack"}


# --- the bucket's name ---------------------------------------------------------------------------------------------------


def test_deploy_waits_for_the_name_of_a_bucket_just_deleted():
    account = ModelAccount()
    deploy(account)
    end(account, keep=False)
    began = account.now
    assert account.bucket_name_free > began
    deploy(account)
    assert is_deployed(account)
    assert len([line for line in account.log_lines if "S3 is not done with the last one" in line]) == 1


def test_bucket_name_that_stays_busy_is_reported_as_unfinished():
    account = ModelAccount()
    account.bucket_name_free = account.now + timedelta(seconds=2 * MADE_WITHIN_S)
    with pytest.raises(UnfinishedError, match="has not completed the deletion of the last bucket") as raised:
        deploy(account)
    assert (raised.value.exit_code, raised.value.hint) == (6, "dayfly deploy, later")
    assert account.stack is None


def test_bucket_that_another_command_changes_is_set_up_later():
    account = ModelAccount()
    stepper = Stepper(account, deploy_flow(file()))
    while not isinstance(stepper.call, calls.SetUpBucket):
        stepper.step()
    account.faults = {account.calls_answered + 1: "before"}
    while not stepper.over:
        stepper.step()
    assert stepper.error is None
    assert account.bucket_settings is not None


# --- a destroy that was cut off ------------------------------------------------------------------------------------------


def half_destroyed() -> ModelAccount:
    account = ModelAccount()
    deploy(account)
    stepper = Stepper(account, destroy(SCOPE, keep=True))
    while len(account.stopped) < 2:
        stepper.step()
    stepper.flow.close()
    return account


def test_deploy_notices_and_starts_functions_that_a_destroy_left_stopped():
    account = half_destroyed()
    plan = plan_of(account, file())
    assert (plan.starts, plan.empty) == (True, False)
    deploy(account)
    assert account.stopped == set()
    assert plan_of(account, file()).empty


def test_inventory_notices_functions_that_a_destroy_left_stopped():
    account = half_destroyed()
    assert account.run(take_inventory(SCOPE)).stopped
    deploy(account)
    assert not account.run(take_inventory(SCOPE)).stopped


def test_stopped_functions_that_cannot_be_seen_stop_no_command():
    account = half_destroyed()
    account.faults = {account.calls_answered + 1: "before"}
    assert account.run(functions_stopped("pi")) is False
