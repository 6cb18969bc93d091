"""Calls about the schedules of jobs. Requests go to EventBridge Scheduler unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.flows.calls.call import Call


@dataclass(frozen=True)
class ListSchedules(Call[tuple[str, ...]]):
    """List the names of all schedules in the project's group, sorted. Empty when there is no such group."""


@dataclass(frozen=True)
class GetSchedule(Call[Mapping[str, Any] | None]):
    """Read a schedule as Scheduler describes it. None when there is none."""

    name: str


@dataclass(frozen=True)
class CreateSchedule(Call[bool]):
    """Create a schedule. False when one of this name exists."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class UpdateSchedule(Call[bool]):
    """Replace all fields of a schedule. False when there is none of this name."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class DeleteSchedule(Call[None]):
    """Delete a schedule of the project's group. Do nothing if there is none."""

    name: str
