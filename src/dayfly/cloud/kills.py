"""Answers the calls about kill schedules: a one-shot schedule per server by which AWS itself terminates it, without dayfly's code."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of
from dayfly.cloud.context import Context
from dayfly.core import names
from dayfly.flows import calls


def arm(context: Context, call: calls.Arm) -> None:
    server, at = call.server, call.at.strftime("%Y-%m-%dT%H:%M:%S")
    try:
        context.aws.client("scheduler").create_schedule(
            Name=names.kill_schedule(server),
            GroupName=context.group,
            Description=f"ends {server} if nothing else did",
            ScheduleExpression=f"at({at})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances",
                "RoleArn": context.kill_role,
                # Not validated by Scheduler when created: a test fires it on the local cloud.
                "Input": json.dumps({"InstanceIds": [server]}),
                "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
                "DeadLetterConfig": {"Arn": context.dead_letters},
            },
        )
    except ClientError as error:
        if code_of(error) != "ConflictException":
            raise


def is_armed(context: Context, call: calls.IsArmed) -> bool:
    try:
        context.aws.client("scheduler").get_schedule(Name=names.kill_schedule(call.server), GroupName=context.group)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return False
        raise
    return True


def disarm(context: Context, call: calls.Disarm) -> None:
    try:
        context.aws.client("scheduler").delete_schedule(Name=names.kill_schedule(call.server), GroupName=context.group)
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
