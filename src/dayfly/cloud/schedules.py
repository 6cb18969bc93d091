"""Answer the calls about the jobs' schedules in EventBridge Scheduler. Kill schedules are in kills.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of
from dayfly.cloud.context import Context
from dayfly.errors import Vanished
from dayfly.flows import calls

_ABSENT = "ResourceNotFoundException"


def list_all(context: Context, _call: calls.ListSchedules) -> tuple[str, ...]:
    """Return the names of all schedules in the group, including kill schedules and the sweeper's."""
    pages = _scheduler(context).get_paginator("list_schedules").paginate(GroupName=context.group)
    try:
        return tuple(sorted(each["Name"] for page in pages for each in page["Schedules"]))
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return ()
        raise


def get(context: Context, call: calls.GetSchedule) -> Mapping[str, Any] | None:
    """Return a schedule, or None. It has the keys of the request that created it, and more, such as the ARN."""
    try:
        answer: Mapping[str, Any] = _scheduler(context).get_schedule(Name=call.name, GroupName=context.group)
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return None
        raise
    return answer


def create(context: Context, call: calls.CreateSchedule) -> bool:
    """Create a schedule. Returns False if one of this name exists. Raises Vanished if its group does not exist."""
    try:
        _scheduler(context).create_schedule(**call.request)
    except ClientError as error:
        if code_of(error) == "ConflictException":
            return False
        if code_of(error) == _ABSENT:
            raise Vanished(
                "CreateSchedule: the stack with its schedule group does not exist any more", hint="dayfly deploy"
            ) from error
        raise
    return True


def update(context: Context, call: calls.UpdateSchedule) -> bool:
    """Replace all fields of a schedule. Returns False if it does not exist."""
    try:
        _scheduler(context).update_schedule(**call.request)
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return False
        raise
    return True


def delete(context: Context, call: calls.DeleteSchedule) -> None:
    """Delete a schedule, if it exists."""
    try:
        _scheduler(context).delete_schedule(Name=call.name, GroupName=context.group)
    except ClientError as error:
        if code_of(error) != _ABSENT:
            raise


def _scheduler(context: Context) -> Any:
    return context.aws.client("scheduler")
