"""Deploy on the model account: what it makes, what it leaves alone, lost answers, failures of the stack, two deploys at once."""

from __future__ import annotations

import pytest

from dayfly.core import names
from dayfly.core.model import Agent, Removed
from dayfly.errors import DayflyError, FileError, SupplyError, Unclear, UnfinishedError
from dayfly.flows import calls
from model.account import PAGE, STACK, ModelAccount
from model.cloud import BUCKET
from model.deploying import SCOPE, deploy, deploy_flow, file, plan_of, repeat, versions
from model.stepper import Stepper

READS = 'reads = ["s3://acme-raw/events/"]'
TWO_JOBS = '[jobs.daily]\ncommand = "true"\nservers = ["c8g.large"]\nschedule = "0 7 * * *"\n'


def is_deployed(account: ModelAccount, project=None, **built: str) -> bool:
    """Return whether nothing is left to deploy, and the schedules are those of the file."""
    project = project or file()
    plan = plan_of(account, project, **built)
    return plan.empty and sorted(account.schedules) == sorted(one.name for one in plan.schedules)


def test_first_deploy_makes_everything():
    account = ModelAccount()
    done = deploy(account)
    assert is_deployed(account)
    assert (done.uploaded, done.schedules) == (4, 1)
    assert account.spot_role
    assert account.stack.status == "CREATE_COMPLETE"
    assert account.schedules["pi"]["Target"]["Arn"].startswith("Launcher of")
    assert account.bucket_settings.tags == {names.TAG_PROJECT: "pi"}
    assert [statement["Effect"] for statement in account.bucket_settings.policy["Statement"]] == ["Deny", "Deny"]


def test_second_deploy_changes_nothing():
    account = ModelAccount()
    deploy(account)
    objects, schedules, version = dict(account.objects), dict(account.schedules), account.stack.version
    done = deploy(account)
    assert (done.uploaded, done.schedules) == (0, 0)
    assert (account.objects, account.schedules, account.stack.version) == (objects, schedules, version)


def test_deploy_of_code_or_of_one_more_job_changes_no_stack():
    account = ModelAccount()
    deploy(account)
    deploy(account, file(TWO_JOBS), code="code2")
    assert is_deployed(account, file(TWO_JOBS), code="code2")
    assert (account.stack.status, account.stack.version) == ("CREATE_COMPLETE", 1)


def test_deploy_of_another_agent_makes_new_versions_and_changes_no_stack():
    account = ModelAccount()
    deploy(account)
    [change] = plan_of(account, file(), agent="agent2").changes
    assert change.words == ("agent agent1 -> agent2",)
    done = deploy(account, agent="agent2")
    assert done.uploaded == 1
    assert "agents/agent2.zip" in account.objects
    assert versions(account)["pi"].agent == Agent(key="agents/agent2.zip", sha256="agent2", size=3)
    assert (account.stack.status, account.stack.version) == ("CREATE_COMPLETE", 1)


def test_deploy_of_other_user_data_updates_the_stack():
    account = ModelAccount()
    deploy(account)
    deploy(account, user_data="b3RoZXI=")
    assert (account.stack.status, account.stack.version) == ("UPDATE_COMPLETE", 2)


def test_deploy_of_new_functions_updates_the_stack():
    account = ModelAccount()
    deploy(account)
    deploy(account, functions="functions2")
    assert (account.stack.status, account.stack.version) == ("UPDATE_COMPLETE", 2)
    assert "v2" in versions(account)["pi"].launch.template


def test_permissions_of_a_job_change_its_roles_and_its_launch():
    account = ModelAccount()
    deploy(account)
    before = versions(account)["pi"].launch
    deploy(account, file(READS))
    launch = versions(account)["pi"].launch
    assert launch.role_id.startswith("ServerRole")
    assert launch.job_role.startswith("JobRole")
    assert (before.job_role, before.role_id == launch.role_id) == ("", False)
    assert before.template.split()[0] != launch.template.split()[0]
    assert is_deployed(account, file(READS))


def test_roles_of_the_version_in_force_stay_until_the_next_change():
    account = ModelAccount()
    deploy(account)
    deploy(account, file(READS))
    assert "ServerRole" in account.stack.template["Resources"]  # a tick may have started a server with it just before
    deploy(account, file(READS), functions="functions2")
    assert "ServerRole" not in account.stack.template["Resources"]
    assert is_deployed(account, file(READS), functions="functions2")


def test_job_that_left_the_file_loses_its_schedule_and_keeps_its_history():
    account = ModelAccount()
    deploy(account, file(TWO_JOBS))
    account.objects["done/2026-11-24/2026-11-24T07:00:00Z~daily~1~succeeded"] = b""
    deploy(account)
    assert list(account.schedules) == ["pi"]
    assert isinstance(versions(account)["daily"], Removed)
    assert is_deployed(account)


def test_kill_schedules_and_the_sweepers_survive_a_deploy():
    account = ModelAccount()
    deploy(account)
    account.kill_schedules["i-1"] = account.now
    account.schedules["stray"] = {}
    account.kill_schedules["i-1"] = account.now.replace(year=2027)
    deploy(account)
    assert list(account.kill_schedules) == ["i-1"]
    assert list(account.schedules) == ["pi"]


def test_schedule_that_somebody_changed_is_restored():
    account = ModelAccount()
    deploy(account)
    account.schedules["pi"] = {**account.schedules["pi"], "State": "DISABLED"}
    assert deploy(account).schedules == 1
    assert account.schedules["pi"]["State"] == "ENABLED"


def test_versions_are_in_effect_when_the_deploy_ends():
    account = ModelAccount()
    done = deploy(account)
    assert account.now >= done.effective_from


def test_bucket_of_another_account_is_refused_and_nothing_is_made():
    account = ModelAccount(bucket_owner="999999999999")
    with pytest.raises(FileError, match="belongs to another account"):
        deploy(account)
    assert account.stack is None
    assert account.bucket_settings is None


def test_bucket_name_taken_after_the_look_is_refused():
    account = ModelAccount()
    flow = deploy_flow(file())
    stepper = Stepper(account, flow)
    while not isinstance(stepper.call, calls.CreateBucket):
        stepper.step()
    account.bucket_owner = "999999999999"
    while not stepper.over:
        stepper.step()
    assert isinstance(stepper.error, FileError)


# --- what the account has ------------------------------------------------------------------------------------------------


def test_unknown_subnet_is_named():
    account = ModelAccount()
    project = file('[network.eu-west-1]\nsubnets = ["subnet-00000000000000001", "subnet-00000000000000009"]')
    with pytest.raises(FileError, match="subnet-00000000000000009 not found"):
        deploy(account, project)
    assert account.leftovers() == {}


def test_subnets_of_two_vpcs_are_refused():
    account = ModelAccount()
    account.subnets = (*account.subnets, calls.Subnet(id="subnet-00000000000000003", vpc="vpc-2", zone="euw1-az3"))
    with pytest.raises(FileError, match="in 2 VPCs"):
        deploy(account, file('[network.eu-west-1]\nsubnets = ["subnet-00000000000000001", "subnet-00000000000000003"]'))


def test_account_without_default_vpc_is_told_to_name_subnets():
    with pytest.raises(FileError, match="no default VPC"):
        deploy(ModelAccount(default_subnets=()))


BOUNDARY = 'permissions_boundary = "arn:aws:iam::{}:policy/dev"'


def bounded(account: str = "000000000000"):
    return file(first=BOUNDARY.format(account))


def test_boundary_that_does_not_exist_is_refused_before_anything_is_made():
    account = ModelAccount()
    with pytest.raises(FileError, match=r"permissions_boundary: .*policy/dev does not exist"):
        deploy(account, bounded())
    assert account.leftovers() == {}
    account.policies.add("arn:aws:iam::000000000000:policy/dev")
    deploy(account, bounded())
    assert is_deployed(account, bounded())


def test_boundary_of_another_account_than_the_credentials_is_refused():
    account = ModelAccount(policies={"arn:aws:iam::999999999999:policy/dev"})
    with pytest.raises(FileError, match="is a policy of account 999999999999"):
        deploy(account, bounded("999999999999"))
    assert account.leftovers() == {}


def test_boundary_that_may_not_be_looked_up_is_left_to_cloudformation():
    account = ModelAccount(hides_policies=True)
    deploy(account, bounded())
    assert is_deployed(account, bounded())


def test_image_of_another_architecture_is_refused():
    account = ModelAccount()
    shown = account.images["ami-debian"]
    account.images["ami-00000000000000086"] = calls.Ec2Image(
        architecture="x86_64", root_device="/dev/sda1", owner=shown.owner, alias="", tags={}
    )
    with pytest.raises(FileError, match="image ami-00000000000000086 is for x86_64"):
        deploy(account, file('image = "ami-00000000000000086"\npython = "none"'))


def test_image_that_is_gone_is_refused():
    with pytest.raises(SupplyError, match="does not exist"):
        deploy(ModelAccount(images={}))
    with pytest.raises(SupplyError, match="does not exist"):
        deploy(ModelAccount(parameters={}))


def test_spot_role_is_made_only_when_a_job_wants_spot():
    account = ModelAccount()
    deploy(account, file(market="on-demand"))
    assert not account.spot_role


# --- the stack -----------------------------------------------------------------------------------------------------------


def test_failed_creation_names_the_resource_and_the_next_deploy_repairs_it():
    account = ModelAccount(fails_at={"CREATE": "SecurityGroup"})
    with pytest.raises(SupplyError, match="failed at SecurityGroup: model: this one fails"):
        deploy(account)
    assert account.stack.status == "ROLLBACK_COMPLETE"
    account.fails_at.clear()
    deploy(account)
    assert is_deployed(account)
    assert account.stack.id == "stack/2"


def test_failed_update_leaves_the_old_stack_and_names_its_own_failure():
    account = ModelAccount()
    deploy(account)
    account.fails_at["UPDATE"] = "Launcher"
    with pytest.raises(SupplyError, match="failed at Launcher"):
        deploy(account, functions="functions2")
    assert is_deployed(account)
    account.fails_at["UPDATE"] = "Sweeper"
    with pytest.raises(SupplyError, match="failed at Sweeper"):
        deploy(account, functions="functions2")
    account.fails_at.clear()
    deploy(account, functions="functions2")
    assert is_deployed(account, functions="functions2")


def test_stack_that_another_deploy_changes_is_left_alone():
    account = ModelAccount()
    deploy(account)
    other = Stepper(account, deploy_flow(file(), functions="functions2"))
    while account.stack.status != "UPDATE_IN_PROGRESS":
        other.step()
    with pytest.raises(UnfinishedError, match="UPDATE_IN_PROGRESS"):
        deploy(account, functions="functions3")
    while not other.over:
        other.step()
    assert other.error is None


# --- lost answers, and two at once ---------------------------------------------------------------------------------------


def positions(command) -> int:
    """Return how many calls a command makes if no answer is lost."""
    account = ModelAccount()
    command(account)
    return account.calls_answered


@pytest.mark.parametrize("when", ["before", "after"])
def test_deploy_with_any_one_answer_lost_ends_the_same(when):
    for number in range(1, positions(deploy) + 1):
        account = ModelAccount(faults={number: when})
        repeat(deploy, account)
        assert is_deployed(account), f"call {number}"
        assert account.stacks_made == 1, f"call {number}"
        assert len(account.objects) == 5, f"call {number}"


@pytest.mark.parametrize("when", ["before", "after"])
def test_update_with_any_one_answer_lost_ends_the_same(when):
    def change(account):
        return deploy(account, file(TWO_JOBS), code="code2", functions="functions2")

    ready = ModelAccount()
    deploy(ready)
    first = ready.calls_answered
    change(ready)
    for number in range(first + 1, ready.calls_answered + 1):
        account = ModelAccount()
        deploy(account)
        account.faults[number] = when
        repeat(change, account)
        assert is_deployed(account, file(TWO_JOBS), code="code2", functions="functions2"), f"call {number}"
        assert account.stacks_made == 1


def test_deploy_cut_off_anywhere_is_finished_by_the_next():
    for number in range(1, positions(deploy)):
        account = ModelAccount()
        stepper = Stepper(account, deploy_flow(file()))
        for _ in range(number):
            stepper.step()
        stepper.flow.close()
        repeat(deploy, account)
        assert is_deployed(account), f"cut off after call {number}"
        assert account.stacks_made == 1


@pytest.mark.parametrize(
    "key",
    ["jobs/x/stray", "jobs/stray", "jobs/pi/a~b~c", "jobs/pi/stray.json", "jobs/pi/9~1970-01-01T00:00:00Z~x.json"],
)
def test_stray_object_beside_the_versions_does_not_stop_a_deploy(key):
    account = ModelAccount()
    deploy(account)
    account.objects[key] = b"{"
    deploy(account, code="code2")
    assert is_deployed(account, code="code2")


@pytest.mark.parametrize("built", [{}, {"agent": "agent2"}, {"code": "code2"}])
@pytest.mark.parametrize("ahead", [1, 5, 10, 14, 20, 30])
def test_next_deploy_completes_two_concurrent_ones(ahead, built):
    account = ModelAccount()
    steppers = [Stepper(account, deploy_flow(file())), Stepper(account, deploy_flow(file(TWO_JOBS), **built))]
    for _ in range(ahead):
        if not steppers[0].over:
            steppers[0].step()
    while not all(each.over for each in steppers):
        for each in steppers:
            if not each.over:
                each.step()
    for each in steppers:
        assert each.error is None or isinstance(each.error, (UnfinishedError, Unclear)), each.error
    assert account.stacks_made == 1
    repeat(lambda account: deploy(account, file(TWO_JOBS), **built), account)
    assert is_deployed(account, file(TWO_JOBS), **built)


def test_unclear_answers_while_waiting_do_not_end_a_deploy():
    account = ModelAccount()
    stepper = Stepper(account, deploy_flow(file()))
    lost = 0
    while not stepper.over:
        is_waiting = account.stack is not None and isinstance(stepper.call, calls.FindStack)
        if is_waiting and lost < 3:
            account.faults[account.calls_answered + 1] = "before"
            lost += 1
        stepper.step()
    assert stepper.error is None
    assert lost == 3


def test_stack_that_never_settles_is_reported_as_left(monkeypatch):
    monkeypatch.setattr("model.cloudformation.STACK_TAKES_S", 10_000)
    account = ModelAccount()
    with pytest.raises(UnfinishedError, match="still CREATE_IN_PROGRESS after 15 minutes"):
        deploy(account)


def test_names_of_the_model_are_the_projects():
    assert (SCOPE.bucket, SCOPE.stack) == (BUCKET, STACK)
    assert len(["launcher", "sweeper", "bundle", "version"]) > PAGE
    with pytest.raises(DayflyError):
        ModelAccount().take_effect(calls.Get("x"))
