"""Launch requests and EC2's answers: refused, unclear, replayed or too late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dayfly.core import names
from dayfly.core.records import FleetError
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.launch import launch
from model.cloud import ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import NO_CAPACITY, RUN, closed, due, number_of, sweep, tick


def test_spot_first_asks_on_demand_only_after_a_definite_refusal():
    cloud = cloud_with(refuse={"spot": NO_CAPACITY})
    tick(cloud)
    [server] = cloud.servers.values()
    assert server.market == "on-demand"
    assert names.attempt_key(RUN, 1, "spot-refused") in cloud.objects


def test_no_capacity_anywhere_fails_and_names_the_pools():
    cloud = cloud_with(refuse={"spot": NO_CAPACITY, "on-demand": NO_CAPACITY})
    tick(cloud)
    assert closed(cloud)["outcome"] == "failed"
    assert closed(cloud)["reason"] == "no-capacity"
    assert "c8g.large eu-west-1a" in closed(cloud)["detail"]
    assert "slots/pi.json" not in cloud.objects


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("VcpuLimitExceeded", "quota"),
        ("UnauthorizedOperation", "no-rights"),
        ("InvalidAMIID.NotFound", "image-gone"),
        ("Unsupported", "no-capacity"),
    ],
)
def test_refusal_has_the_reason_of_its_code(code, reason):
    errors = (FleetError(code=code, message=""),)
    cloud = cloud_with(version(market="on-demand"), refuse={"on-demand": errors})
    tick(cloud)
    assert closed(cloud)["reason"] == reason


def test_unclear_answer_is_repeated_with_the_same_token():
    cloud = cloud_with()
    asks = number_of(cloud, "CreateFleet")
    cloud = cloud_with(faults={asks: "after"})
    with pytest.raises(Unclear):
        tick(cloud)
    assert len(cloud.servers) == 1
    tick(cloud, request="retry of the function")
    assert len(cloud.servers) == 1
    assert cloud.go_of(next(iter(cloud.servers))) is not None


def test_empty_replay_is_looked_up_by_the_fleet_id():
    cloud = cloud_with(empty_replay=True)
    cloud.faults = {number_of(cloud_with(), "CreateFleet"): "after"}
    with pytest.raises(Unclear):
        tick(cloud)
    tick(cloud)
    assert len(cloud.servers) == 1
    assert cloud.go_of(next(iter(cloud.servers))) is not None


def test_replayed_server_is_elected_before_ec2_lists_it():
    cloud = cloud_with(empty_replay=True)
    flow = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not isinstance(flow.call, calls.CreateFleet):
        flow.step()
    cloud.faults = {cloud.calls_answered + 1: "after"}
    flow.step()
    cloud.faults, cloud.hidden = {}, set(cloud.servers)
    tick(cloud)
    [server] = cloud.servers
    assert cloud.go_of(server) is not None


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("IdempotentCallInProgress", ""),
        ("InvalidLaunchTemplateId.VersionNotFound", ""),
        ("InvalidLaunchTemplateName.NotFoundException", ""),
        ("InvalidGroup.NotFound", ""),
        ("InvalidSecurityGroupID.NotFound", ""),
        ("InvalidParameterValue", "Value (dayfly-pi) for parameter iamInstanceProfile.name is invalid."),
    ],
)
def test_what_ec2_does_not_see_yet_is_asked_for_again(code, message):
    cloud = cloud_with(not_yet=(FleetError(code=code, message=message),))
    with pytest.raises(Unclear, match=code):
        tick(cloud)
    assert names.attempt_key(RUN, 1, "spot-refused") not in cloud.objects
    cloud.not_yet = ()
    cloud.pass_time(60)
    sweep(cloud)
    [server] = cloud.servers.values()
    assert server.market == "spot"
    assert cloud.go_of(server.id) is not None


def test_a_wrong_parameter_is_a_refusal():
    wrong = FleetError(code="InvalidParameterValue", message="Value (x) for parameter instanceType is invalid.")
    cloud = cloud_with(refuse={"spot": (wrong,), "on-demand": (wrong,)})
    tick(cloud)
    assert closed(cloud)["outcome"] == "failed"


def test_ec2_is_not_asked_after_launch_until():
    cloud = cloud_with(faults={number_of(cloud_with(), "CreateFleet"): "before"})
    with pytest.raises(Unclear):
        tick(cloud)
    cloud.pass_time(301)
    sweep(cloud)
    assert not cloud.servers
    assert closed(cloud)["reason"] == "unknown"


def test_nothing_is_launched_after_the_deadline():
    cloud = cloud_with(version(time_limit_s=20, margin_s=60, market="on-demand"))
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not isinstance(launching.call, calls.CreateFleet):
        launching.step()
    cloud.pass_time(200)
    sweep(cloud)
    assert not cloud.servers


def test_server_found_after_the_election_of_none_is_ended():
    cloud = cloud_with()
    cloud.faults = {number_of(cloud_with(), "CreateFleet"): "after"}
    with pytest.raises(Unclear):
        tick(cloud)
    [late] = cloud.servers
    cloud.hidden = {late}
    cloud.pass_time(301)
    sweep(cloud)
    cloud.hidden = set()
    sweep(cloud)
    assert cloud.terminate_calls == [late]
    assert cloud.go_of(late) is None


def test_receipt_has_zone_and_image_as_ec2_shows_them():
    class Terse(ModelCloud):
        def create_fleet(self, call):
            answer = super().create_fleet(call)
            self.hidden = set(self.servers)
            return replace(answer, servers=tuple(replace(one, image="", zone="") for one in answer.servers))

    there = cloud_with()
    cloud = Terse(now=there.now, objects=there.objects)
    tick(cloud)
    [server] = cloud.servers
    assert cloud.json(names.attempt_key(RUN, 1, "server"))["image"] is None
    cloud.hidden = set()
    cloud.run_agent(server)
    sweep(cloud)
    assert cloud.json(names.attempt_key(RUN, 1, "receipt"))["server"]["image"] == "ami-0model"


def test_receipt_has_all_that_ec2_said():
    quota = FleetError(code="VcpuLimitExceeded", message="You have requested more vCPU capacity than your limit.")
    cloud = cloud_with(refuse={"spot": NO_CAPACITY, "on-demand": (quota,)})
    tick(cloud)
    receipt = cloud.json(names.attempt_key(RUN, 1, "receipt"))
    assert [(each["code"], each["message"]) for each in receipt["refused"]] == [
        ("InsufficientInstanceCapacity", "none"),
        ("VcpuLimitExceeded", "You have requested more vCPU capacity than your limit."),
    ]
    assert receipt["detail"].endswith("VcpuLimitExceeded: You have requested more vCPU capacity than your limit.")


def test_receipt_keeps_why_ec2_ended_the_server_and_its_console():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    cloud.consoles[server] = ("dayfly switch: armed",)
    cloud.terminate(server, "Client.InternalError")
    cloud.servers[server] = replace(cloud.servers[server], reason_text="Client.InternalError: Client error on launch")
    sweep(cloud)
    receipt = cloud.json(names.attempt_key(RUN, 1, "receipt"))
    assert receipt["reason"] == "disk-key"
    assert receipt["server"]["ec2_code"] == "Client.InternalError"
    assert receipt["server"]["ec2_message"] == "Client error on launch"
    assert receipt["console"] == ["dayfly switch: armed"]


def test_receipt_of_a_server_says_why_spot_was_refused():
    cloud = cloud_with(refuse={"spot": NO_CAPACITY})
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    receipt = cloud.json(names.attempt_key(RUN, 1, "receipt"))
    assert [each["code"] for each in receipt["refused"]] == ["InsufficientInstanceCapacity"]
