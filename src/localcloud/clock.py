"""The clock that the local cloud's own engines read.

Everything that fires by itself (schedules, retries) takes a `Clock`, so that a clock one can turn fits in later.
What does not live here: the formats of times.
"""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The time of day and the way to wait for it."""

    def now(self) -> datetime:
        """The present time, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
