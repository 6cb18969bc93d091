"""Delivering one due time of a schedule to its target, as the target's role: retries and the dead-letter queue.

When a schedule is due does not belong here; what the role may do is authorized at the request itself.
"""

import asyncio
import json
import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore import xform_name
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, HTTPClientError

from localcloud.cloud.facts import Cloud
from localcloud.services.clients import client
from localcloud.services.iam import roles
from localcloud.services.scheduler.store import Fields

_log = logging.getLogger("localcloud.scheduler")
SERVICE = "scheduler.amazonaws.com"
_UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"
MAX_AGE = 86400
MAX_ATTEMPTS = 185
_LONGEST_WAIT = 60.0
_READ_ONLY = ("get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "lookup")
# Names of services in the SDK whose name in boto3 differs.
_SDK_NAMES = {"cloudwatchlogs": "logs", "eventbridge": "events", "sfn": "stepfunctions", "costexplorer": "ce"}


@dataclass(frozen=True)
class Due:
    """One due time of one schedule."""

    schedule: Fields
    account: str
    region: str
    time: datetime

    @property
    def stamp(self) -> str:
        """The scheduled time as AWS writes it: 2026-11-24T02:30:00Z."""
        return self.time.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class _Failure:
    """Why an attempt failed, and whether another one may succeed."""

    code: str
    message: str
    retry: bool = False


def refused_target(arn: str) -> str | None:
    """Return why a target could never be delivered to, as a validation message; None when it can."""
    if arn.startswith(_UNIVERSAL):
        service, _, action = arn[len(_UNIVERSAL) :].partition(":")
        if not service or not re.fullmatch(r"[A-Za-z0-9]+", action):
            return f"Invalid universal target {arn}."
        if action.lower().startswith(_READ_ONLY):
            return f"{service}:{action} is a read-only API and not a supported target."
        return None
    if re.fullmatch(r"arn:aws:(lambda:[^:]+:\d{12}:function:.+|sqs:[^:]+:\d{12}:.+|sns:[^:]+:\d{12}:.+)", arn):
        return None
    return f"The local cloud delivers to Lambda, SQS, SNS and universal targets, not to {arn}."


def max_age(schedule: Fields) -> float:
    """Return how many seconds after its due time an event may still be delivered."""
    return float(_retry_policy(schedule).get("MaximumEventAgeInSeconds", MAX_AGE))


async def deliver(cloud: Cloud, due: Due, exists: Callable[[], bool]) -> None:
    """Deliver until it succeeds, fails for good, or its retry policy is exhausted; then to the dead-letter queue.

    Stops, and sends nothing, when the schedule no longer exists.
    """
    most = int(_retry_policy(due.schedule).get("MaximumRetryAttempts", MAX_ATTEMPTS))
    number, failure = 0, _Failure("", "")
    while exists():
        exhausted = _exhausted(cloud, due, number, most)
        if exhausted:
            await asyncio.to_thread(dead_letter, cloud, due, (failure.code, failure.message), number, exhausted)
            return
        if number:
            await cloud.clock.sleep(min(2.0 ** (number - 1), _LONGEST_WAIT))
        number += 1
        failed = await asyncio.to_thread(_attempt, cloud, due, number)
        if failed is None:
            return
        failure = failed
        if not failure.retry:
            await asyncio.to_thread(dead_letter, cloud, due, (failure.code, failure.message), number, "")
            return


def _exhausted(cloud: Cloud, due: Due, attempts: int, most: int) -> str:
    """Return which limit of the retry policy forbids a further attempt; "" when none does."""
    if attempts and (cloud.clock.now() - due.time).total_seconds() > max_age(due.schedule):
        return "MaximumEventAgeInSeconds"
    if attempts > most:
        return "MaximumRetryAttempts"
    return ""


def _retry_policy(schedule: Fields) -> dict[str, Any]:
    return schedule["Target"].get("RetryPolicy") or {}


def _attempt(cloud: Cloud, due: Due, number: int) -> _Failure | None:
    """Deliver once; None for success."""
    try:
        session = roles.assume(due.schedule["Target"]["RoleArn"], SERVICE, uuid.uuid4().hex, trust_keys(due.schedule))
    except roles.RoleRefused as refused:
        return _Failure("AccessDeniedException", str(refused))
    try:
        _send(cloud, due, number, session)
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        retry = status >= 500 or status == 429 or "Throttl" in code or code == "RequestLimitExceeded"
        return _Failure(code, error.response["Error"].get("Message", ""), retry)
    except (EndpointConnectionError, HTTPClientError) as error:
        return _Failure("SdkClientException", str(error), retry=True)
    except (BotoCoreError, ValueError, AttributeError) as error:
        return _Failure("ValidationException", str(error))
    finally:
        roles.end(session)
    return None


def _send(cloud: Cloud, due: Due, number: int, session: roles.Session) -> None:
    target = due.schedule["Target"]
    arn, text = target["Arn"], filled(due, number)
    if arn.startswith(_UNIVERSAL):
        service, _, action = arn[len(_UNIVERSAL) :].partition(":")
        api = client(cloud, _SDK_NAMES.get(service.lower(), service.lower()), due.region, session)
        operation = next(
            (name for name in api.meta.service_model.operation_names if name.lower() == action.lower()), None
        )
        if operation is None:
            raise ValueError(f"{service} has no action {action}")
        getattr(api, xform_name(operation))(**json.loads(text or "{}"))
    elif arn.startswith("arn:aws:lambda:"):
        functions = client(cloud, "lambda", arn.split(":")[3], session)
        functions.invoke(FunctionName=arn, InvocationType="Event", Payload=text.encode())
    elif arn.startswith("arn:aws:sqs:"):
        queues = client(cloud, "sqs", arn.split(":")[3], session)
        group = target.get("SqsParameters", {}).get("MessageGroupId")
        more = {"MessageGroupId": group} if group else {}
        queues.send_message(QueueUrl=_queue_url(cloud, arn), MessageBody=text, **more)
    else:
        client(cloud, "sns", arn.split(":")[3], session).publish(TopicArn=arn, Message=text)


def filled(due: Due, number: int) -> str:
    """Return the input of one attempt, its context attributes replaced; without an input, Scheduler's own event."""
    text = due.schedule["Target"].get("Input")
    if text is None:
        return json.dumps(
            {
                "version": "0",
                "id": str(uuid.uuid4()),
                "detail-type": "Scheduled Event",
                "source": "aws.scheduler",
                "account": due.account,
                "time": due.stamp,
                "region": due.region,
                "resources": [due.schedule["Arn"]],
                "detail": "{}",
            }
        )
    for name, value in (
        ("schedule-arn", due.schedule["Arn"]),
        ("scheduled-time", due.stamp),
        ("execution-id", str(uuid.uuid4())),
        ("attempt-number", str(number)),
    ):
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return str(text)


def trust_keys(schedule: Fields) -> dict[str, str]:
    """Return the condition keys under which Scheduler assumes a role: the ARN of the schedule's group."""
    prefix = ":".join(schedule["Arn"].split(":")[:5])
    return {"aws:sourcearn": f"{prefix}:schedule-group/{schedule['GroupName']}"}


def dead_letter(cloud: Cloud, due: Due, failure: tuple[str, str], attempts: int, exhausted: str) -> None:
    """Send an undelivered due time to the schedule's dead-letter queue, as the target's role."""
    arn = (due.schedule["Target"].get("DeadLetterConfig") or {}).get("Arn")
    _log.warning("%s at %s not delivered: %s %s", due.schedule["Arn"], due.stamp, *failure)
    if not arn:
        return
    values = {
        "ERROR_CODE": failure[0],
        "ERROR_MESSAGE": failure[1],
        "EXECUTION_ID": str(uuid.uuid4()),
        "EXHAUSTED_RETRY_CONDITION": exhausted,
        "RETRY_ATTEMPTS": str(max(0, attempts - 1)),
        "SCHEDULED_TIME": due.stamp,
        "SCHEDULE_ARN": due.schedule["Arn"],
        "TARGET_ARN": due.schedule["Target"]["Arn"],
    }
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in values.items() if value}
    try:
        session = roles.assume(due.schedule["Target"]["RoleArn"], SERVICE, uuid.uuid4().hex, trust_keys(due.schedule))
        queues = client(cloud, "sqs", arn.split(":")[3], session)
        body = filled(due, attempts)
        queues.send_message(QueueUrl=_queue_url(cloud, arn), MessageBody=body, MessageAttributes=attributes)
    except (ClientError, BotoCoreError, roles.RoleRefused) as error:
        _log.warning("%s: its dead-letter queue could not be reached either: %s", due.schedule["Arn"], error)


def _queue_url(cloud: Cloud, arn: str) -> str:
    return f"{cloud.endpoint}/{arn.split(':')[4]}/{arn.split(':')[5]}"
