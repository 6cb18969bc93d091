"""The template of the stack: AWS's linter finds nothing, and its roles may do no more than they need."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from dayfly.core import names
from dayfly.core.notification import Receivers
from dayfly.core.permission_sets import MOST_SETS, PermissionSet
from dayfly.project.deploy.packages import PACKAGE, build_user_data
from dayfly.project.stack import template
from dayfly.project.stack.change import INLINE_BYTES
from dayfly.project.stack.given import ServerKind, StackInput
from project.rendering import render
from project.stack_input import DEBIAN, GIVEN

OWN_NETWORK = replace(
    GIVEN, vpc=None, security_groups=("sg-0123456789abcdef0",), public_ip=False, permissions_boundary=None
)

LARGE = replace(
    GIVEN,
    tags={f"CostCenter{number}": "accounting-department" for number in range(5)},
    kinds=tuple(
        ServerKind(image=replace(DEBIAN, name=f"ami-{number:017x}", image_id=f"ami-{number:017x}"))
        for number in range(6)
    ),
    user_data=build_user_data(PACKAGE),
)
"""Six images and five tags: more than most projects have."""


def granted(number: int) -> PermissionSet:
    """Return one of several permission sets that have everything."""
    return PermissionSet(
        reads=(f"s3://acme-raw/events-{number}/", "job:ingest"), writes=("s3://acme-lake/",), secrets=("ssm:/lake/db",)
    )


def with_sets(count: int) -> StackInput:
    return replace(GIVEN, kinds=tuple(ServerKind(image=DEBIAN, permissions=granted(number)) for number in range(count)))


RIGHTS = with_sets(2)


def role(name: str, given: StackInput = GIVEN) -> list[dict]:
    return template.build(given)["Resources"][name]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]


def actions(statements: list[dict]) -> set[str]:
    return {action for statement in statements for action in statement["Action"]}


@pytest.mark.parametrize("given", [GIVEN, OWN_NETWORK, RIGHTS], ids=["default network", "own network", "permissions"])
def test_cfn_lint_finds_nothing(given, tmp_path):
    path = tmp_path / "stack.json"
    path.write_text(template.text(template.build(given)))
    lint = Path(sys.executable).parent / "cfn-lint"
    said = subprocess.run([str(lint), str(path)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout


def test_template_of_a_large_project_fits_into_the_request():
    text = template.text(template.build(LARGE))
    assert text.count(LARGE.user_data) == 1
    assert len(text.encode()) < INLINE_BYTES


def test_order_of_kinds_does_not_change_the_template():
    turned = replace(GIVEN, kinds=GIVEN.kinds[::-1])
    assert template.digest(template.build(GIVEN)) == template.digest(template.build(turned))


def test_launcher_can_start_but_not_terminate_servers():
    assert "ec2:CreateFleet" in actions(role("LauncherRole"))
    assert not {action for action in actions(role("LauncherRole")) if "Terminate" in action or "Stop" in action}


def test_owner_of_an_image_is_asked_of_run_instances_alone():
    for name in ("LauncherRole", "SweeperRole"):
        asking = [each for each in role(name) if "ec2:Owner" in each.get("Condition", {}).get("StringEquals", {})]
        assert [each["Action"] for each in asking] == [["ec2:RunInstances"]]


def test_shared_subnets_and_groups_may_be_of_any_account():
    policy = render(template.build(GIVEN))["LauncherRole"]["Policies"][0]["PolicyDocument"]
    resources = [each for statement in policy["Statement"] for each in statement["Resource"]]
    of_any = [each for each in resources if ":ec2:" in each and each.split(":")[4] == "*"]
    assert of_any == ["arn:aws:ec2:eu-west-1:*:subnet/*", "arn:aws:ec2:eu-west-1:*:security-group/*"]


def test_roles_terminate_only_servers_of_this_project():
    for name in ("SweeperRole", "KillRole"):
        ends = [statement for statement in role(name) if "ec2:TerminateInstances" in statement["Action"]]
        assert [each["Condition"] for each in ends] == [{"StringEquals": {"aws:ResourceTag/dayfly:project": "lake"}}]


def test_server_writes_only_under_its_own_id_and_lists_nothing():
    statements = role("ServerRole")
    assert actions(statements) == {"s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject"}
    resources = [resource["Fn::Sub"] for statement in statements for resource in statement["Resource"]]
    assert all("${!aws:userid}" in resource for resource in resources)


def test_no_role_can_change_a_template_a_role_or_a_function():
    for name in ("LauncherRole", "SweeperRole", "ServerRole", "ScheduleRole", "KillRole"):
        changing = [
            action
            for action in actions(role(name))
            if action.startswith(("iam:", "lambda:", "ec2:"))
            and any(verb in action for verb in ("Update", "Modify", "Put", "Attach"))
        ]
        assert not changing
        assert "ec2:CreateLaunchTemplateVersion" not in actions(role(name))


def test_project_without_permissions_has_one_server_role_and_no_job_role():
    resources = template.build(GIVEN)["Resources"]
    assert [name for name in resources if "Server" in name] == ["ServerRole", "ServerProfile"]
    assert not [name for name in resources if name.startswith(("JobRole", "Assume"))]


def test_each_permission_set_has_its_roles_and_templates():
    built = template.build(with_sets(3))
    for number in range(3):
        own = granted(number).id
        trusted = built["Resources"][f"JobRole{own}"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert [each["Principal"] for each in trusted] == [{"AWS": {"Fn::GetAtt": [f"ServerRole{own}", "Arn"]}}]
        assume = built["Resources"][f"Assume{own}"]["Properties"]
        assert assume["Roles"] == [{"Ref": f"ServerRole{own}"}]
        [statement] = assume["PolicyDocument"]["Statement"]
        assert statement["Resource"] == [{"Fn::GetAtt": [f"JobRole{own}", "Arn"]}]
        data = built["Resources"][f"{DEBIAN.logical_id}{own}"]["Properties"]["LaunchTemplateData"]
        assert data["IamInstanceProfile"] == {"Arn": {"Fn::GetAtt": [f"ServerProfile{own}", "Arn"]}}
        assert {f"ServerRole{own}Id", f"JobRole{own}Arn", f"{DEBIAN.logical_id}{own}Id"} <= set(built["Outputs"])


def test_launcher_passes_the_servers_roles_and_no_others():
    statements = template.build(with_sets(3))["Resources"]["LauncherRole"]["Properties"]["Policies"][0]
    passed = [
        resource["Fn::GetAtt"][0]
        for each in statements["PolicyDocument"]["Statement"]
        if each["Action"] == ["iam:PassRole"]
        for resource in each["Resource"]
    ]
    assert sorted(passed) == sorted([*(f"ServerRole{granted(number).id}" for number in range(3)), "KillRole"])


def test_template_with_as_many_permission_sets_as_allowed_is_not_too_large():
    built = template.build(replace(with_sets(2 * MOST_SETS), project="x" * 24))
    assert len(template.text(built)) < 500_000  # CloudFormation reads 1 MB from S3
    assert len(built["Resources"]) < 500
    assert len(built["Outputs"]) < 200
    for name in ("LauncherRole", "SweeperRole"):
        policy = render(built)[name]["Policies"][0]["PolicyDocument"]
        assert len(json.dumps(policy, separators=(",", ":"))) < 10_240


def test_power_off_terminates_and_metadata_is_imdsv2_only():
    data = template.build(GIVEN)["Resources"][DEBIAN.logical_id]["Properties"]["LaunchTemplateData"]
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert data["MaintenanceOptions"] == {"AutoRecovery": "disabled"}
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert data["MetadataOptions"]["InstanceMetadataTags"] == "enabled"


def test_roles_have_the_boundary_and_everything_the_tag():
    resources = template.build(GIVEN)["Resources"]
    roles = [each for each in resources.values() if each["Type"] == "AWS::IAM::Role"]
    assert {each["Properties"]["PermissionsBoundary"] for each in roles} == {GIVEN.permissions_boundary}
    for each in resources.values():
        tags = each["Properties"].get("Tags")
        if tags is not None:
            assert {"Key": names.TAG_PROJECT, "Value": "lake"} in tags
            assert {"Key": "CostCenter", "Value": "lake"} in tags


def test_role_policies_stay_under_iams_size_limit():
    for name in ("LauncherRole", "SweeperRole"):
        assert len(json.dumps(role(name)).replace(" ", "")) < 10_240


def test_rule_sends_the_ends_of_servers_to_the_sweeper():
    resources = template.build(GIVEN)["Resources"]
    rule = resources["StateChanges"]["Properties"]
    assert rule["EventPattern"] == {
        "source": ["aws.ec2"],
        "detail-type": ["EC2 Instance State-change Notification"],
        "detail": {"state": ["stopped", "terminated"]},
    }
    [target] = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["Sweeper", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}


def test_rule_comes_after_what_lets_it_deliver():
    resources = template.build(GIVEN)["Resources"]
    rule = resources["StateChanges"]
    arn = resources["StateChangesInvoke"]["Properties"]["SourceArn"]
    assert sorted(rule["DependsOn"]) == ["StateChangesInvoke", "StateChangesLeave"]
    assert arn["Fn::Sub"].endswith(f":rule/{rule['Properties']['Name']}")
    [statement] = resources["StateChangesLeave"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": arn}}
    assert resources["StateChangesInvoke"]["Properties"]["Principal"] == "events.amazonaws.com"


def test_sweeper_is_not_retried_so_a_bad_event_is_one_dead_letter():
    retries = template.build(GIVEN)["Resources"]["SweeperAsync"]["Properties"]
    assert retries["MaximumRetryAttempts"] == 0
    assert retries["DestinationConfig"] == {"OnFailure": {"Destination": {"Fn::GetAtt": ["DeadLetters", "Arn"]}}}


def test_each_address_is_subscribed_to_the_topic_that_the_alarms_use():
    resources = template.build(GIVEN)["Resources"]
    subscriptions = [each["Properties"] for each in resources.values() if each["Type"] == "AWS::SNS::Subscription"]
    assert subscriptions == [{"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": "data@acme.example"}]
    alarms = [each["Properties"] for each in resources.values() if each["Type"] == "AWS::CloudWatch::Alarm"]
    assert {json.dumps(each["AlarmActions"]) for each in alarms} == {'[{"Ref": "Topic"}]'}


def test_only_the_sweeper_tells_people_and_reads_the_key():
    for name in ("SweeperRole", "LauncherRole", "ServerRole", "ScheduleRole", "KillRole"):
        tells = name == "SweeperRole"
        assert ("sns:Publish" in actions(role(name))) is tells
        assert ("notify-key" in json.dumps(role(name))) is tells
    variables = {
        name: template.build(GIVEN)["Resources"][name]["Properties"]["Environment"]["Variables"]
        for name in ("Launcher", "Sweeper")
    }
    assert json.loads(variables["Sweeper"][names.ENV_NOTIFY]) == ["data@acme.example", "https://hooks.example/x"]
    assert names.ENV_NOTIFY not in variables["Launcher"]


def test_most_addresses_fit_into_the_sweepers_environment():
    longest = tuple(f"https://{number}.example/".ljust(250, "x") for number in range(10))
    given = replace(GIVEN, notify=Receivers(addresses=longest))
    text = json.dumps(template.build(given)["Resources"]["Sweeper"]["Properties"]["Environment"]["Variables"])
    assert len(text) < 3500  # Lambda takes 4 KB


def test_sweeper_copies_results_only_to_the_places_that_jobs_name():
    given = replace(GIVEN, results=("project", "s3://acme-lake/ingest"))
    [copying] = [each for each in role("SweeperRole", given) if "s3:AbortMultipartUpload" in each["Action"]]
    assert [resource["Fn::Sub"].partition(":::")[2] for resource in copying["Resource"]] == [
        f"{GIVEN.bucket}/results/*",
        "acme-lake/ingest/*",
    ]
    assert not [each for each in role("SweeperRole") if "s3:AbortMultipartUpload" in each["Action"]]
