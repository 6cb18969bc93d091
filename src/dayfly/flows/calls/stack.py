"""Calls about the project's CloudFormation stack: find it, start a change of it, read why a change failed.

CloudFormation answers before a change is complete. A flow waits by finding the stack again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dayfly.flows.calls.call import Call


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack as CloudFormation shows it. `id` differs between two stacks that had the same name at different times."""

    id: str
    name: str
    status: str
    outputs: Mapping[str, str]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class NoStack:
    """CloudFormation shows no stack of this name."""

    id: ClassVar[str] = ""
    status: ClassVar[str] = ""
    tags: ClassVar[Mapping[str, str]] = {}


@dataclass(frozen=True, kw_only=True)
class StackEvent:
    """One line of a stack's history. `resource` is a logical id; for the stack itself it is the stack's name.

    `kind`: CloudFormation's type, such as AWS::SQS::Queue. `physical`: the name or id in the account; empty before there is one.
    """

    resource: str
    status: str
    reason: str
    kind: str = ""
    physical: str = ""

    @property
    def begins_change(self) -> bool:
        """Whether somebody asked for a creation, update, deletion or rollback here."""
        return self.kind == "AWS::CloudFormation::Stack" and self.reason == "User Initiated"


def newest_change(events: Sequence[StackEvent]) -> tuple[StackEvent, ...]:
    """Return the events of the newest change. `events`: newest first."""
    last = next((index for index, each in enumerate(events) if each.begins_change), len(events))
    return tuple(events[: last + 1])


@dataclass(frozen=True)
class FindStack(Call[Stack | NoStack]):
    """Find the stack of this name."""

    name: str


@dataclass(frozen=True)
class CreateStack(Call[bool]):
    """Start to create a stack with this request. False when a stack of this name exists."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class UpdateStack(Call[bool]):
    """Start to update a stack with this request. False when nothing differs."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class DeleteStack(Call[None]):
    """Start to delete the stack of this name. Do nothing if there is none.

    `retain`: logical ids of resources that an earlier deletion could not delete; they stay in the account, outside any stack.
    """

    name: str
    retain: tuple[str, ...] = ()


@dataclass(frozen=True)
class ContinueRollback(Call[None]):
    """Start again to roll back an update of the stack of this name, whose rollback failed."""

    name: str


@dataclass(frozen=True)
class StackEvents(Call[tuple[StackEvent, ...]]):
    """List the events of the newest change of the stack of this name, newest first. Empty when there is no such stack."""

    name: str
