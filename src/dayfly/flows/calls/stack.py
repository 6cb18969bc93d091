"""Calls about the project's CloudFormation stack: find it, start a change of it, read why a change failed.

CloudFormation answers before a change is complete. A flow waits by finding the stack again.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    """One line of a stack's history. `resource` is a logical id; for the stack itself it is the stack's name."""

    resource: str
    status: str
    reason: str


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
    """Start to delete the stack of this name. Do nothing if there is none."""

    name: str


@dataclass(frozen=True)
class StackEvents(Call[tuple[StackEvent, ...]]):
    """List the newest events of the stack of this name, newest first. Empty when there is no such stack."""

    name: str
