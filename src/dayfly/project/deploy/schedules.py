"""Create, update and delete the jobs' schedules until they match a plan. Kill schedules and the sweeper's are never touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dayfly.core import names
from dayfly.core.model import JobSchedule
from dayfly.flows.calls import CreateSchedule, DeleteSchedule, Flow, GetSchedule, ListSchedules, UpdateSchedule, ask
from dayfly.project.deploy.scope import Scope
from dayfly.project.stack.functions import SWEEPER_SCHEDULE

_RETRIES = 10


def job_schedules() -> Flow[tuple[str, ...]]:
    """Return the names of the jobs' schedules that exist now."""
    found = yield from ask(ListSchedules())
    return tuple(name for name in found if name != SWEEPER_SCHEDULE and not name.startswith(names.KILL_PREFIX))


def sync_schedules(scope: Scope, wanted: tuple[JobSchedule, ...], outputs: Mapping[str, str]) -> Flow[int]:
    """Create, update and delete schedules until they are as wanted. Returns how many changed. `outputs`: those of the stack."""
    existing = yield from job_schedules()
    changed = 0
    for one in wanted:
        changed += yield from _sync(schedule_request(scope, one, outputs), exists=one.name in existing)
    for name in sorted(set(existing) - {one.name for one in wanted}):
        yield from ask(DeleteSchedule(name))
        changed += 1
    return changed


def remove_schedules() -> Flow[int]:
    """Delete every schedule of the jobs. Returns how many."""
    found = yield from job_schedules()
    for name in found:
        yield from ask(DeleteSchedule(name))
    return len(found)


def schedule_request(scope: Scope, one: JobSchedule, outputs: Mapping[str, str]) -> dict[str, Any]:
    """Return the request that creates or updates a schedule. It has all fields, because an update replaces all of them."""
    return {
        "Name": one.name,
        "GroupName": scope.stack,
        "Description": f"ticks of {one.name.split('.')[0]}",
        "ScheduleExpression": one.expression,
        "ScheduleExpressionTimezone": one.timezone,
        "State": "ENABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "Target": {
            "Arn": outputs["Launcher"],
            "RoleArn": outputs["ScheduleRole"],
            "Input": one.event,
            "RetryPolicy": {"MaximumEventAgeInSeconds": one.max_age_s, "MaximumRetryAttempts": _RETRIES},
            "DeadLetterConfig": {"Arn": outputs["DeadLetters"]},
        },
    }


def _sync(request: Mapping[str, Any], *, exists: bool) -> Flow[bool]:
    """Create or update one schedule. Returns whether anything changed."""
    if not exists:
        if (yield from ask(CreateSchedule(request))):
            return True
        # Another deploy created it in the meantime.
        return (yield from ask(UpdateSchedule(request)))
    found = yield from ask(GetSchedule(request["Name"]))
    if found is not None and all(found.get(key) == value for key, value in request.items()):
        return False
    if not (yield from ask(UpdateSchedule(request))):
        yield from ask(CreateSchedule(request))
    return True
