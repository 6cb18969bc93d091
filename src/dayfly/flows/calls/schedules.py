"""Calls about the schedules of jobs. Requests are sent to EventBridge Scheduler as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.flows.calls.call import Call


@dataclass(frozen=True)
class ListSchedules(Call[tuple[str, ...]]):
    """Names of all schedules in the project's group, sorted. Empty when there is no such group."""


@dataclass(frozen=True)
class GetSchedule(Call[Mapping[str, Any] | None]):
    """A schedule as Scheduler describes it, or None."""

    name: str


@dataclass(frozen=True)
class CreateSchedule(Call[bool]):
    """Creates a schedule. False when one of its name exists."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class UpdateSchedule(Call[bool]):
    """Replaces all fields of a schedule. False when there is none of its name."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class DeleteSchedule(Call[None]):
    """Deletes a schedule of the project's group. Does nothing if there is none."""

    name: str
