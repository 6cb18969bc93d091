"""How the answers of CloudFormation, Scheduler, EC2, IAM and Lambda are interpreted."""

from __future__ import annotations

import io

import pytest

from cloud.answering import Client, answered, error
from dayfly.errors import Refused, RightsError, SupplyError, Unclear, Vanished
from dayfly.flows import calls

GONE = error("ValidationError", "Stack with id dayfly-pi does not exist")
ABSENT = error("ResourceNotFoundException")
SHOWN = {
    "StackId": "arn:1",
    "StackName": "dayfly-pi",
    "StackStatus": "CREATE_COMPLETE",
    "Outputs": [{"OutputKey": "Launcher", "OutputValue": "arn:launcher"}],
    "Tags": [{"Key": "a", "Value": "b"}],
}


def test_stack_is_read_with_its_outputs_and_tags():
    found = answered(Client(describe_stacks={"Stacks": [SHOWN]}), calls.FindStack("dayfly-pi"))
    assert (found.id, found.status) == ("arn:1", "CREATE_COMPLETE")
    assert (found.outputs, found.tags) == ({"Launcher": "arn:launcher"}, {"a": "b"})


def test_stack_that_is_gone_is_none():
    deleted = {"Stacks": [{**SHOWN, "StackStatus": "DELETE_COMPLETE"}]}
    assert answered(Client(describe_stacks=GONE), calls.FindStack("dayfly-pi")) == calls.NoStack()
    assert answered(Client(describe_stacks=deleted), calls.FindStack("dayfly-pi")) == calls.NoStack()
    assert answered(Client(describe_stack_events=GONE), calls.StackEvents("dayfly-pi")) == ()


def test_other_validation_error_is_refused():
    with pytest.raises(Refused, match="1 validation error"):
        answered(Client(describe_stacks=error("ValidationError", "1 validation error")), calls.FindStack("x"))


def test_existing_stack_is_not_created_nor_updated_without_changes():
    assert answered(Client(create_stack=error("AlreadyExistsException")), calls.CreateStack({})) is False
    unchanged = error("ValidationError", "No updates are to be performed.")
    assert answered(Client(update_stack=unchanged), calls.UpdateStack({})) is False
    assert answered(Client(update_stack={}), calls.UpdateStack({})) is True


def test_schedules_without_their_group_are_none():
    assert answered(Client(list_schedules=ABSENT), calls.ListSchedules()) == ()
    assert answered(Client(get_schedule=ABSENT), calls.GetSchedule("pi")) is None
    assert answered(Client(update_schedule=ABSENT), calls.UpdateSchedule({})) is False
    answered(Client(delete_schedule=ABSENT), calls.DeleteSchedule("pi"))


def test_what_another_command_deleted_is_vanished():
    with pytest.raises(Vanished):
        answered(Client(update_stack=GONE), calls.UpdateStack({}))
    with pytest.raises(Vanished):
        answered(Client(list_objects_v2=error("NoSuchBucket", status=404)), calls.DeleteSomeObjects())


def test_schedule_without_a_group_is_not_created():
    with pytest.raises(Vanished):
        answered(Client(create_schedule=ABSENT), calls.CreateSchedule({}))
    assert answered(Client(create_schedule=error("ConflictException")), calls.CreateSchedule({})) is False


def test_subnets_are_asked_by_filter():
    ec2 = Client(
        describe_subnets=[{"Subnets": [{"SubnetId": "subnet-1", "VpcId": "vpc-1", "AvailabilityZoneId": "euw1-az1"}]}]
    )
    found = answered(ec2, calls.FindSubnets(("subnet-1", "subnet-2")))
    assert found == (calls.Subnet(id="subnet-1", vpc="vpc-1", zone="euw1-az1"),)
    assert ec2.requests[0][1]["Filters"] == [{"Name": "subnet-id", "Values": ["subnet-1", "subnet-2"]}]


def test_offers_are_asked_by_type_and_zone_id():
    offered = {"InstanceType": "c8g.large", "LocationType": "availability-zone-id", "Location": "euw1-az1"}
    ec2 = Client(describe_instance_type_offerings=[{"InstanceTypeOfferings": [offered]}])
    types = tuple(f"c8g.{number}xlarge" for number in range(201))
    found = answered(ec2, calls.FindOffers(types))
    assert found[0] == calls.Offer(type="c8g.large", zone="euw1-az1")
    asked = [request["Filters"][0]["Values"] for _, request in ec2.requests]
    assert [len(each) for each in asked] == [200, 1], "EC2 takes 200 values in a filter"
    assert {request["LocationType"] for _, request in ec2.requests} == {"availability-zone-id"}
    assert answered(ec2, calls.ListTypes()) == ("c8g.large",)
    assert ec2.requests[-1][1] == {"LocationType": "region"}


@pytest.mark.parametrize("code", ["InvalidAMIID.NotFound", "InvalidAMIID.Malformed", "InvalidAMIID.Unavailable"])
def test_image_that_ec2_does_not_show_is_none(code):
    assert answered(Client(describe_images=error(code)), calls.FindImage("ami-1")) is None
    assert answered(Client(describe_images={"Images": []}), calls.FindImage("ami-1")) is None


def test_policy_that_iam_does_not_know_does_not_exist():
    assert answered(Client(get_policy={}), calls.HasPolicy("arn")) is True
    assert answered(Client(get_policy=error("NoSuchEntity", status=404)), calls.HasPolicy("arn")) is False
    with pytest.raises(RightsError):
        answered(Client(get_policy=error("AccessDenied", status=403)), calls.HasPolicy("arn"))


@pytest.mark.parametrize("code", ["InvalidInput", "EntityAlreadyExists"])
def test_linked_role_that_exists_is_fine(code):
    answered(Client(create_service_linked_role=error(code)), calls.CreateLinkedRole("spot.amazonaws.com"))


def test_function_that_raised_answers_with_its_error():
    def payload(text: bytes) -> dict:
        return {"Payload": io.BytesIO(text)}

    good, bad = payload(b'{"run": "pi"}'), {**payload(b'{"errorMessage": "no"}'), "FunctionError": "Unhandled"}
    assert answered(Client(invoke=good), calls.Invoke("f", "{}")) == calls.Invoked(answer={"run": "pi"})
    assert answered(Client(invoke=bad), calls.Invoke("f", "{}")) == calls.Invoked(answer={}, error="no")
    assert answered(Client(invoke=ABSENT), calls.Invoke("f", "{}")) is None


@pytest.mark.parametrize(
    ("answer", "stopped"),
    [
        ({}, False),
        ({"ReservedConcurrentExecutions": 0}, True),
        ({"ReservedConcurrentExecutions": 5}, False),
        (ABSENT, False),
    ],
)
def test_function_without_concurrency_is_stopped(answer, stopped):
    assert answered(Client(get_function_concurrency=answer), calls.IsStopped("f")) is stopped


def test_events_are_those_of_the_newest_change():
    def event(resource: str, status: str, reason: str = "", kind: str = "AWS::CloudFormation::Stack") -> dict[str, str]:
        return {
            "LogicalResourceId": resource,
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "ResourceType": kind,
        }

    newest = [event("Group", "CREATE_FAILED", "no", "AWS::Scheduler::ScheduleGroup")] * 100
    begin = event("dayfly-pi", "CREATE_IN_PROGRESS", "User Initiated")
    older = event("dayfly-pi", "DELETE_FAILED")
    client = Client(
        describe_stack_events=[{"StackEvents": newest}, {"StackEvents": [begin, older]}, {"StackEvents": [older]}]
    )
    found = answered(client, calls.StackEvents("dayfly-pi"))
    assert len(found) == 101
    assert found[-1].begins_change
    assert (found[0].kind, found[0].reason) == ("AWS::Scheduler::ScheduleGroup", "no")


def test_resources_to_retain_are_named_in_the_deletion():
    client = Client(delete_stack={}, continue_update_rollback={})
    answered(client, calls.DeleteStack("s"))
    answered(client, calls.DeleteStack("s", ("Sg",)))
    answered(client, calls.ContinueRollback("s"))
    assert client.requests == [
        ("delete_stack", {"StackName": "s"}),
        ("delete_stack", {"StackName": "s", "RetainResources": ["Sg"]}),
        ("continue_update_rollback", {"StackName": "s"}),
    ]


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, Unclear),
        ("Anything", 503, Unclear),
        ("AccessDenied", 403, RightsError),
        ("ServiceQuotaExceededException", 402, SupplyError),
        ("ValidationException", 400, Refused),
    ],
)
def test_error_becomes_the_class_whose_remedy_fits(code, status, kind):
    with pytest.raises(kind):
        answered(Client(list_schedules=error(code, "words", status)), calls.ListSchedules())
