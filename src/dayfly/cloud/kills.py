"""Kill schedules: one one-shot schedule per server that ends it by AWS alone, with no code of ours."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of
from dayfly.core import names
from dayfly.flows import calls


@dataclass(frozen=True, kw_only=True)
class Target:
    """The schedule group, the role as which Scheduler ends the server, and the queue for what it could not do."""

    group: str
    role: str
    dead_letters: str


def answer(scheduler: Any, target: Target, call: calls.Call[Any]) -> Any:
    """Answers the calls about kill schedules."""
    match call:
        case calls.Arm(server, at):
            return _arm(scheduler, target, server, at.strftime("%Y-%m-%dT%H:%M:%S"))
        case calls.IsArmed(server):
            return _is_armed(scheduler, target, server)
        case calls.Disarm(server):
            return _disarm(scheduler, target, server)
        case _:
            raise TypeError(type(call).__name__)


def _arm(scheduler: Any, target: Target, server: str, at: str) -> None:
    try:
        scheduler.create_schedule(
            Name=names.kill_schedule(server),
            GroupName=target.group,
            Description=f"ends {server} if nothing else did",
            ScheduleExpression=f"at({at})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target={
                "Arn": "arn:aws:scheduler:::aws-sdk:ec2:terminateInstances",
                "RoleArn": target.role,
                # Not validated by Scheduler when created: a test fires it on the local cloud.
                "Input": json.dumps({"InstanceIds": [server]}),
                "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
                "DeadLetterConfig": {"Arn": target.dead_letters},
            },
        )
    except ClientError as error:
        if code_of(error) != "ConflictException":
            raise


def _is_armed(scheduler: Any, target: Target, server: str) -> bool:
    try:
        scheduler.get_schedule(Name=names.kill_schedule(server), GroupName=target.group)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return False
        raise
    return True


def _disarm(scheduler: Any, target: Target, server: str) -> None:
    try:
        scheduler.delete_schedule(Name=names.kill_schedule(server), GroupName=target.group)
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
