"""Advancing the cloud's clock: everything that is due happens, once and in order."""

import asyncio
import json
import time
import urllib.error
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.exceptions import ClientError

import instances
from lambda_functions import make_function, make_role
from localcloud.cloud.clock import AdjustableClock
from running_cloud import Running
from scheduler_bench import ACCOUNT, Bench

pytestmark = pytest.mark.cloud

STAMP = "<aws.scheduler.scheduled-time>"


@pytest.fixture(scope="module")
def bench(cloud: Running) -> Bench:
    return Bench(cloud)


@pytest.fixture(autouse=True)
def reset_clock(cloud: Running) -> None:
    """Reset the clock before each test."""
    cloud.control("clock", method="DELETE")


def now(cloud: Running) -> datetime:
    return datetime.fromisoformat(cloud.control("clock", method="GET")["now"])


def bodies(bench: Bench, url: str) -> list[str]:
    """Return the bodies of all waiting messages, in order."""
    found: list[str] = []
    while messages := bench.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            bench.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            found.append(message["Body"])
    return found


def test_clock_only_moves_forward_until_it_is_reset(cloud: Running) -> None:
    assert cloud.control("clock", method="GET")["offset"] == 0
    answer = cloud.advance(90.5)
    assert answer["offset"] == 90.5
    assert cloud.advance(9.5)["offset"] == 100
    assert now(cloud) - datetime.now(UTC) > timedelta(seconds=99)
    for wrong in (-1, 0, "1", None, True, 1e12):
        with pytest.raises(urllib.error.HTTPError) as refused:
            cloud.control("clock", {"advance": wrong})
        assert refused.value.code == 400
    assert cloud.control("clock", method="DELETE")["offset"] == 0
    assert abs(now(cloud) - datetime.now(UTC)) < timedelta(seconds=30)


def test_daily_schedule_fires_once_a_day_in_its_zone(bench: Bench) -> None:
    zone = ZoneInfo("America/New_York")
    bench.create(
        "daily", "cron(30 3 * * ? *)", {"Input": f"daily {STAMP}"}, ScheduleExpressionTimezone="America/New_York"
    )
    began = now(bench.cloud)
    first = datetime.combine(began.astimezone(zone).date(), datetime.min.time(), zone).replace(hour=3, minute=30)
    # In that zone it may be almost half past three: then the next day's time is the first.
    first += timedelta(days=0 if first > began.astimezone(zone) + timedelta(hours=1) else 1)
    if first.date() != began.astimezone(zone).date():
        bench.cloud.advance(3700)
        began, _ = now(bench.cloud), bodies(bench, bench.url)
    bench.cloud.advance((first - began).total_seconds() - 20)
    assert bodies(bench, bench.url) == []
    bench.cloud.advance(60)
    wanted = [(first + timedelta(days=day)).astimezone(UTC).strftime("daily %Y-%m-%dT%H:%M:%SZ") for day in range(3)]
    assert bodies(bench, bench.url) == wanted[:1]
    bench.cloud.advance(2 * 86400)
    assert bodies(bench, bench.url) == wanted[1:]
    bench.scheduler.delete_schedule(Name="daily")


def test_advance_fires_everything_due_once_and_in_order(bench: Bench) -> None:
    began = now(bench.cloud).replace(microsecond=0)
    for name, seconds in (("late", 7000), ("early", 100), ("never", 9000)):
        moment = began + timedelta(seconds=seconds)
        bench.create(name, f"at({moment:%Y-%m-%dT%H:%M:%S})", {"Input": f"{name} {STAMP}"})
    bench.create("hourly", "rate(1 hour)", {"Input": "hourly"})
    assert bench.receive(bench.url, "hourly") is not None  # a rate fires when it is created
    answer = bench.cloud.advance(7300)
    assert answer["settled"] is True
    assert [body.split()[0] for body in bodies(bench, bench.url)] == ["early", "hourly", "late", "hourly"]
    for name in ("late", "early", "never", "hourly"):
        bench.scheduler.delete_schedule(Name=name)


def test_advance_fires_a_schedule_that_terminates_an_instance(bench: Bench) -> None:
    ec2, iam = bench.cloud.client("ec2"), bench.cloud.client("iam")
    role = bench.make_role("ender", ["dead"])
    may = {"Effect": "Allow", "Action": "ec2:TerminateInstances", "Resource": "*"}
    iam.put_role_policy(RoleName="ender", PolicyName="kill", PolicyDocument=json.dumps({"Statement": [may]}))
    server = instances.run(ec2, "#!/bin/sh\nsleep 600\n")
    instances.wait_for_state(ec2, server, "running")
    moment = now(bench.cloud) + timedelta(hours=1)
    target = {
        "Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances",
        "RoleArn": role,
        "Input": json.dumps({"InstanceIds": [server]}),
    }
    bench.create(f"kill-{server}", f"at({moment:%Y-%m-%dT%H:%M:%S})", target, ActionAfterCompletion="DELETE")
    bench.cloud.advance(3500)
    assert instances.state(ec2, server) == "running"
    bench.cloud.advance(120)
    instances.wait_for_state(ec2, server, "terminated")
    assert bench.scheduler.list_schedules(NamePrefix="kill-")["Schedules"] == []
    bench.cloud.advance(4600)
    assert instances.refusal(ec2.describe_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"


def test_keys_of_assumed_role_expire_after_an_hour(bench: Bench) -> None:
    account = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}]}
    arn = make_role(bench.cloud, "assumed", trust=account)
    keys = bench.cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    sts = bench.cloud.client(
        "sts",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    bench.cloud.advance(3000)
    assert sts.get_caller_identity()["Arn"].endswith(":assumed-role/assumed/test")
    bench.cloud.advance(700)
    with pytest.raises(ClientError) as refused:
        sts.get_caller_identity()
    assert refused.value.response["Error"]["Code"] in ("ExpiredToken", "ExpiredTokenException")


def test_failed_event_is_retried_after_one_and_two_minutes(bench: Bench) -> None:
    cloud = bench.cloud
    dead = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"
    allow = {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": dead}]}
    functions = make_function(
        cloud, "fails", "def handler(e, c): raise ValueError('no')", make_role(cloud, "failing", allow),
        DeadLetterConfig={"TargetArn": dead},
    )  # fmt: skip
    functions.invoke(FunctionName="fails", InvocationType="Event", Payload=b'{"n": 1}')

    instances.wait_until(lambda: attempts(cloud, "fails") == 1)
    # The retry may not come early, even if half a minute of real time passes between the two checks.
    cloud.advance(30)
    assert attempts(cloud, "fails") == 1
    cloud.advance(50)
    assert attempts(cloud, "fails") == 2
    cloud.advance(60)
    assert attempts(cloud, "fails") == 2
    assert bodies(bench, bench.dead) == []
    cloud.advance(90)
    assert attempts(cloud, "fails") == 3
    assert bodies(bench, bench.dead) == ['{"n": 1}']


def test_retry_is_on_time_after_a_partial_advance() -> None:
    async def scenario() -> float:
        clock, began = AdjustableClock(), time.monotonic()
        waiting = clock.work(clock.sleep(300))
        await asyncio.sleep(0.01)
        await clock.advance(200)
        assert not waiting.done()
        await clock.advance(99)
        await asyncio.wait_for(waiting, 60)
        return time.monotonic() - began

    assert asyncio.run(scenario()) < 60


def test_reset_keeps_the_remaining_wait_of_a_retry() -> None:
    async def scenario() -> None:
        clock = AdjustableClock()
        await clock.advance(3600)
        waiting = clock.work(clock.sleep(300))
        await asyncio.sleep(0.01)
        clock.reset()
        await clock.advance(200)
        assert not waiting.done()
        await clock.advance(101)
        await asyncio.wait_for(waiting, 60)

    asyncio.run(scenario())


def test_reset_does_not_delay_what_was_made_under_an_offset(bench: Bench) -> None:
    cloud = bench.cloud
    dead = f"arn:aws:sqs:us-east-1:{ACCOUNT}:dead"
    allow = {"Statement": [{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": dead}]}
    cloud.advance(7200)
    functions = make_function(
        cloud, "falters", "def handler(e, c): raise ValueError('no')", make_role(cloud, "faltering", allow),
        DeadLetterConfig={"TargetArn": dead},
    )  # fmt: skip
    functions.invoke(FunctionName="falters", InvocationType="Event", Payload=b'{"n": 2}')
    bench.create("often", "rate(5 minutes)", {"Input": "often"})
    assert bench.receive(bench.url, "often") is not None
    instances.wait_until(lambda: attempts(cloud, "falters") == 1)
    cloud.control("clock", method="DELETE")
    assert attempts(cloud, "falters") == 1
    cloud.advance(90)
    assert attempts(cloud, "falters") == 2
    cloud.advance(130)
    assert bodies(bench, bench.dead) == ['{"n": 2}']
    cloud.advance(300)
    assert bodies(bench, bench.url) == ["often"]
    bench.scheduler.delete_schedule(Name="often")


def attempts(cloud: Running, name: str) -> int:
    """Return how often a function ran."""
    try:
        events = cloud.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    except ClientError:
        return 0
    return sum(event["message"].startswith("REPORT") for event in events)


def test_event_rule_with_a_rate_follows_the_clock(bench: Bench) -> None:
    events = bench.cloud.client("events")
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:sink"
    policy = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"},
              "Action": "sqs:SendMessage", "Resource": arn}]}  # fmt: skip
    bench.sqs.set_queue_attributes(QueueUrl=bench.url, Attributes={"Policy": json.dumps(policy)})
    for name, expression in (("each-hour", "rate(1 hour)"), ("at-noon", "cron(0 12 * * ? *)")):
        events.put_rule(Name=name, ScheduleExpression=expression)
        events.put_targets(Rule=name, Targets=[{"Id": "one", "Arn": arn, "Input": json.dumps(name)}])
    bench.cloud.advance(86400)
    found = bodies(bench, bench.url)
    assert (found.count('"each-hour"'), found.count('"at-noon"')) == (24, 1)
    for name in ("each-hour", "at-noon"):
        events.remove_targets(Rule=name, Ids=["one"])
        events.delete_rule(Name=name)


def test_functions_cannot_use_the_clock_control(bench: Bench) -> None:
    source = """
import os, time, urllib.error, urllib.request
def handler(event, context):
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + "/_localcloud/clock", data=b'{"advance": 1}')
    try:
        return [urllib.request.urlopen(request).status, time.time()]
    except urllib.error.HTTPError as error:
        return [error.code, time.time()]
"""
    bench.cloud.advance(5000)
    functions = make_function(bench.cloud, "turns", source, make_role(bench.cloud, "turning"))
    status, its_time = invoked(functions, "turns")
    assert status == 403
    assert abs(its_time - time.time()) < 60
    assert bench.cloud.control("clock", method="GET")["offset"] == 5000
    # The function's keys follow the machine's clock as well, so they are still valid a day later.
    bench.cloud.advance(86400)
    assert invoked(functions, "turns")[0] == 403


def invoked(functions: Any, name: str) -> Any:
    return json.loads(functions.invoke(FunctionName=name, Payload=b"{}")["Payload"].read())
