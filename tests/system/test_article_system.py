"""The article's system, deployed by the AWS CLI as its README says: runs by hand and by schedule, permissions, removal."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime, timedelta

import pytest

from system.article import ArticleSystem, check_result, until

pytestmark = pytest.mark.cloud

# A function that asks EC2 for a server as the launcher's role, with DryRun; it answers with the error code.
DRY_RUN = """
import boto3
from botocore.exceptions import ClientError
def handler(event, context):
    try:
        boto3.client("ec2").run_instances(MinCount=1, MaxCount=1, DryRun=True, **event)
    except ClientError as error:
        return error.response["Error"]["Code"]
"""


TRUST = """{
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}"""


def tags(kind):
    return {"ResourceType": kind, "Tags": [{"Key": "stack", "Value": "mine"}]}


def swap(system, profile, before, after):
    iam = system.client("iam")
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=before)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=after)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """The system, deployed to run every minute."""
    deployed = ArticleSystem(tmp_path_factory.mktemp("article") / "article")
    deployed.up()
    deployed.deploy(schedule="rate(1 minute)")
    yield deployed
    deployed.down()


@pytest.fixture(scope="module")
def dry_run(system):
    """Request the launcher's own server with changes, as a dry run; the answer is EC2's error code."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("dry_run.py", DRY_RUN)
    functions = system.client("lambda")
    own = functions.get_function_configuration(FunctionName=system.output("Function"))
    functions.create_function(
        FunctionName="dry-run",
        Runtime="python3.13",
        Handler="dry_run.handler",
        Timeout=60,
        Role=own["Role"],
        Code={"ZipFile": code.getvalue()},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="dry-run", WaiterConfig={"Delay": 1})
    settings = own["Environment"]["Variables"]
    usual = {
        "ImageId": settings["IMAGE_ID"],
        "InstanceType": settings["INSTANCE_TYPE"],
        "IamInstanceProfile": {"Arn": settings["INSTANCE_PROFILE"]},
    }

    def ask(**changed):
        answer = functions.invoke(FunctionName="dry-run", Payload=json.dumps(usual | changed))
        return json.loads(answer["Payload"].read())

    yield ask
    functions.delete_function(FunctionName="dry-run")


def test_server_started_by_hand_stores_and_is_terminated(system):
    said = system.readme("run")
    server = system.answered()["instance"]
    assert server in said
    system.gone(server)
    check_result(system, server)
    looked = system.readme("look")
    assert f"{server}\tterminated" in looked
    assert f"pi/{server}.txt" in looked
    assert any(f"server {server} image ami-" in line for line in system.log())


def test_same_event_launches_nothing_even_after_its_server(system):
    event = {"id": "one-event"}
    first = system.invoke(event)
    assert system.invoke(event) == first
    system.gone(first["instance"])
    assert system.invoke(event) == first
    assert any(f"nothing launched: token {first['token']}" in line for line in system.log())
    assert len([one for one in system.servers().values() if one["ClientToken"] == first["token"]]) == 1
    other = system.invoke({"id": "another-event"})
    assert other["instance"] != first["instance"]


def test_launcher_may_launch_this_server_only(system, dry_run):
    assert dry_run() == "DryRunOperation"
    parameter = "/aws/service/debian/release/12/latest/amd64"
    image = system.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    assert dry_run(ImageId=image) == "UnauthorizedOperation"
    assert dry_run(InstanceType="t3.large") == "UnauthorizedOperation"
    system.client("iam").create_instance_profile(InstanceProfileName="other")
    assert dry_run(IamInstanceProfile={"Name": "other"}) == "UnauthorizedOperation"
    assert dry_run(TagSpecifications=[tags("volume")]) == "UnauthorizedOperation"
    assert dry_run(TagSpecifications=[tags("instance")]) == "DryRunOperation"


def test_launcher_may_pass_the_servers_role_only(system, dry_run):
    profile, role = system.resource("ServerProfile"), system.resource("ServerRole")
    system.client("iam").create_role(RoleName="mighty", AssumeRolePolicyDocument=TRUST)
    swap(system, profile, role, "mighty")
    try:
        assert dry_run() == "UnauthorizedOperation"
    finally:
        swap(system, profile, "mighty", role)
    assert dry_run() == "DryRunOperation"


@pytest.mark.slow
def test_schedule_starts_a_server(system):
    until(lambda: bool(set(system.servers()) - system.by_hand), 240, lambda: "\n".join(system.log()))
    server = min(set(system.servers()) - system.by_hand)
    system.gone(server)
    check_result(system, server)


def test_redeployed_schedule_fires_at_23_00(system):
    system.deploy(schedule="cron(0 23 * * ? *)")
    before = set(system.servers())
    now = datetime.fromisoformat(system.clock()["now"])
    due = now.replace(hour=23, minute=0, second=0, microsecond=0)
    # Far enough ahead that it does not fire by itself before the clock stands two minutes before it.
    if due - now < timedelta(minutes=10):
        due += timedelta(days=1)
    advanced = system.clock({"advance": (due - now).total_seconds() - 120})
    assert set(system.servers()) <= before, advanced
    system.clock({"advance": 130})
    until(lambda: bool(set(system.servers()) - before), 60, lambda: "\n".join(system.log()))
    [server] = set(system.servers()) - before
    system.gone(server)
    check_result(system, server)


def test_removal_leaves_nothing(system):
    until(lambda: all(one["State"]["Name"] == "terminated" for one in system.servers().values()), 120)
    system.readme("remove")
    assert system.client("s3").list_buckets()["Buckets"] == []
    left = [one["FunctionName"] for one in system.client("lambda").list_functions()["Functions"]]
    left += [one["Name"] for one in system.client("events").list_rules()["Rules"]]
    left += [one["logGroupName"] for one in system.client("logs").describe_log_groups()["logGroups"]]
    left += [one["RoleName"] for one in system.client("iam").list_roles()["Roles"]]
    left += [one["InstanceProfileName"] for one in system.client("iam").list_instance_profiles()["InstanceProfiles"]]
    assert [name for name in left if "pi" in name] == []
