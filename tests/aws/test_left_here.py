"""The trial's clean-up: it touches nothing but the trial's own, and tells what is left however much goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from acceptance import left
from acceptance.place import TAG, Place
from trial_here import ACCOUNT, REGION, Here

TOML = """
project = "lake"
regions = ["eu-west-1"]

[jobs.a]
command = "true"
servers = ["c8g.large"]
bundle = []
"""
NAME = "accept-0123abcd"
TOPIC = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})


def tagged(value: str) -> list[dict[str, str]]:
    return [{"Key": TAG, "Value": value}]


def launch(here: Here, value: str) -> str:
    ec2 = here.client("ec2")
    image = here.client("ssm").get_parameter(
        Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    )
    made = ec2.run_instances(
        ImageId=image["Parameter"]["Value"],
        InstanceType="t3.nano",
        MinCount=1,
        MaxCount=1,
        UserData="#!/bin/sh\nsleep 600\n",
        TagSpecifications=[{"ResourceType": "instance", "Tags": tagged(value)}],
    )
    return str(made["Instances"][0]["InstanceId"])


def state(here: Here, server: str) -> str:
    told = here.client("ec2").describe_instances(InstanceIds=[server])
    return str(told["Reservations"][0]["Instances"][0]["State"]["Name"])


def profile(place: Place, region: str) -> str:
    """A role and a profile as a trial of that region makes them."""
    iam, name = place.client("iam"), f"dayfly-{NAME}-{region}"
    iam.create_role(Path=left.IAM_PATH, RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.create_instance_profile(Path=left.IAM_PATH, InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.mark.cloud
@pytest.mark.slow
def test_clean_leaves_alone_what_merely_carries_the_tag_and_the_project_its_value_names(here: Here) -> None:
    (here.folder / "dayfly.toml").write_text(TOML)
    deploy = [sys.executable, "-m", "dayfly", "deploy", "--local", "--yes"]
    done = subprocess.run(deploy, cwd=here.folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (here.folder / "dayfly.toml").unlink()
    theirs = [launch(here, value) for value in ("passed", "", f"{NAME}-2")]
    own = launch(here, NAME)
    stacks = here.client("cloudformation")
    for name, value in (("other", "lake"), ("another", NAME), (f"dayfly-{NAME}", "lake")):
        stacks.create_stack(StackName=name, TemplateBody=TOPIC, Tags=tagged(value))
    for name in (f"dayfly-{NAME}", f"dayfly-{NAME}-lake-{ACCOUNT}-{REGION}"):
        here.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    assert {(one.kind, one.id) for one in here.left()} == {("server", own)}
    code, _out, err = here.run("--clean")
    assert code == 0, err
    assert state(here, own) in ("shutting-down", "terminated")
    assert {state(here, one) for one in theirs} <= {"pending", "running"}
    there = {one["StackName"]: one["StackStatus"] for one in stacks.describe_stacks()["Stacks"]}
    assert set(there) == {"dayfly-lake", "other", "another", f"dayfly-{NAME}"}
    assert set(there.values()) == {"CREATE_COMPLETE"}
    assert f"dayfly-lake-{ACCOUNT}-{REGION}" in {one["Name"] for one in here.client("s3").list_buckets()["Buckets"]}


@pytest.mark.cloud
def test_clean_in_one_region_leaves_roles_and_profiles_of_a_trial_in_another(here: Here) -> None:
    near, far = here.place(REGION), here.place("us-west-2")
    mine, other = profile(near, REGION), profile(far, "us-west-2")
    assert {one.id for one in left.found(near)} == {mine}
    assert not left.clean(near, print)
    iam = near.client("iam")
    assert iam.get_role(RoleName=other)["Role"]["RoleName"] == other
    assert len(iam.get_instance_profile(InstanceProfileName=other)["InstanceProfile"]["Roles"]) == 1
    assert {one.id for one in left.found(far)} == {other}
    assert not left.clean(far, print)
    assert left.found(far) == []


@pytest.mark.cloud
def test_a_removal_that_is_refused_does_not_keep_the_others_from_being_removed(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPTANCE_AGAIN_S", "1")
    (here.folder / "dayfly.toml").write_text(TOML)  # not the trial's file, so its stack can not be destroyed here
    stacks, place = here.client("cloudformation"), here.place()
    stacks.create_stack(StackName="dayfly-accept-89abcdef", TemplateBody=TOPIC, Tags=tagged("accept-89abcdef"))
    server, said = launch(here, "accept-89abcdef"), list[str]()
    rest = left.clean(place, said.append, "accept-89abcdef")
    (here.folder / "dayfly.toml").unlink()
    assert "stack dayfly-accept-89abcdef" in rest.told()
    assert any("is not the trial's" in line for line in said)
    assert state(here, server) in ("shutting-down", "terminated")
    stacks.delete_stack(StackName="dayfly-accept-89abcdef")


def test_where_nobody_can_look_it_says_that_what_is_left_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPTANCE_AGAIN_S", "0")
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=REGION)
    nowhere = Place(session, "http://127.0.0.1:9", ACCOUNT, REGION, tmp_path, local=True)
    said: list[str] = []
    rest = left.clean(nowhere, said.append)
    assert rest
    assert rest.things == ()
    assert set(rest.unseen) == {"server", "volume", "stack", "launch template", "instance profile", "role", "bucket"}
    assert rest.told()[0].startswith("unknown: run --clean")
    assert len(said) == len(rest.unseen)


@pytest.mark.cloud
@pytest.mark.slow
def test_a_trial_that_loses_its_network_still_tells_its_document(
    here_too: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPTANCE_LINGER_S", "300")
    monkeypatch.setenv("ACCEPTANCE_AGAIN_S", "1")
    process = here_too.start()
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("the same request again"):
            break
    status = subprocess.run(
        [sys.executable, "-m", "dayfly", "local", "status", "--json"],
        cwd=here_too.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    cloud = json.loads(status.stdout)["pid"]
    os.kill(cloud, signal.SIGSTOP)
    process.terminate()
    os.kill(cloud, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    document = json.loads(out)
    assert process.returncode == 6, err
    assert document["trouble"] == "interrupted"
    assert document["left"][-1].startswith("unknown: run --clean")
