"""Answer the calls about kill schedules. Each server has one: it fires once, a minute after the deadline, and AWS terminates the server.

No code of dayfly is involved when it fires.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of
from dayfly.cloud.context import Context
from dayfly.core import names
from dayfly.flows import calls

_TERMINATE = "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances"
_ABSENT = "ResourceNotFoundException"


def arm(context: Context, call: calls.Arm) -> None:
    """Create the schedule unless it exists. It deletes itself after it has fired."""
    try:
        _scheduler(context).create_schedule(
            Name=names.kill_schedule(call.server),
            GroupName=context.group,
            Description=f"terminates {call.server} if nothing else did",
            ScheduleExpression=f"at({call.at:%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": _TERMINATE,
                "RoleArn": context.kill_role,
                # Scheduler does not validate the input on creation, so a test lets the schedule fire on the local cloud.
                "Input": json.dumps({"InstanceIds": [call.server]}),
                "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
                "DeadLetterConfig": {"Arn": context.dead_letters},
            },
        )
    except ClientError as error:
        if code_of(error) != "ConflictException":
            raise


def is_armed(context: Context, call: calls.IsArmed) -> bool:
    """Return whether the server's kill schedule exists."""
    try:
        _scheduler(context).get_schedule(Name=names.kill_schedule(call.server), GroupName=context.group)
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return False
        raise
    return True


def disarm(context: Context, call: calls.Disarm) -> None:
    """Delete the server's kill schedule, if it exists."""
    try:
        _scheduler(context).delete_schedule(Name=names.kill_schedule(call.server), GroupName=context.group)
    except ClientError as error:
        if code_of(error) != _ABSENT:
            raise


def _scheduler(context: Context) -> Any:
    return context.aws.client("scheduler")
