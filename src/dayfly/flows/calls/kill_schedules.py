"""Calls about kill schedules: the one-shot schedule that terminates a server after its deadline."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dayfly.flows.calls.call import Call


@dataclass(frozen=True)
class Arm(Call[None]):
    """Create a server's kill schedule, to fire at `at`. Do nothing if there is one."""

    server: str
    at: datetime


@dataclass(frozen=True)
class IsArmed(Call[bool]):
    """Find out whether a server has a kill schedule."""

    server: str


@dataclass(frozen=True)
class Disarm(Call[None]):
    """Delete a server's kill schedule. Do nothing if there is none."""

    server: str
