"""How EC2's answers are interpreted: throttling is not a refusal, and another project's server is never terminated."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cloud.answering import Client, answered, error
from dayfly.core import names
from dayfly.core.facts import RefusedLaunch, Replayed
from dayfly.errors import Refused, Unclear
from dayfly.flows import calls

REQUEST = {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": names.TAG_PROJECT, "Value": "pi"}]}]}
NO_CAPACITY = {"ErrorCode": "InsufficientInstanceCapacity", "ErrorMessage": "none", "Lifecycle": "spot"}


def launch(**answer):
    return answered(Client(create_fleet={"FleetId": "fleet-1", **answer}), calls.CreateFleet(REQUEST))


def shown(project: str, state: str = "running") -> dict:
    one = {
        "InstanceId": "i-1",
        "State": {"Name": state},
        "LaunchTime": datetime(2026, 11, 24, tzinfo=UTC),
        "Tags": [{"Key": names.TAG_PROJECT, "Value": project}],
    }
    return {"Reservations": [{"Instances": [one]}]}


def test_throttling_inside_a_good_answer_is_not_a_refusal():
    throttled = {"ErrorCode": "RequestLimitExceeded", "ErrorMessage": "Request limit exceeded."}
    with pytest.raises(Unclear):
        launch(Instances=[], Errors=[NO_CAPACITY, throttled])


def test_errors_without_a_server_are_a_refusal():
    answer = launch(Instances=[], Errors=[NO_CAPACITY])
    assert isinstance(answer, RefusedLaunch)
    assert [each.code for each in answer.errors] == ["InsufficientInstanceCapacity"]


def test_refusal_is_kept_without_encoded_messages_and_names_of_people():
    said = (
        "You are not authorized to perform this operation. User: arn:aws:iam::111122223333:user/anna is not authorized to perform:"
        " ec2:RunInstances. Encoded authorization failure message: " + "x_-9" * 300
    )
    for answer in (
        answered(Client(create_fleet=error("UnauthorizedOperation", said)), calls.CreateFleet(REQUEST)),
        launch(Instances=[], Errors=[{"ErrorCode": "UnauthorizedOperation", "ErrorMessage": said}]),
    ):
        [one] = answer.errors
        assert "ec2:RunInstances" in one.message
        assert "anna" not in one.message
        assert "x_-9" not in one.message


def test_refusal_names_its_pool():
    pool = {"InstanceType": "c8g.large", "SubnetId": "subnet-1", "AvailabilityZone": "eu-west-1a"}
    [one] = launch(Instances=[], Errors=[{**NO_CAPACITY, "LaunchTemplateAndOverrides": {"Overrides": pool}}]).errors
    assert (one.pool, one.type, one.subnet) == ("spot c8g.large eu-west-1a", "c8g.large", "subnet-1")


def test_why_ec2_ended_a_server_is_read():
    there = shown("pi", "terminated")
    reason = {"Code": "Client.InternalError", "Message": "Client.InternalError: Client error on launch"}
    there["Reservations"][0]["Instances"][0]["StateReason"] = reason
    server = answered(Client(describe_instances=there), calls.FindServer("i-1"))
    assert (server.reason_code, server.reason_text) == (reason["Code"], reason["Message"])


def test_zone_in_the_answer_is_kept():
    one = {"InstanceIds": ["i-1"], "InstanceType": "c8g.large", "Lifecycle": "spot", "AvailabilityZone": "eu-west-1a"}
    answer = launch(Errors=[], Instances=[one])
    assert [server.zone for server in answer.servers] == ["eu-west-1a"]


def test_answer_without_server_and_error_is_a_replay():
    assert launch(Instances=[], Errors=[]) == Replayed(fleet="fleet-1")


@pytest.mark.parametrize("code", ["IdempotentParameterMismatch", "IdempotentInstanceTerminated"])
def test_token_that_was_used_before_is_a_replay(code):
    assert answered(Client(create_fleet=error(code)), calls.CreateFleet(REQUEST)) == Replayed(fleet=None)


@pytest.mark.parametrize(("code", "status"), [("RequestLimitExceeded", 503), ("InternalError", 500)])
def test_launch_without_a_clear_answer_is_unclear(code, status):
    with pytest.raises(Unclear):
        answered(Client(create_fleet=error(code, status=status)), calls.CreateFleet(REQUEST))


def test_foreign_server_in_the_answer_is_left_out():
    assert answered(Client(describe_instances=[shown("other")]), calls.ListServers()) == ()


def test_server_of_another_project_is_not_terminated():
    ec2 = Client(describe_instances=shown("other"), terminate_instances={})
    with pytest.raises(Refused, match="not a server of project pi"):
        answered(ec2, calls.TerminateServer("i-1"))
    assert [operation for operation, _ in ec2.requests] == ["describe_instances"]


def test_own_server_is_terminated_and_one_that_is_gone_is_not():
    ec2 = Client(describe_instances=shown("pi"), terminate_instances={})
    answered(ec2, calls.TerminateServer("i-1"))
    assert ec2.requests[-1] == ("terminate_instances", {"InstanceIds": ["i-1"]})
    gone = Client(describe_instances=shown("pi", "terminated"), terminate_instances={})
    answered(gone, calls.TerminateServer("i-1"))
    assert len(gone.requests) == 1
    answered(Client(describe_instances=error("InvalidInstanceID.NotFound")), calls.TerminateServer("i-1"))


def test_console_shows_the_last_lines_of_switch_and_agent():
    text = "systemd: Started dayfly switch\n[1.0] dayfly switch: armed\nnoise\n[2.0] dayfly agent: job ended\n"
    assert answered(Client(get_console_output={"Output": text}), calls.ReadConsole("i-1")) == (
        "[1.0] dayfly switch: armed",
        "[2.0] dayfly agent: job ended",
    )
    assert answered(Client(get_console_output=error("UnsupportedOperation")), calls.ReadConsole("i-1")) == ()


def test_server_is_found_by_its_id_in_one_request():
    client = Client(describe_instances=shown("other", "terminated"))
    server = answered(client, calls.FindServer("i-1"))
    assert (server.id, server.state, server.tags) == ("i-1", "terminated", {names.TAG_PROJECT: "other"})
    assert client.requests == [("describe_instances", {"Filters": [{"Name": "instance-id", "Values": ["i-1"]}]})]
