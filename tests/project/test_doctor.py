"""What `doctor` makes of an account: rules about quotas, free plan, clock and routes, with values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from dayfly.core import names
from dayfly.core.facts import Server
from dayfly.core.model import Project
from dayfly.core.record_json import encode
from dayfly.core.records import Heartbeat
from dayfly.errors import Refused, RightsError
from dayfly.flows import calls
from dayfly.flows.calls import Route
from dayfly.project.deploy.scope import Scope
from dayfly.project.doctor import account as account_checks
from dayfly.project.doctor import deployed, findings
from dayfly.project.doctor.account import credentials
from dayfly.project.doctor.examine import examine
from dayfly.project.doctor.findings import Finding, Level, Quota
from dayfly.project.screens.doctor import doctor_lines, for_target, to_do
from model import deploying
from model.account import ModelAccount
from model.cloud import version

NOW = datetime(2026, 11, 24, 22, 41, tzinfo=UTC)
JOB = version().job
SCOPE = Scope(project="lake", account="123456789012", region="eu-west-1", who="ben", poll_s=0)
PROJECT = Project(
    name="lake",
    account="123456789012",
    regions=("eu-west-1",),
    keep_s=1,
    tags={},
    permissions_boundary=None,
    networks={},
    jobs={"train": replace(JOB, name="train")},
)
ON_DEMAND = Quota("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "L-1216C47A")
ROUTE = Route(
    subnet="subnet-1",
    vpc="vpc-1",
    table="rtb-1",
    zone="eu-west-1a",
    free=4091,
    way_out=True,
    is_nat=False,
    has_endpoint=False,
)


def job(*servers: str, market: str = "on-demand") -> object:
    return replace(JOB, name="train", servers=servers, market=market)


def levels(found: tuple[Finding, ...]) -> list[Level]:
    return [each.level for each in found]


def test_largest_type_of_a_job_counts_against_its_quota():
    needed = findings.needs([job("c8g.large", "c8g.16xlarge")], {"c8g.large": 2, "c8g.16xlarge": 64})
    assert needed == (findings.Need("train", 64, ON_DEMAND),)


def test_spot_first_needs_both_quotas():
    needed = findings.needs([job("c8g.large", market="spot-first")], {"c8g.large": 2})
    assert [need.quota.code for need in needed] == ["L-34B43A08", "L-1216C47A"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("t4g.small", "L-1216C47A"),
        ("im4gn.large", "L-1216C47A"),
        ("is4gen.large", "L-1216C47A"),
        ("g6.xlarge", "L-DB2E81BA"),
        ("p5.48xlarge", "L-417A185B"),
        ("trn1.2xlarge", "L-2C3B7624"),
        ("inf2.xlarge", "L-1945791B"),
        ("x2gd.large", "L-7295265B"),
        ("f2.6xlarge", "L-74FC7D96"),
    ],
)
def test_family_decides_the_quota(kind: str, code: str):
    assert [need.quota.code for need in findings.needs([job(kind)], {kind: 4})] == [code]


def test_families_without_a_known_quota_are_not_counted():
    assert findings.needs([job("u-6tb1.metal")], {"u-6tb1.metal": 448}) == ()


def test_quota_that_is_too_small_names_the_request_for_more():
    needed = findings.needs([job("c8g.16xlarge")], {"c8g.16xlarge": 64})
    (found,) = findings.limits(needed, {ON_DEMAND: 5.0})
    assert found.level is Level.FAIL
    assert found.text.startswith("train needs 64 vCPUs; this account may use 5 ")
    assert "--quota-code L-1216C47A --desired-value 64" in found.remedies[0]


@pytest.mark.parametrize("allowed", [64.0, None])
def test_quota_that_suffices_or_does_not_exist_is_well(allowed: float | None):
    needed = findings.needs([job("c8g.16xlarge")], {"c8g.16xlarge": 64})
    assert levels(findings.limits(needed, {ON_DEMAND: allowed})) == [Level.OK]


def test_free_plan_refuses_a_job_without_an_allowed_type():
    assert findings.free_plan([job("c8g.large", "t4g.small")]).level is Level.OK
    found = findings.free_plan([job("c8g.large")])
    assert found.level is Level.FAIL
    assert "t4g.small" in found.remedies[0]


@pytest.mark.parametrize(
    ("seconds", "level"), [(0, Level.OK), (-4, Level.OK), (41, Level.WARN), (-41, Level.WARN), (300, Level.FAIL)]
)
def test_clock_that_is_off_is_named(seconds: int, level: Level):
    assert findings.clock(NOW + timedelta(seconds=seconds), NOW).level is level


def test_clock_says_in_which_direction_it_is_off():
    assert "41 s ahead of AWS" in findings.clock(NOW + timedelta(seconds=41), NOW).text
    assert "41 s behind AWS" in findings.clock(NOW - timedelta(seconds=41), NOW).text


@pytest.mark.parametrize(
    ("route", "public_ip", "well"),
    [
        (ROUTE, True, True),
        (ROUTE, False, False),
        (replace(ROUTE, is_nat=True), False, True),
        (replace(ROUTE, has_endpoint=True), False, True),
        (replace(ROUTE, way_out=False), True, False),
        (replace(ROUTE, way_out=False, has_endpoint=True), True, True),
        (replace(ROUTE, free=0), True, False),
    ],
)
def test_subnet_needs_a_way_to_s3_and_an_address(route: Route, public_ip: bool, well: bool):
    found = findings.network("eu-west-1", (route,), public_ip=public_ip)
    assert (Level.FAIL not in levels(found)) == well


def test_missing_route_names_a_command_with_its_ids():
    (found,) = findings.network("eu-west-1", (replace(ROUTE, way_out=False),), public_ip=True)
    assert "--vpc-id vpc-1 --route-table-ids rtb-1" in found.remedies[0]


def test_unknown_is_not_well():
    assert to_do([findings.ok("clock", ""), Finding(level=Level.UNKNOWN, subject="plan", text="may not look")])
    assert not to_do([findings.ok("clock", ""), findings.warn("clock", "")])


def test_screen_counts_what_is_to_be_done():
    found = [findings.fail("limits", "too small", "ask for more", "or less"), findings.warn("clock", "41 s")]
    assert doctor_lines(found, "dayfly doctor", "dayfly deploy") == (
        "FAIL  limits        too small",
        "                    do  ask for more",
        "                        or less",
        "warn  clock         41 s",
        "1 to do, 1 warning",
        "next  dayfly doctor",
    )


def test_commands_of_dayfly_carry_the_local_option():
    found = findings.fail("stack", "", "dayfly deploy   (starts it)", "aws iam x")
    assert for_target(found, local=True).remedies == ("dayfly deploy --local   (starts it)", "aws iam x")
    assert for_target(found, local=False) == found


def answered(flow, answers):
    """Run a flow with these answers by type of call; an exception is thrown into it. Other calls are refused."""
    try:
        call = next(flow)
        while True:
            answer = answers.get(type(call), Refused(f"{type(call).__name__} is not answered"))
            if isinstance(answer, Exception):
                call = flow.throw(answer)
            else:
                call = flow.send(answer)
    except StopIteration as stop:
        return stop.value


def test_what_aws_does_not_say_is_unknown_and_stops_no_other_check():
    answers = {
        calls.FindStack: calls.NoStack(),
        calls.FindPlan: RightsError("FindPlan: AccessDenied", hint="ask for it"),
        calls.FindClock: NOW,
        calls.Now: NOW,
    }
    whose = findings.ok("credentials", "ben")
    found = answered(examine(SCOPE, PROJECT, whose, ZoneInfo), answers)
    by_subject = {each.subject: each for each in found}
    assert by_subject["plan"].level is Level.UNKNOWN
    assert by_subject["plan"].text == "may not look: FindPlan: AccessDenied"
    assert by_subject["limits"].level is Level.UNKNOWN
    assert by_subject["clock"].level is Level.OK
    assert found[-1].level is Level.LATER


def test_credentials_of_another_account_end_the_examination():
    whose = credentials(SCOPE, replace(PROJECT, account="999999999999"), is_local=False)
    assert whose.level is Level.FAIL
    assert answered(examine(SCOPE, PROJECT, whose, ZoneInfo), {}) == (whose,)


def test_sweeper_that_is_silent_is_a_failure():
    beat = Heartbeat(at=NOW - timedelta(minutes=16), ended=0, open_runs=0, kept="")
    answers = {
        calls.Now: NOW,
        calls.Get: calls.Stored(body=encode(beat), etag="1"),
        calls.FindAlarms: (calls.Alarm(name="a", state="OK", enabled=True),),
    }
    (found,) = answered(deployed.sweeper(SCOPE, PROJECT), answers)
    assert found.level is Level.FAIL
    assert "16m00s" in found.text


def test_server_past_its_deadline_is_a_stray():
    late = Server(
        id="i-1",
        state="running",
        launched=NOW - timedelta(hours=2),
        type="",
        zone="",
        market="",
        image="",
        tags={names.TAG_DEADLINE: names.utc_text(NOW - timedelta(minutes=8))},
    )
    in_time = replace(late, tags={names.TAG_DEADLINE: names.utc_text(NOW - timedelta(minutes=6))})
    for server, level in ((late, Level.FAIL), (in_time, Level.OK), (replace(late, state="terminated"), Level.OK)):
        answers = {calls.Now: NOW, calls.ListServers: (server,), calls.FindStrays: ()}
        assert levels(answered(deployed.strays(SCOPE, PROJECT), answers)) == [level]


def test_address_that_is_not_confirmed_is_told_nothing():
    waiting = calls.Subscription(address="data@acme.example", confirmed=False)
    (found,) = answered(deployed.told(SCOPE, PROJECT), {calls.FindSubscriptions: (waiting,)})
    assert found.level is Level.FAIL


def failures(account: ModelAccount) -> list[str]:
    """Return the subjects of doctor's failures about the project that the other tests deploy."""
    found = account.run(examine(deploying.SCOPE, deploying.file(), findings.ok("credentials", "ben"), ZoneInfo))
    return [each.subject for each in found if each.level in (Level.FAIL, Level.UNKNOWN)]


def test_healthy_account_is_well_before_and_after_a_deploy():
    account = ModelAccount(spot_role=True)
    assert failures(account) == []
    deploying.deploy(account)
    assert failures(account) == []


def test_faults_of_a_deployed_project_are_found():
    account = ModelAccount()
    deploying.deploy(account)
    account.plan, account.quota, account.ways_out = "free", 1.0, False
    for name in list(account.schedules):
        del account.schedules[name]
    assert {"plan", "limits", "network", "schedules"} <= set(failures(account))


def test_right_that_a_deploy_needs_and_the_caller_lacks_is_a_failure():
    account = ModelAccount(spot_role=True, denied=("cloudformation:CreateStack",))
    found = account.run(examine(deploying.SCOPE, deploying.file(), findings.ok("credentials", "ben"), ZoneInfo))
    (rights,) = [each for each in found if each.subject == "rights"]
    assert rights.level is Level.FAIL
    assert rights.text == "may not cloudformation:CreateStack"


def test_patterns_of_actions_are_not_simulated():
    asked = []
    answers = {calls.FindDenied: ()}

    def answer(flow):
        call = next(flow)
        asked.append(call)
        try:
            flow.send(answers[type(call)])
        except StopIteration as stop:
            return stop.value

    (found,) = answer(account_checks.rights(SCOPE, PROJECT))
    assert found.level is Level.OK
    (call,) = asked
    assert [action for each in call.wanted for action in each.actions if "*" in action] == []
