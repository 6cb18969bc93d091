"""Say from a stack's events why a change of it failed, and what to do about it. No I/O; change.py makes the calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from dayfly.errors import SupplyError
from dayfly.flows.calls import StackEvent

_CANCELLED = "cancelled"
"""In the reason of resources that did not fail themselves: another one did."""
_NAMES = {
    "AWS::SQS::Queue": ("QueueName", "queue", ""),
    "AWS::SNS::Topic": ("TopicName", "topic", ""),
    "AWS::Events::Rule": ("Name", "rule", ""),
    "AWS::Lambda::Function": ("FunctionName", "function", "aws lambda delete-function --function-name {}"),
    "AWS::Logs::LogGroup": ("LogGroupName", "log group", "aws logs delete-log-group --log-group-name {}"),
    "AWS::Scheduler::ScheduleGroup": ("Name", "schedule group", "aws scheduler delete-schedule-group --name {}"),
}
"""The kinds of resources with a name that the template gives: the property, the kind in words, the command that deletes one."""


def failures(events: Sequence[StackEvent]) -> tuple[StackEvent, ...]:
    """Return the resources that failed in the newest change, first failure first. `events`: that change's, newest first."""
    failed = (each for each in reversed(events) if each.status.endswith("FAILED"))
    return tuple(
        each for each in failed if each.kind != "AWS::CloudFormation::Stack" and _CANCELLED not in each.reason.lower()
    )


def first_failure(events: Sequence[StackEvent]) -> str:
    """Return `RESOURCE: REASON` of the first failure in the newest change."""
    for event in failures(events):
        return f"{event.resource}: {event.reason or 'no reason given'}"
    return "an unknown resource: no event says why"


def undeleted(events: Sequence[StackEvent]) -> dict[str, StackEvent]:
    """Return what the newest deletion could not delete, by logical id, each with its last failure."""
    return {each.resource: each for each in failures(events) if each.status == "DELETE_FAILED"}


def can_be_retained(left: Iterable[StackEvent]) -> bool:
    """Return whether all of these may stay behind: none has a name that the next stack needs."""
    return all(each.kind not in _NAMES for each in left)


def described(left: Iterable[StackEvent]) -> str:
    """Return what is left, with physical ids and reasons, in one line."""
    return "; ".join(
        f"{each.resource} ({each.physical or each.kind}): {each.reason or 'no reason given'}" for each in left
    )


def failed_change(name: str, events: Sequence[StackEvent], template: str) -> SupplyError:
    """Return the error of a creation or an update that failed: the first resource and why, or the name that is taken."""
    for event in failures(events)[:1]:
        if "already exists" in event.reason.lower():
            return _taken(name, event, json.loads(template))
    return SupplyError(
        f"stack {name} failed at {first_failure(events)}",
        hint=f"aws cloudformation describe-stack-events --stack-name {name}",
    )


def _taken(name: str, event: StackEvent, template: dict[str, Any]) -> SupplyError:
    properties = template.get("Resources", {}).get(event.resource, {}).get("Properties", {})
    key, word, command = _NAMES.get(event.kind, ("", event.kind, ""))
    existing = f"{word} {properties.get(key, event.resource)}"
    delete = command.format(properties.get(key, "")) or f"delete the {existing}"
    return SupplyError(
        f"stack {name} failed at {event.resource}: {existing} already exists, and this stack did not make it",
        hint=f"if nothing uses it: {delete}, then dayfly deploy; otherwise rename the project",
        lines=(("AWS", event.reason),),
    )
