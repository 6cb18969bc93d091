"""The trial's clean-up: it touches only what trials created, and reports what is left whatever goes wrong."""

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
from acceptance import leftovers
from acceptance.target import TAG, Target
from local_trial import ACCOUNT, REGION, LocalTrial

TOML = """
project = "lake"
regions = ["eu-west-1"]

[jobs.a]
command = "true"
servers = ["c8g.large"]
bundle = []
"""
NAME = "accept-0123abcd4567"
TOPIC = json.dumps({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})


def tagged(value: str) -> list[dict[str, str]]:
    return [{"Key": TAG, "Value": value}]


def launch(trial: LocalTrial, value: str) -> str:
    ec2 = trial.client("ec2")
    image = trial.client("ssm").get_parameter(
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


def state(trial: LocalTrial, server: str) -> str:
    answer = trial.client("ec2").describe_instances(InstanceIds=[server])
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


def profile(target: Target, region: str) -> str:
    """Create a role and a profile as a trial of that region does."""
    iam, name = target.client("iam"), f"dayfly-{NAME}-{region}"
    iam.create_role(Path=leftovers.IAM_PATH, RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.create_instance_profile(Path=leftovers.IAM_PATH, InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    return name


TRUST: dict[str, Any] = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.mark.cloud
@pytest.mark.slow
def test_clean_ignores_things_with_the_tag_but_another_name(trial: LocalTrial) -> None:
    (trial.folder / "dayfly.toml").write_text(TOML)
    deploy = [sys.executable, "-m", "dayfly", "deploy", "--local", "--yes"]
    done = subprocess.run(deploy, cwd=trial.folder, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (trial.folder / "dayfly.toml").unlink()
    theirs = [launch(trial, value) for value in ("passed", "", f"{NAME}-2")]
    own = launch(trial, NAME)
    stacks = trial.client("cloudformation")
    for name, value in (("other", "lake"), ("another", NAME), (f"dayfly-{NAME}", "lake")):
        stacks.create_stack(StackName=name, TemplateBody=TOPIC, Tags=tagged(value))
    for name in (f"dayfly-{NAME}", f"dayfly-{NAME}-lake-{ACCOUNT}-{REGION}"):
        trial.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})

    assert {(one.kind, one.id) for one in trial.left()} == {("server", own)}
    code, _out, err = trial.run("--clean")
    assert code == 0, err
    assert state(trial, own) in ("shutting-down", "terminated")
    assert {state(trial, one) for one in theirs} <= {"pending", "running"}
    there = {one["StackName"]: one["StackStatus"] for one in stacks.describe_stacks()["Stacks"]}
    assert set(there) == {"dayfly-lake", "other", "another", f"dayfly-{NAME}"}
    assert set(there.values()) == {"CREATE_COMPLETE"}
    assert f"dayfly-lake-{ACCOUNT}-{REGION}" in {one["Name"] for one in trial.client("s3").list_buckets()["Buckets"]}


@pytest.mark.cloud
def test_clean_ignores_roles_of_trials_in_other_regions(trial: LocalTrial) -> None:
    near, far = trial.target(REGION), trial.target("us-west-2")
    mine, other = profile(near, REGION), profile(far, "us-west-2")
    assert {one.id for one in leftovers.found(near)} == {mine}
    assert not leftovers.clean(near, print)
    iam = near.client("iam")
    assert iam.get_role(RoleName=other)["Role"]["RoleName"] == other
    assert len(iam.get_instance_profile(InstanceProfileName=other)["InstanceProfile"]["Roles"]) == 1
    assert {one.id for one in leftovers.found(far)} == {other}
    assert not leftovers.clean(far, print)
    assert leftovers.found(far) == []


@pytest.mark.cloud
def test_refused_deletion_does_not_stop_the_others(trial: LocalTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPTANCE_AGAIN_S", "1")
    (trial.folder / "dayfly.toml").write_text(TOML)  # not the trial's file, so its stack cannot be destroyed here
    stacks, target = trial.client("cloudformation"), trial.target()
    stacks.create_stack(StackName="dayfly-accept-09abcdef1234", TemplateBody=TOPIC, Tags=tagged("accept-09abcdef1234"))
    server, reported = launch(trial, "accept-09abcdef1234"), list[str]()
    rest = leftovers.clean(target, reported.append, "accept-09abcdef1234")
    (trial.folder / "dayfly.toml").unlink()
    assert "stack dayfly-accept-09abcdef1234" in rest.lines()
    assert any("is not the trial's" in line for line in reported)
    assert state(trial, server) in ("shutting-down", "terminated")
    stacks.delete_stack(StackName="dayfly-accept-09abcdef1234")


def test_what_cannot_be_listed_is_reported_as_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPTANCE_AGAIN_S", "0")
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=REGION)
    nowhere = Target(session, "http://127.0.0.1:9", ACCOUNT, REGION, tmp_path, local=True)
    reported: list[str] = []
    rest = leftovers.clean(nowhere, reported.append)
    assert rest
    assert rest.things == ()
    assert set(rest.unknown) == {"server", "volume", "stack", "launch template", "instance profile", "role", "bucket"}
    assert rest.lines()[0].startswith("unknown: run --clean")
    assert len(reported) == len(rest.unknown)


@pytest.mark.cloud
@pytest.mark.slow
def test_trial_without_network_still_prints_its_document(
    own_trial: LocalTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCEPTANCE_LINGER_S", "300")
    monkeypatch.setenv("ACCEPTANCE_AGAIN_S", "1")
    process = own_trial.start()
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("the same request again"):
            break
    status = subprocess.run(
        [sys.executable, "-m", "dayfly", "local", "status", "--json"],
        cwd=own_trial.folder,
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
