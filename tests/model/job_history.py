"""The jobs of a random world: their settings, and the schedules that were in force, from which their ticks follow by arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any


@dataclass
class JobHistory:
    """A job of a world: its fixed settings, and for each deploy the period of its schedule in minutes; 0 for none."""

    name: str
    settings: dict[str, Any]
    periods: list[tuple[datetime, int]] = field(default_factory=list)

    def ticks(self, until: datetime) -> Iterator[datetime]:
        """Yield the ticks that are due before `until`, counted here by arithmetic."""
        ends = [start for start, _ in self.periods[1:]]
        for (start, period), end in zip(self.periods, [*ends, until], strict=True):
            if not period:
                continue
            midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
            number = -((midnight - start) // timedelta(minutes=period))
            while (tick := midnight + number * timedelta(minutes=period)) < min(end, until):
                number += 1
                yield tick


def expression(period: int) -> tuple[str, ...]:
    """Return the schedule with a tick every `period` minutes from midnight on."""
    if not period:
        return ()
    if period < 60:
        return (f"*/{period} * * * *",)
    return (f"0 */{period // 60} * * *",)
