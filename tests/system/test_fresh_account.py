"""A launch as a fresh account sees it: EC2 is slow, has few pools, does not see yet, or refuses. On the local cloud, by the CLI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from system.conftest import Folder
from system.projects import project, run

pytestmark = pytest.mark.cloud


@pytest.fixture
def fresh(cloud: Folder) -> Iterator[Folder]:
    """The local cloud, whose conditions and capacity are normal again after the test."""
    yield cloud
    cloud.control("ec2/conditions", method="DELETE")
    cloud.control("ec2/capacity", method="DELETE")


def deploy(cloud: Folder, name: str, **keys: Any) -> None:
    cloud.write(project(name, "true", **keys))
    done = cloud.dayfly("deploy", "--local", "--yes")
    assert done.returncode == 0, done.stderr


def servers_of(cloud: Folder, name: str) -> list[dict[str, Any]]:
    mine = [{"Name": "tag:dayfly:project", "Values": [name]}]
    groups = cloud.client("ec2").describe_instances(Filters=mine)["Reservations"]
    return [server for group in groups for server in group["Instances"]]


def asks_of(cloud: Folder, name: str) -> list[dict[str, Any]]:
    """Return the records of the requests that followed the first one."""
    s3, bucket = cloud.client("s3"), f"dayfly-{name}-000000000000-eu-west-1"
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix="runs/").get("Contents", [])]
    asks = sorted(key for key in keys if "/1/ask-" in key)
    return [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in asks]


def run_again(cloud: Folder, payload: str) -> dict[str, Any]:
    """Deliver the event once more, as Lambda and the sweeper do."""
    answer = cloud.client("lambda").invoke(FunctionName="dayfly-twice-launcher", Payload=payload)
    return json.load(answer["Payload"])


def test_two_callers_at_once_get_one_armed_server_in_one_market(fresh):
    deploy(fresh, "twice", market="spot-first")
    in_flight = {"code": "IdempotentCallInProgress", "action": "CreateFleet", "times": 1, "after": True, "status": 400}
    fresh.control("ec2/capacity", {"rules": [in_flight]})
    payload = json.dumps({"job": "hello", "request": "the same"})

    def call(_number: int) -> dict[str, Any]:
        answer = fresh.client("lambda").invoke(FunctionName="dayfly-twice-launcher", Payload=payload)
        return {**json.load(answer["Payload"]), "error": answer.get("FunctionError", "")}

    fresh.client("lambda")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(call, range(2)))
    assert any("IdempotentCallInProgress" in str(answer) for answer in answers), answers
    assert run_again(fresh, payload)["server"] == servers_of(fresh, "twice")[0]["InstanceId"]
    [server] = servers_of(fresh, "twice")
    assert server["InstanceLifecycle"] == "spot"
    names = [one["Name"] for one in fresh.client("scheduler").list_schedules(GroupName="dayfly-twice")["Schedules"]]
    assert f"kill-{server['InstanceId']}" in names


def test_run_right_after_a_deploy_waits_until_ec2_sees_everything(fresh):
    fresh.control("ec2/conditions", {"visible_after": 12})
    deploy(fresh, "young")
    document = run(fresh)
    assert document["outcome"] == "succeeded"
    assert len(servers_of(fresh, "young")) == 1


def test_every_pool_is_asked_before_on_demand(fresh):
    fresh.control("ec2/conditions", {"pools_tried": 1})
    types = ["c8g.large", "c7g.large", "m8g.large"]
    deploy(fresh, "pools", servers=types, market="spot-first")
    full = {"code": "InsufficientInstanceCapacity", "market": "spot"}
    fresh.control("ec2/capacity", {"rules": [{**full, "type": one} for one in types[:2]]})
    document = run(fresh)
    assert document["outcome"] == "succeeded"
    [server] = servers_of(fresh, "pools")
    assert (server["InstanceType"], server["InstanceLifecycle"]) == ("m8g.large", "spot")
    asks = asks_of(fresh, "pools")
    assert len(asks) == 6, "each type in each of three zones, one at a time"
    assert len({ask["request"]["ClientToken"] for ask in asks}) == 6


def test_free_plan_refuses_and_the_screen_says_what_to_do(fresh):
    deploy(fresh, "free")
    fresh.control("ec2/conditions", {"plan": "free"})
    shown = fresh.dayfly("run", "hello", "--local")
    assert shown.returncode == 5, "also without --wait"
    assert shown.stdout.count("InvalidParameterCombination") == 1
    assert "the account's free plan does not include the server type" in shown.stdout
    assert 'servers = ["t4g.small"]' in shown.stdout


def test_type_that_the_region_does_not_offer_is_refused_by_deploy(fresh):
    fresh.write(project("gone", "true", servers=["p3.2xlarge"]))
    done = fresh.dayfly("deploy", "--local", "--yes")
    assert done.returncode == 2
    assert "does not offer the type p3.2xlarge" in done.stderr + done.stdout
