"""The article's system deployed by the AWS CLI as its README says: by hand, by its schedule, within its rights, and away."""

from __future__ import annotations

import json
import zipfile

import pytest
from outside import Outside, has_computed, until

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


TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


def tags(kind):
    return {"ResourceType": kind, "Tags": [{"Key": "stack", "Value": "mine"}]}


def swap(system, profile, before, after):
    words = f"role-from-instance-profile --instance-profile-name {profile} --role-name {before}"
    system.aws(f"iam remove-{words}")
    system.aws(f"iam add-role-to-instance-profile --instance-profile-name {profile} --role-name {after}")


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
    with zipfile.ZipFile(system.home / "asks.zip", "w") as archive:
        archive.writestr("asks.py", ASKS)
    own = system.aws(f"lambda get-function-configuration --function-name {system.output('Function')}")
    system.aws(
        f"lambda create-function --function-name asks --runtime python3.13 --handler asks.handler --timeout 60"
        f" --role {own['Role']} --zip-file fileb://asks.zip"
    )
    settings = own["Environment"]["Variables"]

    def ask(**changed):
        asked = {
            "ImageId": settings["IMAGE_ID"],
            "InstanceType": settings["INSTANCE_TYPE"],
            "IamInstanceProfile": {"Arn": settings["INSTANCE_PROFILE"]},
        }
        (system.home / "asked.json").write_text(json.dumps(asked | changed))
        system.aws("lambda invoke --function-name asks --payload fileb://asked.json asked-answer.json")
        return json.loads((system.home / "asked-answer.json").read_text())

    return ask


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
    image = system.aws(f"ssm get-parameter --name {parameter}")["Parameter"]["Value"]
    assert asks(ImageId=image) == "UnauthorizedOperation"
    assert asks(InstanceType="t3.large") == "UnauthorizedOperation"
    system.aws("iam create-instance-profile --instance-profile-name other")
    assert asks(IamInstanceProfile={"Name": "other"}) == "UnauthorizedOperation"
    assert asks(TagSpecifications=[tags("volume")]) == "UnauthorizedOperation"
    assert asks(TagSpecifications=[tags("instance")]) == "DryRunOperation"


def test_the_launcher_may_give_away_no_role_but_the_servers(system, asks):
    profile, role = system.resource("ServerProfile"), system.resource("ServerRole")
    (system.home / "trust.json").write_text(json.dumps(TRUST))
    system.aws("iam create-role --role-name mighty --assume-role-policy-document file://trust.json")
    swap(system, profile, role, "mighty")
    try:
        assert asks() == "UnauthorizedOperation"
    finally:
        swap(system, profile, "mighty", role)
    assert asks() == "DryRunOperation"


def test_its_schedule_does_the_same_by_itself(system):
    until(lambda: bool(set(system.servers()) - system.by_hand), 240, lambda: "\n".join(system.log()))
    server = min(set(system.servers()) - system.by_hand)
    system.gone(server)
    has_computed(system, server)


def test_it_is_removed_without_a_trace(system):
    system.deploy(schedule="cron(0 23 * * ? *)")
    until(lambda: all(one["State"]["Name"] == "terminated" for one in system.servers().values()), 120)
    system.shell("aws lambda delete-function --function-name asks")
    system.readme("remove")
    assert system.aws("s3api list-buckets")["Buckets"] == []
    assert system.aws("lambda list-functions")["Functions"] == []
    assert system.aws("events list-rules")["Rules"] == []
    assert system.aws("logs describe-log-groups --log-group-name-prefix pi")["logGroups"] == []
    roles = {one["RoleName"] for one in system.aws("iam list-roles")["Roles"]}
    assert [name for name in roles if name.startswith("pi-")] == []
    profiles = system.aws("iam list-instance-profiles")["InstanceProfiles"]
    assert [one["InstanceProfileName"] for one in profiles if one["InstanceProfileName"].startswith("pi-")] == []
