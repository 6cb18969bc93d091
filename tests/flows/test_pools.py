"""Every pool is asked: those that EC2 did not try are asked for again, by a stored request with a token of its own."""

from __future__ import annotations

import pytest

from dayfly.core import names
from dayfly.core.records import FleetError
from dayfly.errors import Unclear
from dayfly.flows.launch import launch
from model.cloud import ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import RUN, closed, due, sweep, tick

KINDS, SUBNETS = ("c8g.large", "c7g.large"), ("subnet-1", "subnet-2")


def pools(market: str) -> set[tuple[str, str, str]]:
    return {(market, kind, subnet) for kind in KINDS for subnet in SUBNETS}


NOT_YET = FleetError(code="InvalidGroup.NotFound", message="The security group does not exist")
FOURTH = ("spot", "c7g.large", "subnet-2")
"""EC2 tries three pools, in the order of the job's servers."""


def asks(cloud: ModelCloud) -> list[str]:
    """Return the names of the records with requests that followed the first ones."""
    return sorted(key.rpartition("/")[2] for key in cloud.objects if "/1/ask-" in key)


def test_pool_that_ec2_did_not_try_is_asked_before_on_demand():
    cloud = cloud_with(full=pools("spot") - {FOURTH})
    tick(cloud)
    [server] = cloud.servers.values()
    assert (server.market, server.type) == ("spot", "c7g.large")
    assert cloud.go_of(server.id) is not None
    assert server.id in cloud.kill_schedules
    assert asks(cloud) == ["ask-2.json"]
    assert names.attempt_key(RUN, 1, "spot-refused") not in cloud.objects


def test_second_request_has_its_own_token_and_names_only_untried_pools():
    cloud = cloud_with(full=pools("spot") - {FOURTH})
    tick(cloud)
    first = cloud.json(names.attempt_key(RUN, 1, "intent"))["requests"]["spot"]
    second = cloud.json(names.attempt_key(RUN, 1, "ask-2"))["request"]
    assert second["ClientToken"] != first["ClientToken"]
    [override] = second["LaunchTemplateConfigs"][0]["Overrides"]
    assert (override["InstanceType"], override["SubnetId"]) == FOURTH[1:]
    same = {"ClientToken", "LaunchTemplateConfigs"}
    assert {key: second[key] for key in second.keys() - same} == {key: first[key] for key in first.keys() - same}


def test_on_demand_is_asked_only_after_all_spot_pools_refused():
    cloud = cloud_with(full=pools("spot"))
    tick(cloud)
    assert [market for market, _ in cloud.asked] == ["spot", "spot", "on-demand"]
    [server] = cloud.servers.values()
    assert server.market == "on-demand"
    refused = cloud.json(names.attempt_key(RUN, 1, "spot-refused"))["errors"]
    assert {(one["type"], one["subnet"]) for one in refused} == {pool[1:] for pool in pools("spot")}
    assert {one["code"] for one in refused} == {"InsufficientInstanceCapacity"}


def test_no_capacity_means_that_every_pool_of_both_markets_said_so():
    cloud = cloud_with(full=pools("spot") | pools("on-demand"))
    tick(cloud)
    assert [market for market, _ in cloud.asked] == ["spot", "spot", "on-demand", "on-demand"]
    assert closed(cloud)["reason"] == "no-capacity"
    receipt = cloud.json(names.attempt_key(RUN, 1, "receipt"))
    assert len(receipt["refused"]) == 8
    assert {one["code"] for one in receipt["refused"]} == {"InsufficientInstanceCapacity"}


def test_many_pools_are_asked_three_at_a_time():
    cloud = cloud_with(version(servers=tuple(f"c8g.{size}xlarge" for size in (2, 4, 8, 12, 16, 24))), full=set())
    cloud.full = {("spot", f"c8g.{size}xlarge", subnet) for size in (2, 4, 8, 12, 16, 24) for subnet in SUBNETS}
    tick(cloud)
    assert [market for market, _ in cloud.asked] == ["spot"] * 4 + ["on-demand"]


def test_fleet_that_tried_no_pool_is_a_refusal():
    cloud = cloud_with(tries=0)
    tick(cloud)
    assert [market for market, _ in cloud.asked] == ["spot", "on-demand"]
    assert closed(cloud)["reason"] == "no-capacity"


@pytest.mark.parametrize("when", ["before", "after"])
def test_lost_answer_to_the_second_request_is_repeated_as_stored(when):
    cloud = cloud_with(full=pools("spot") - {FOURTH})
    flow = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not asks(cloud):
        flow.step()
    cloud.faults = {cloud.calls_answered + 1: when}
    while not flow.over:
        flow.step()
    assert isinstance(flow.error, Unclear)
    cloud.faults = {}
    tick(cloud, request="again")
    [server] = cloud.servers.values()
    assert server.market == "spot"
    assert cloud.go_of(server.id) is not None
    assert asks(cloud) == ["ask-2.json"]


def test_profile_that_ec2_does_not_see_yet_is_asked_for_with_another_token():
    """EC2 made a fleet, so the first token brings no server any more."""
    cloud = cloud_with(young_profile=True)
    with pytest.raises(Unclear, match="iamInstanceProfile"):
        tick(cloud)
    cloud.young_profile = False
    cloud.pass_time(60)
    sweep(cloud)
    [server] = cloud.servers.values()
    assert server.market == "spot"
    assert len({token for _, token in cloud.asked}) == 2


def test_profile_that_stays_invisible_is_named_at_the_end():
    cloud = cloud_with(young_profile=True)
    for _ in range(6):
        with pytest.raises(Unclear):
            tick(cloud)
        cloud.pass_time(55)
    sweep(cloud)
    assert {one["code"] for one in cloud.json(names.attempt_key(RUN, 1, "receipt"))["refused"]} == {
        "InvalidParameterValue"
    }
    assert not [market for market, _ in cloud.asked if market != "spot"], "on-demand is not asked beside spot"


def test_what_ec2_does_not_see_is_stored_once_for_one_token():
    cloud = cloud_with(not_yet=(NOT_YET,))
    for _ in range(3):
        with pytest.raises(Unclear):
            tick(cloud)
        cloud.pass_time(10)
    assert asks(cloud) == ["ask-2.json"]
    first = cloud.json(names.attempt_key(RUN, 1, "intent"))["requests"]["spot"]
    assert cloud.json(names.attempt_key(RUN, 1, "ask-2"))["request"] == first
    cloud.pass_time(300)
    sweep(cloud)
    assert [one["code"] for one in cloud.json(names.attempt_key(RUN, 1, "receipt"))["refused"]] == [NOT_YET.code]
