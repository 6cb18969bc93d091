"""The jobs' schedules in EventBridge Scheduler: made to be what a plan says, no more and no less. Kill schedules are not touched."""

from __future__ import annotations

from typing import Any

from dayfly.cloud.clients import Aws
from dayfly.core import names
from dayfly.core.model import Scheduled

SWEEPER = "dayfly-sweeper"


def listed(aws: Aws, project: str) -> tuple[str, ...]:
    """Names of the jobs' schedules that stand now."""
    pages = aws.client("scheduler").get_paginator("list_schedules").paginate(GroupName=names.stack(project))
    found = [each["Name"] for page in pages for each in page["Schedules"]]
    return tuple(sorted(name for name in found if name != SWEEPER and not name.startswith(names.KILL_PREFIX)))


def sync(aws: Aws, project: str, wanted: tuple[Scheduled, ...], launcher: str, role: str, dead_letters: str) -> int:
    """Makes, changes and removes schedules until they are as wanted. Returns how many were touched."""
    scheduler = aws.client("scheduler")
    there = set(listed(aws, project))
    touched = 0
    for one in wanted:
        request = _request(project, one, launcher, role, dead_letters)
        if one.name not in there:
            scheduler.create_schedule(**request)
        elif _differs(scheduler.get_schedule(Name=one.name, GroupName=names.stack(project)), request):
            scheduler.update_schedule(**request)  # replaces all fields: the request is whole
        else:
            continue
        touched += 1
    for name in sorted(there - {one.name for one in wanted}):
        scheduler.delete_schedule(Name=name, GroupName=names.stack(project))
        touched += 1
    return touched


def remove_all(aws: Aws, project: str) -> int:
    """Removes every schedule of the jobs. Returns how many."""
    found = listed(aws, project)
    for name in found:
        aws.client("scheduler").delete_schedule(Name=name, GroupName=names.stack(project))
    return len(found)


def _request(project: str, one: Scheduled, launcher: str, role: str, dead_letters: str) -> dict[str, Any]:
    return {
        "Name": one.name,
        "GroupName": names.stack(project),
        "Description": f"ticks of {one.name.split('.')[0]}",
        "ScheduleExpression": one.expression,
        "ScheduleExpressionTimezone": one.timezone,
        "State": "ENABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": launcher,
            "RoleArn": role,
            "Input": one.event,
            "RetryPolicy": {"MaximumEventAgeInSeconds": one.max_age_s, "MaximumRetryAttempts": 10},
            "DeadLetterConfig": {"Arn": dead_letters},
        },
    }


def _differs(there: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return any(there.get(key) != value for key, value in wanted.items() if key != "Name")
