"""Answers the calls about kill schedules: one one-shot schedule per server, by which AWS itself terminates it.

None of dayfly's code runs when it fires.
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
    """Creates the schedule, which deletes itself after it fired."""
    try:
        _scheduler(context).create_schedule(
            Name=names.kill_schedule(call.server),
            GroupName=context.group,
            Description=f"ends {call.server} if nothing else did",
            ScheduleExpression=f"at({call.at:%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": _TERMINATE,
                "RoleArn": context.kill_role,
                # Scheduler does not check this when it creates the schedule: a test lets it fire on the local cloud.
                "Input": json.dumps({"InstanceIds": [call.server]}),
                "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
                "DeadLetterConfig": {"Arn": context.dead_letters},
            },
        )
    except ClientError as error:
        if code_of(error) != "ConflictException":
            raise


def is_armed(context: Context, call: calls.IsArmed) -> bool:
    """Asks for the schedule by its name."""
    try:
        _scheduler(context).get_schedule(Name=names.kill_schedule(call.server), GroupName=context.group)
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return False
        raise
    return True


def disarm(context: Context, call: calls.Disarm) -> None:
    """Deletes the schedule by its name."""
    try:
        _scheduler(context).delete_schedule(Name=names.kill_schedule(call.server), GroupName=context.group)
    except ClientError as error:
        if code_of(error) != _ABSENT:
            raise


def _scheduler(context: Context) -> Any:
    return context.aws.client("scheduler")
