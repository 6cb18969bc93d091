"""EventBridge Scheduler: times, targets, retries, groups."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import rows
from targets import REGION, Target, allow, error_code

TYPES = "EventBridge Scheduler User Guide, Schedule types"
CONTEXT = "EventBridge Scheduler User Guide, Adding context attributes"
UNIVERSAL = "EventBridge Scheduler User Guide, Using universal targets"
DEAD = "EventBridge Scheduler User Guide, Configuring a dead-letter queue"
API = "EventBridge Scheduler API Reference, "

row = partial(rows.row, "scheduler")


def at(seconds: float, zone: str = "UTC") -> str:
    """Return an `at()` expression this many seconds from now, in a zone's time."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds)
    return f"at({moment.astimezone(ZoneInfo(zone)):%Y-%m-%dT%H:%M:%S})"


def sender(target: Target, *statements: dict[str, Any]) -> str:
    """Create a role for Scheduler and return its ARN."""
    return target.role("scheduler", list(statements) or [allow("sqs:SendMessage")])


def create(target: Target, expression: str, arn: str, role: str = "", **more: Any) -> str:
    """Create a schedule and return its name."""
    scheduler, name = target.client("scheduler"), target.name_for("schedule")
    aim = {"Arn": arn, "RoleArn": role or sender(target), "Input": "{}"} | more.pop("Target", {})
    parameters = {"ScheduleExpression": expression, "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": aim, "Name": name}
    target.retried(lambda: scheduler.create_schedule(**(parameters | more)))
    target.undo_after_row(scheduler.delete_schedule, Name=name, **{k: v for k, v in more.items() if k == "GroupName"})
    return name


def refused(target: Target, expression: str, **more: Any) -> str:
    """Return the error code of creating a schedule ("" if it succeeds)."""
    parameters = {
        "Target": {"Arn": f"arn:aws:sqs:{REGION}:{target.account}:none", "RoleArn": sender(target), "Input": "x"}
    }
    parameters["Target"] |= more.pop("Target", {})
    scheduler, name = target.client("scheduler"), target.name_for("schedule")
    target.undo_after_row(scheduler.delete_schedule, Name=name)
    window = {"Mode": "OFF"}
    return error_code(
        scheduler.create_schedule,
        Name=name,
        ScheduleExpression=expression,
        FlexibleTimeWindow=window,
        **(parameters | more),
    )


@row("A one-time schedule fires once, at its time in its time zone", TYPES)
def one_time_in_a_zone(target: Target) -> None:
    url, arn = target.queue()
    zone = "Asia/Tokyo"
    create(target, at(target.until_due, zone), arn, Target={"Input": "tokyo"}, ScheduleExpressionTimezone=zone)
    target.let_pass(301)
    found = target.message(url)
    assert found is not None
    assert found["Body"] == "tokyo"
    assert target.message(url, 1.5) is None


@row("Context attributes in the input are replaced", CONTEXT)
def context_attributes(target: Target) -> None:
    url, arn = target.queue()
    words = ["scheduled-time", "execution-id", "attempt-number", "schedule-arn"]
    message_template = json.dumps({word: f"<aws.scheduler.{word}>" for word in words})
    expression = at(target.until_due)
    name = create(target, expression, arn, Target={"Input": message_template})
    target.let_pass(301)
    found = target.message(url)
    assert found is not None
    record = json.loads(found["Body"])
    assert record["scheduled-time"] == expression[3:-1] + "Z"
    assert record["attempt-number"] == "1"
    assert record["schedule-arn"] == f"arn:aws:scheduler:{REGION}:{target.account}:schedule/default/{name}"
    assert "<" not in record["execution-id"]


@row("A universal target calls an action of any service, with its parameters", UNIVERSAL)
def universal_targets(target: Target) -> None:
    url, _ = target.queue()
    record = json.dumps({"QueueUrl": url, "MessageBody": "universal"})
    create(target, at(target.until_due), "arn:aws:scheduler:::aws-sdk:sqs:sendMessage", Target={"Input": record})
    target.let_pass(301)
    found = target.message(url)
    assert found is not None
    assert found["Body"] == "universal"


@row("A universal target can terminate an instance", UNIVERSAL)
def schedule_terminates_an_instance(target: Target) -> None:
    (server,) = target.launch()
    role = sender(target, allow("ec2:TerminateInstances"))
    parameters = {"Input": json.dumps({"InstanceIds": [server]})}
    create(target, at(target.until_due), "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances", role, Target=parameters)
    target.let_pass(301)
    target.wait_for_state(server, "terminated")


@row("A delivery that the role may not make goes to the dead-letter queue, with the reason", DEAD)
def dead_letters(target: Target) -> None:
    url, arn = target.queue()
    _, other = target.queue()
    role = sender(target, allow("sqs:SendMessage", arn))
    create(target, at(target.until_due), other, role, Target={"Input": "denied", "DeadLetterConfig": {"Arn": arn}})
    target.let_pass(301)
    found = target.message(url)
    assert found is not None
    values = {name: one["StringValue"] for name, one in found["MessageAttributes"].items()}
    assert found["Body"] == "denied"
    assert values["TARGET_ARN"] == other
    assert {"ERROR_CODE", "ERROR_MESSAGE", "EXECUTION_ID", "RETRY_ATTEMPTS", "SCHEDULED_TIME", "SCHEDULE_ARN"} <= set(
        values
    )


@row(
    "ActionAfterCompletion DELETE deletes a schedule after its last run; otherwise it stays",
    "EventBridge Scheduler User Guide, Deleting a schedule",
)
def deletion_after_completion(target: Target) -> None:
    url, arn = target.queue()
    scheduler = target.client("scheduler")
    gone = create(target, at(target.until_due), arn, ActionAfterCompletion="DELETE")
    stays = create(target, at(target.until_due), arn)
    target.let_pass(301)
    assert target.message(url) is not None
    assert target.message(url) is not None
    target.wait_for(lambda: error_code(scheduler.get_schedule, Name=gone) == "ResourceNotFoundException")
    assert scheduler.get_schedule(Name=stays)["State"] == "ENABLED"


@row("rate() without a start date fires at once; a disabled schedule does not fire", TYPES)
def rates(target: Target) -> None:
    url, arn = target.queue()
    role = sender(target)
    create(target, "rate(1 hour)", arn, role, Target={"Input": "off"}, State="DISABLED")
    create(target, "rate(1 hour)", arn, role, Target={"Input": "on"})
    found = target.message(url)
    assert found is not None
    assert found["Body"] == "on"
    assert target.message(url, 1.0) is None


@row("cron() fires at its minute, in its time zone", TYPES)
def crons(target: Any) -> None:
    url, arn = target.queue()
    role, zone = sender(target), ZoneInfo("Asia/Kolkata")
    # Two minutes ahead, rounded down: the minute has not begun when the schedule is created.
    moment = datetime.now(UTC).astimezone(zone) + timedelta(minutes=2)
    expression = f"cron({moment.minute} {moment.hour} {moment.day} {moment.month} ? {moment.year})"
    create(target, expression, arn, role, Target={"Input": "cron"}, ScheduleExpressionTimezone="Asia/Kolkata")
    assert target.message(url, 1.0) is None
    target.let_pass(150)
    found = target.message(url)
    assert found is not None
    assert found["Body"] == "cron"


def changes(zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Return noon of the next days on which daylight saving begins and ends in a zone."""
    found: dict[bool, datetime] = {}
    noon = datetime.now(zone).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=2)
    while len(found) < 2:
        before, after = (noon - timedelta(days=1)).utcoffset(), noon.utcoffset()
        if before != after:
            found.setdefault((after or timedelta()) > (before or timedelta()), noon)
        noon += timedelta(days=1)
    return found[True], found[False]


@row(
    "When daylight saving begins, cron() skips the missing time; when it ends, it fires once at the repeated time",
    TYPES + ", Daylight saving time",
    not_on_aws="it takes months",
)
def daylight_saving(target: Target) -> None:
    url, arn = target.queue()
    role, zone = sender(target), ZoneInfo("Europe/Berlin")
    forward, back = changes(zone)
    for hour, day, said in ((2, forward, "left out"), (3, forward, "after it"), (2, back, "twice there")):
        expression = f"cron(30 {hour} {day.day} {day.month} ? *)"
        create(target, expression, arn, role, Target={"Input": said}, ScheduleExpressionTimezone="Europe/Berlin")
    target.let_pass((max(forward, back) - datetime.now(UTC)).total_seconds())
    found = []
    while message := target.message(url, 5.0 if len(found) > 1 else None):
        found.append(message["Body"])
    assert sorted(found) == ["after it", "twice there"]


@row(
    "A one-time schedule in the past is refused",
    API + "CreateSchedule",
    unverified="All of it: it is known from public reports only.",
)
def the_past_is_refused(target: Target) -> None:
    assert refused(target, at(-600)) == "ValidationException"


@row("A cron without `?`, an unknown time zone and an invalid rate are ValidationException", TYPES)
def expressions_are_checked(target: Target) -> None:
    codes = {
        refused(target, one) for one in ("cron(0 0 * * * *)", "rate(0 minutes)", "rate(1 fortnight)", "at(tomorrow)")
    }
    assert codes == {"ValidationException"}
    assert refused(target, "rate(1 day)", ScheduleExpressionTimezone="Mars/Base") == "ValidationException"


@row("A read-only action cannot be a universal target", UNIVERSAL)
def read_only_actions(target: Target) -> None:
    code = refused(target, "rate(1 day)", Target={"Arn": "arn:aws:scheduler:::aws-sdk:ec2:describeInstances"})
    assert code == "ValidationException"


@row(
    "A role that does not exist, or does not trust Scheduler, is refused",
    API + "CreateSchedule",
    unverified="Its code.",
)
def roles_are_checked(target: Target) -> None:
    missing = f"arn:aws:iam::{target.account}:role/conf-none"
    assert refused(target, "rate(1 day)", Target={"RoleArn": missing}) == "ValidationException"
    assert refused(target, "rate(1 day)", Target={"RoleArn": target.role("lambda")}) == "ValidationException"


@row(
    "A role's trust can be limited to one schedule group",
    "EventBridge Scheduler User Guide, Cross-service confused deputy prevention",
)
def trust_by_group(target: Target) -> None:
    scheduler, group = target.client("scheduler"), target.name_for("group")
    arn = f"arn:aws:scheduler:{REGION}:{target.account}:schedule-group/{group}"
    principal = {"Service": "scheduler.amazonaws.com"}
    condition = {"StringEquals": {"aws:SourceArn": arn, "aws:SourceAccount": target.account}}
    trust = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole", "Condition": condition}
    role = target.role("scheduler", trust=trust)
    scheduler.create_schedule_group(Name=group)
    target.undo_after_row(scheduler.delete_schedule_group, Name=group)
    _, queue = target.queue()
    create(target, "rate(1 day)", queue, role, GroupName=group, State="DISABLED")
    assert refused(target, "rate(1 day)", Target={"RoleArn": role}) == "ValidationException"


@row("A second schedule of the same name in a group is ConflictException", API + "CreateSchedule")
def names_are_unique(target: Target) -> None:
    _, arn = target.queue()
    role = sender(target)
    name = create(target, "rate(1 day)", arn, role, State="DISABLED")
    parameters = {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Name": name}
    again = partial(
        target.client("scheduler").create_schedule, Target={"Arn": arn, "RoleArn": role, "Input": "x"}, **parameters
    )
    assert error_code(again) == "ConflictException"


@row("UpdateSchedule replaces every field: an omitted one returns to its default", API + "UpdateSchedule")
def updates_replace(target: Target) -> None:
    _, arn = target.queue()
    scheduler, role = target.client("scheduler"), sender(target)
    name = create(target, "rate(1 day)", arn, role, State="DISABLED", Description="old")
    parameters = {"ScheduleExpression": "rate(2 days)", "FlexibleTimeWindow": {"Mode": "OFF"}, "Name": name}
    scheduler.update_schedule(Target={"Arn": arn, "RoleArn": role, "Input": "{}"}, **parameters)
    found = scheduler.get_schedule(Name=name)
    assert (found["State"], found.get("Description", "")) == ("ENABLED", "")
    assert found["Target"]["RetryPolicy"] == {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}


@row("Deleting a schedule group deletes its schedules", API + "DeleteScheduleGroup")
def delete_group(target: Target) -> None:
    scheduler, group = target.client("scheduler"), target.name_for("group")
    scheduler.create_schedule_group(Name=group)
    _, arn = target.queue()
    name = create(target, "rate(1 day)", arn, GroupName=group, State="DISABLED")
    scheduler.delete_schedule_group(Name=group)
    target.wait_for(
        lambda: error_code(scheduler.get_schedule, Name=name, GroupName=group) == "ResourceNotFoundException"
    )


@row("A schedule in a group that does not exist is ResourceNotFoundException", API + "CreateSchedule")
def groups_are_checked(target: Target) -> None:
    assert refused(target, "rate(1 day)", GroupName="conf-none") == "ResourceNotFoundException"


@row(
    "Creating a schedule needs iam:PassRole on its role, for scheduler.amazonaws.com",
    "EventBridge Scheduler User Guide, Identity-based policy examples",
)
def pass_role_to_schedule(target: Target) -> None:
    _, arn = target.queue()
    role = sender(target)
    parameters = {"ScheduleExpression": "rate(1 day)", "FlexibleTimeWindow": {"Mode": "OFF"}, "State": "DISABLED"}
    parameters["Target"] = {"Arn": arn, "RoleArn": role, "Input": "x"}
    making = allow("scheduler:CreateSchedule", "arn:aws:scheduler:*:*:schedule/default/*")
    condition = {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}
    codes = []
    for statements in ([making], [making, allow("iam:PassRole", role, Condition=condition)]):
        client, name = target.client("scheduler", keys=target.session(*statements)), target.name_for("schedule")
        target.undo_after_row(target.client("scheduler").delete_schedule, Name=name)
        codes.append(error_code(client.create_schedule, Name=name, **parameters))
    assert codes == ["AccessDeniedException", ""]


@row(
    "A Lambda target is invoked with the input",
    "Lambda Developer Guide, Invoking a function on a schedule",
)
def schedule_invokes_a_function(target: Target) -> None:
    from lambda_rows import function

    url, queue = target.queue()
    source = "import boto3, json\ndef handler(event, context):\n"
    source += f"    boto3.client('sqs').send_message(QueueUrl={url!r}, MessageBody=json.dumps(event))\n"
    arn = function(target, source, [allow("sqs:SendMessage", queue)])
    role = sender(target, allow("lambda:InvokeFunction", arn))
    create(
        target,
        at(target.until_due),
        arn,
        role,
        Target={"Input": json.dumps({"tick": "<aws.scheduler.scheduled-time>"})},
    )
    target.let_pass(301)
    found = target.message(url)
    assert found is not None
    assert json.loads(found["Body"])["tick"].endswith("Z")
