"""Each planted fault of an account is found by `dayfly doctor`, and what it prints repairs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from system.conftest import Folder
from system.doctor_faults import AFTER, BEFORE, results, sick_cloud

pytestmark = [pytest.mark.cloud, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with sick_cloud(tmp_path) as folder:
        yield folder


def test_each_fault_is_found_and_its_remedy_works(folder: Folder):
    found = list(results(folder))
    assert [result.shown(0) for result in found if not result.is_good] == []
    assert len(found) == len(BEFORE) + len(AFTER) >= 10


def test_policy_of_the_deployer_is_enough_for_doctor_and_a_missing_right_is_found(folder: Folder):
    policy = folder.json("permissions", "--deployer")
    iam = folder.client("iam")
    iam.create_user(UserName="ada")
    iam.put_user_policy(UserName="ada", PolicyName="deployer", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="ada")["AccessKey"]
    folder.env = {
        "AWS_ENDPOINT_URL": folder.exports()["AWS_ENDPOINT_URL"],
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    found = folder.json("doctor")["findings"]
    assert [each for each in found if each["level"] not in ("ok", "later", "warning")] == []
    denied = {"Effect": "Deny", "Action": "cloudformation:CreateStack", "Resource": "*"}
    text = json.dumps({"Version": "2012-10-17", "Statement": [denied]})
    iam.put_user_policy(UserName="ada", PolicyName="less", PolicyDocument=text)
    found = folder.json("doctor", code=6)["findings"]
    assert [each["text"] for each in found if each["level"] == "fail"] == ["may not cloudformation:CreateStack"]
