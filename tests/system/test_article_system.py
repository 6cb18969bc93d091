"""The article's system deployed by the AWS CLI as its README says: by hand, by its schedule, within its rights, and away."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime, timedelta

import pytest

from system.outside import Outside, has_computed, until

pytestmark = pytest.mark.cloud

# Asks EC2 for a server as the launcher's role, without launching it; the error's code is the answer.
ASKS = """
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
    """Deployed to fire every minute."""
    outside = Outside(tmp_path_factory.mktemp("outside") / "article")
    outside.up()
    outside.deploy(schedule="rate(1 minute)")
    yield outside
    outside.down()


@pytest.fixture(scope="module")
def asks(system):
    """Asks for the launcher's own server with some of it changed; EC2's word."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("asks.py", ASKS)
    functions = system.client("lambda")
    own = functions.get_function_configuration(FunctionName=system.output("Function"))
    functions.create_function(
        FunctionName="asks",
        Runtime="python3.13",
        Handler="asks.handler",
        Timeout=60,
        Role=own["Role"],
        Code={"ZipFile": code.getvalue()},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName="asks", WaiterConfig={"Delay": 1})
    settings = own["Environment"]["Variables"]
    usual = {
        "ImageId": settings["IMAGE_ID"],
        "InstanceType": settings["INSTANCE_TYPE"],
        "IamInstanceProfile": {"Arn": settings["INSTANCE_PROFILE"]},
    }

    def ask(**changed):
        answer = functions.invoke(FunctionName="asks", Payload=json.dumps(usual | changed))
        return json.loads(answer["Payload"].read())

    yield ask
    functions.delete_function(FunctionName="asks")


def test_fired_by_hand_a_server_computes_stores_and_is_terminated(system):
    said = system.readme("run")
    server = system.answered()["instance"]
    assert server in said
    system.gone(server)
    has_computed(system, server)
    looked = system.readme("look")
    assert f"{server}\tterminated" in looked
    assert f"pi/{server}.txt" in looked
    assert any(f"server {server} image ami-" in line for line in system.log())


def test_the_same_event_again_launches_nothing_not_even_when_its_server_is_gone(system):
    event = {"id": "one-event"}
    first = system.invoke(event)
    assert system.invoke(event) == first
    system.gone(first["instance"])
    assert system.invoke(event) == first
    assert any(f"nothing launched: token {first['token']}" in line for line in system.log())
    assert len([one for one in system.servers().values() if one["ClientToken"] == first["token"]]) == 1
    other = system.invoke({"id": "another-event"})
    assert other["instance"] != first["instance"]


def test_the_launcher_may_launch_this_server_and_no_other(system, asks):
    assert asks() == "DryRunOperation"
    parameter = "/aws/service/debian/release/12/latest/amd64"
    image = system.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
    assert asks(ImageId=image) == "UnauthorizedOperation"
    assert asks(InstanceType="t3.large") == "UnauthorizedOperation"
    system.client("iam").create_instance_profile(InstanceProfileName="other")
    assert asks(IamInstanceProfile={"Name": "other"}) == "UnauthorizedOperation"
    assert asks(TagSpecifications=[tags("volume")]) == "UnauthorizedOperation"
    assert asks(TagSpecifications=[tags("instance")]) == "DryRunOperation"


def test_the_launcher_may_give_away_no_role_but_the_servers(system, asks):
    profile, role = system.resource("ServerProfile"), system.resource("ServerRole")
    system.client("iam").create_role(RoleName="mighty", AssumeRolePolicyDocument=TRUST)
    swap(system, profile, role, "mighty")
    try:
        assert asks() == "UnauthorizedOperation"
    finally:
        swap(system, profile, "mighty", role)
    assert asks() == "DryRunOperation"


@pytest.mark.slow
def test_its_schedule_does_the_same_by_itself(system):
    until(lambda: bool(set(system.servers()) - system.by_hand), 240, lambda: "\n".join(system.log()))
    server = min(set(system.servers()) - system.by_hand)
    system.gone(server)
    has_computed(system, server)


def test_deployed_again_with_the_articles_own_schedule_it_fires_at_23_00(system):
    system.deploy(schedule="cron(0 23 * * ? *)")
    before = set(system.servers())
    now = datetime.fromisoformat(system.clock()["now"])
    due = now.replace(hour=23, minute=0, second=0, microsecond=0)
    # Far enough off that it can not come by itself while the clock is turned to two minutes before it.
    due += timedelta(days=1) if due - now < timedelta(minutes=10) else timedelta()
    turned = system.clock({"advance": (due - now).total_seconds() - 120})
    assert set(system.servers()) <= before, turned
    system.clock({"advance": 130})
    until(lambda: bool(set(system.servers()) - before), 60, lambda: "\n".join(system.log()))
    [server] = set(system.servers()) - before
    system.gone(server)
    has_computed(system, server)


def test_it_is_removed_without_a_trace(system):
    until(lambda: all(one["State"]["Name"] == "terminated" for one in system.servers().values()), 120)
    system.readme("remove")
    assert system.client("s3").list_buckets()["Buckets"] == []
    left = [one["FunctionName"] for one in system.client("lambda").list_functions()["Functions"]]
    left += [one["Name"] for one in system.client("events").list_rules()["Rules"]]
    left += [one["logGroupName"] for one in system.client("logs").describe_log_groups()["logGroups"]]
    left += [one["RoleName"] for one in system.client("iam").list_roles()["Roles"]]
    left += [one["InstanceProfileName"] for one in system.client("iam").list_instance_profiles()["InstanceProfiles"]]
    assert [name for name in left if "pi" in name] == []
