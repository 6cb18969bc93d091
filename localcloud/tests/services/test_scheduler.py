"""Schedules fire on time, as their role, at Lambda, SQS and universal targets, with retries and a dead-letter queue."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError

import instances
from running_cloud import Running
from scheduler_bench import ACCOUNT, Bench, trust

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def bench(cloud: Running) -> Bench:
    return Bench(cloud)


def soon(seconds: float, zone: str = "UTC") -> tuple[str, datetime]:
    moment = (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
    return f"at({moment.astimezone(ZoneInfo(zone)).strftime('%Y-%m-%dT%H:%M:%S')})", moment


def refusal(call: Any, *words: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(*words, **parameters)
    code: str = caught.value.response["Error"]["Code"]
    return code


def test_one_time_schedule_fires_in_its_zone_and_is_deleted(bench: Bench) -> None:
    bench.cloud.control("clock", method="DELETE")
    expression, moment = soon(60, "Asia/Tokyo")
    bench.create(
        "once", expression, {"Input": "once <aws.scheduler.scheduled-time> <aws.scheduler.attempt-number>"},
        ScheduleExpressionTimezone="Asia/Tokyo", ActionAfterCompletion="DELETE",
    )  # fmt: skip
    bench.cloud.advance(56)  # the last seconds pass in real time
    message = bench.receive(bench.url, "once")
    late = (bench.now() - moment).total_seconds()
    assert message is not None
    assert message["Body"] == f"once {moment.strftime('%Y-%m-%dT%H:%M:%SZ')} 1"
    assert 0 <= late < 120
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and bench.scheduler.list_schedules(NamePrefix="once")["Schedules"]:
        time.sleep(0.1)
    assert refusal(bench.scheduler.get_schedule, Name="once") == "ResourceNotFoundException"


def test_completed_schedule_stays_unless_delete_is_set(bench: Bench) -> None:
    bench.create("stays", bench.soon(30))
    bench.cloud.advance(40)
    assert bench.receive(bench.url, "stays", limit=0) is not None
    bench.cloud.advance(90000)
    assert bench.receive(bench.url, "stays", limit=0) is None
    assert bench.scheduler.get_schedule(Name="stays")["State"] == "ENABLED"


def test_rate_fires_at_once_unless_disabled(bench: Bench) -> None:
    bench.create("off", bench.soon(30), State="DISABLED")
    bench.create("often", "rate(1 minute)")
    assert bench.receive(bench.url, "often") is not None
    bench.cloud.advance(40)
    assert bench.receive(bench.url, "off", limit=0) is None
    bench.scheduler.delete_schedule(Name="often")


def test_universal_target_is_called_as_its_role(bench: Bench) -> None:
    record = json.dumps({"QueueUrl": bench.url, "MessageBody": "from any action <aws.scheduler.schedule-arn>"})
    target = {"Arn": "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", "Input": record}
    bench.create("any", bench.soon(30), target)
    bench.cloud.advance(40)
    message = bench.receive(bench.url, "from any action", limit=0)
    assert message is not None
    assert message["Body"].endswith(f"arn:aws:scheduler:us-east-1:{ACCOUNT}:schedule/default/any")


def test_denied_delivery_goes_to_the_dead_letter_queue(bench: Bench) -> None:
    role = bench.make_role("deadonly", ["dead"])
    dead = {"Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"}
    bench.create("denied", bench.soon(30), {"RoleArn": role, "DeadLetterConfig": dead, "Input": "denied input"})
    bench.cloud.advance(40)
    message = bench.receive(bench.dead, "denied input", limit=0)
    assert message is not None
    values = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert "AccessDenied" in values["ERROR_CODE"]
    assert values["TARGET_ARN"].endswith(":sink")
    assert values["RETRY_ATTEMPTS"] == "0"
    assert bench.receive(bench.url, "denied input", limit=0) is None


def test_invalid_times_and_targets_are_refused(bench: Bench) -> None:
    def attempt(expression: str, target: dict[str, Any] | None = None, **more: Any) -> str:
        return refusal(bench.create, "refused", expression, target, **more)

    assert attempt(bench.soon(-5)) == "ValidationException"
    assert attempt("cron(0 0 * * * *)") == "ValidationException"
    assert attempt("rate(1 day)", ScheduleExpressionTimezone="Mars/Base") == "ValidationException"
    assert attempt("rate(1 day)", GroupName="nowhere") == "ResourceNotFoundException"
    assert attempt("rate(1 day)", {"Arn": "arn:aws:scheduler:::aws-sdk:ec2:describeInstances"}) == "ValidationException"
    assert attempt("rate(1 day)", {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/none"}) == "ValidationException"


def test_role_that_trusts_another_group_is_refused(bench: Bench) -> None:
    iam = bench.cloud.client("iam")
    arn = iam.create_role(RoleName="narrow", AssumeRolePolicyDocument=trust("mine"))["Role"]["Arn"]
    bench.scheduler.create_schedule_group(Name="mine")
    assert refusal(bench.create, "narrow", "rate(1 day)", {"RoleArn": arn}) == "ValidationException"
    bench.create("narrow", "rate(1 day)", {"RoleArn": arn}, GroupName="mine", State="DISABLED")
    bench.scheduler.delete_schedule_group(Name="mine")


def test_update_replaces_every_field_and_names_are_unique(bench: Bench) -> None:
    bench.create("full", "rate(1 day)", Description="old", State="DISABLED")
    assert refusal(bench.create, "full", "rate(1 day)") == "ConflictException"
    target = bench.scheduler.get_schedule(Name="full")["Target"]
    bench.scheduler.update_schedule(
        Name="full", ScheduleExpression="cron(0 3 * * ? 2099)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target
    )
    found = bench.scheduler.get_schedule(Name="full")
    assert "Description" not in found
    assert (found["State"], found["ScheduleExpression"]) == ("ENABLED", "cron(0 3 * * ? 2099)")


def test_deleting_a_group_deletes_its_schedules(bench: Bench) -> None:
    bench.scheduler.create_schedule_group(Name="many", Tags=[{"Key": "a", "Value": "b"}])
    for number in range(5):
        bench.create(f"n{number}", "rate(1 day)", GroupName="many", State="DISABLED")
    pages = bench.scheduler.get_paginator("list_schedules").paginate(GroupName="many", PaginationConfig={"PageSize": 2})
    names = [[item["Name"] for item in page["Schedules"]] for page in pages]
    assert names == [["n0", "n1"], ["n2", "n3"], ["n4"]]
    bench.scheduler.delete_schedule_group(Name="many")
    assert refusal(bench.scheduler.list_schedules, GroupName="many") == "ResourceNotFoundException"
    assert refusal(bench.scheduler.get_schedule, GroupName="many", Name="n0") == "ResourceNotFoundException"


def test_group_tags_are_the_same_in_both_apis(bench: Bench) -> None:
    arn = bench.scheduler.create_schedule_group(Name="tagged", Tags=[{"Key": "a", "Value": "1"}])["ScheduleGroupArn"]
    tagging = bench.cloud.client("resourcegroupstaggingapi")
    assert tagging.tag_resources(ResourceARNList=[arn], Tags={"b": "2", "c": "3"})["FailedResourcesMap"] == {}
    bench.scheduler.tag_resource(ResourceArn=arn, Tags=[{"Key": "a", "Value": "4"}])
    bench.scheduler.untag_resource(ResourceArn=arn, TagKeys=["b", "none"])
    expected = [{"Key": "a", "Value": "4"}, {"Key": "c", "Value": "3"}]
    assert bench.scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == expected
    found = tagging.get_resources(ResourceTypeFilters=["scheduler"])["ResourceTagMappingList"]
    assert found == [{"ResourceARN": arn, "Tags": expected}]
    tagging.untag_resources(ResourceARNList=[arn], TagKeys=["a", "c"])
    assert bench.scheduler.list_tags_for_resource(ResourceArn=arn)["Tags"] == []
    bench.scheduler.delete_schedule_group(Name="tagged")
    assert refusal(bench.scheduler.list_tags_for_resource, ResourceArn=arn) == "ResourceNotFoundException"


def test_stack_creates_and_deletes_a_group_with_its_schedule(bench: Bench) -> None:
    stacks = bench.cloud.client("cloudformation")
    target = {"Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:sink", "RoleArn": bench.role}
    schedule = {"Name": "of-stack", "ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": {"Mode": "OFF"}}
    resources = {
        "Group": {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": "of-stack"}},
        "Schedule": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": schedule | {"GroupName": {"Ref": "Group"}, "Target": target, "State": "DISABLED"},
        },
    }
    stacks.create_stack(StackName="schedules", TemplateBody=json.dumps({"Resources": resources}))
    stacks.get_waiter("stack_create_complete").wait(StackName="schedules", WaiterConfig={"Delay": 1})
    found = bench.scheduler.get_schedule(GroupName="of-stack", Name="of-stack")
    assert (found["State"], found["Target"]["Arn"]) == ("DISABLED", target["Arn"])
    stacks.delete_stack(StackName="schedules")
    stacks.get_waiter("stack_delete_complete").wait(StackName="schedules", WaiterConfig={"Delay": 1})
    assert refusal(bench.scheduler.get_schedule_group, Name="of-stack") == "ResourceNotFoundException"


def test_creating_a_schedule_needs_passrole(bench: Bench) -> None:
    iam = bench.cloud.client("iam")
    iam.create_user(UserName="clerk")
    allow = {"Statement": [{"Effect": "Allow", "Action": "scheduler:*", "Resource": "*"}]}
    iam.put_user_policy(UserName="clerk", PolicyName="own", PolicyDocument=json.dumps(allow))
    key = iam.create_access_key(UserName="clerk")["AccessKey"]
    clerk = bench.cloud.client(
        "scheduler", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"]
    )
    parameters = {
        "Name": "clerks",
        "ScheduleExpression": "rate(1 day)",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "State": "DISABLED",
        "Target": {"Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:sink", "RoleArn": bench.role},
    }
    assert refusal(clerk.create_schedule, **parameters) == "AccessDeniedException"
    allow["Statement"].append(
        {"Effect": "Allow", "Action": "iam:PassRole", "Resource": bench.role,
         "Condition": {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}}
    )  # fmt: skip
    iam.put_user_policy(UserName="clerk", PolicyName="own", PolicyDocument=json.dumps(allow))
    clerk.create_schedule(**parameters)


def test_schedule_terminates_only_instances_its_role_may(bench: Bench) -> None:
    ec2, iam = bench.cloud.client("ec2"), bench.cloud.client("iam")
    role = bench.make_role("killer", ["dead"])
    may = {"Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "arn:aws:ec2:*:*:instance/*"}
    may["Condition"] = {"StringEquals": {"aws:ResourceTag/stack": "ours"}}
    iam.put_role_policy(RoleName="killer", PolicyName="kill", PolicyDocument=json.dumps({"Statement": [may]}))
    servers = {}
    for owner in ("ours", "theirs"):
        tags = [{"ResourceType": "instance", "Tags": [{"Key": "stack", "Value": owner}]}]
        servers[owner] = instances.run(ec2, "#!/bin/sh\nsleep 600\n", TagSpecifications=tags)
    for owner, server in servers.items():
        instances.wait_for_state(ec2, server, "running")
        target = {
            "Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances",
            "RoleArn": role,
            "Input": json.dumps({"InstanceIds": [server]}),
            "DeadLetterConfig": {"Arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"},
        }
        bench.create(f"kill-{owner}", bench.soon(30), target, ActionAfterCompletion="DELETE")
    bench.cloud.advance(40)
    instances.wait_for_state(ec2, servers["ours"], "terminated")
    message = bench.receive(bench.dead, servers["theirs"])
    assert message is not None
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"] == "UnauthorizedOperation"
    assert instances.state(ec2, servers["theirs"]) == "running"
    ec2.terminate_instances(InstanceIds=[servers["theirs"]])


def test_temporary_cloud_fires_only_one_time_schedules(
    start: Callable[..., Running],
) -> None:
    moment = Bench(start("--no-recurring"))
    moment.create("often", "rate(1 minute)")
    moment.create("once", moment.soon(90))
    moment.cloud.advance(200)
    assert moment.receive(moment.url, "once", limit=0) is not None
    assert moment.receive(moment.url, "often", limit=0) is None
