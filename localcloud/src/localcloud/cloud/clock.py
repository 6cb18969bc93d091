"""The cloud's clock: the machine's clock plus an offset that tests add.

Schedules, rules, retries, and the times and ages that localcloud's services record follow this clock. Guests, functions and
clients use the machine's clock, and so does everything that is compared with their time: signatures, presigned links, S3's
LastModified, logs. The offset is not saved; it ends with the cloud's process. Formatting times does not belong here.
"""

import asyncio
import contextlib
import contextvars
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

_SETTLE_SECONDS = 60.0
_POLL_SECONDS = 0.01
_working: contextvars.ContextVar[bool] = contextvars.ContextVar("localcloud_working", default=False)
"""True in tasks that `work` starts. They count as busy, except while they sleep on this clock."""


class Clock(Protocol):
    """Tells the time, waits, and starts work that an advance of the clock waits for."""

    def now(self) -> datetime:
        """Return the current time as an aware datetime in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock."""
        ...

    def work(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start a task. An advance of the clock waits for it, except while the task sleeps on this clock."""
        ...


class Source(Protocol):
    """Something with due times, such as the engine of the schedules."""

    def next_due(self) -> datetime | None:
        """Return when something is due next; None when nothing is."""
        ...

    def tick(self, now: datetime) -> None:
        """Start what is due at `now`."""
        ...


@dataclass(frozen=True)
class Advanced:
    """What an advance did.

    `moments` counts the times at which something was due; `settled` is False if work that was due did not end in time.
    """

    moments: int
    settled: bool


@dataclass(eq=False)
class _Sleeper:
    """A wait until the time `wake`. `moved` is set at each move of the clock; `woken` is True once the clock passed `wake`."""

    wake: float
    moved: asyncio.Event
    woken: bool = False


class AdjustableClock:
    """The machine's clock plus an offset, which only grows until `reset`. Use it on the event loop's thread."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._sleepers: set[_Sleeper] = set()
        self._sources: list[Source] = []
        self._listeners: list[Callable[[float], None]] = []
        self._advancing = asyncio.Lock()

    @property
    def offset(self) -> float:
        """Seconds by which this clock is ahead of the machine's."""
        return self._offset

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._seconds(), UTC)

    async def sleep(self, seconds: float) -> None:
        sleeper = _Sleeper(self._seconds() + seconds, asyncio.Event())
        self._sleepers.add(sleeper)
        idle = int(_working.get())
        self._busy -= idle
        try:
            while (left := sleeper.wake - self._seconds()) > 0:
                sleeper.moved.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(sleeper.moved.wait(), left)
        finally:
            self._busy += idle
            self._sleepers.discard(sleeper)

    def work(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        context = contextvars.copy_context()
        context.run(_working.set, True)
        self._busy += 1
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def add_source(self, source: Source) -> None:
        """Let `advance` stop at each time at which `source` has something due."""
        self._sources.append(source)

    def on_change(self, listener: Callable[[float], None]) -> None:
        """Call `listener(seconds)` after each move of the clock; the number is negative after a reset."""
        self._listeners.append(listener)

    async def advance(self, seconds: float) -> Advanced:
        """Move the clock forward by `seconds`. Stop at each due time until the work that is due then has ended.

        Due times are handled one after another, in order. Each is waited for at most a minute of the machine's time.
        """
        async with self._advancing:
            start, final = self._offset, self._offset + seconds
            self._tick()
            settled = await self._settle()
            moments, before = 0, None
            while (due := self._next()) is not None and due <= time.time() + final and due != before:
                self._offset = min(final, max(self._offset, due - time.time()))
                before = due
                self._tick()
                settled = await self._settle() and settled
                moments += 1
            self._offset = final
            self._tick()
            settled = await self._settle() and settled
            self._notify(final - start)
            return Advanced(moments, settled)

    def reset(self) -> None:
        """Return to the machine's time. Nothing that fired is undone, and each waiting task keeps its remaining wait."""
        moved, self._offset = -self._offset, 0.0
        for sleeper in self._sleepers:
            sleeper.wake += moved
            sleeper.moved.set()
        self._notify(moved)

    def _seconds(self) -> float:
        return time.time() + self._offset

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._busy -= 1

    def _next(self) -> float | None:
        waking = [sleeper.wake for sleeper in self._sleepers if not sleeper.woken]
        due = [moment.timestamp() for source in self._sources if (moment := source.next_due()) is not None]
        return min(waking + due, default=None)

    def _tick(self) -> None:
        now = self._seconds()
        for sleeper in self._sleepers:
            sleeper.woken = sleeper.woken or sleeper.wake <= now
            sleeper.moved.set()
        for source in self._sources:
            source.tick(self.now())

    async def _settle(self) -> bool:
        """Wait until no task is busy; return False if that took too long."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        # Checked twice, because a task that was just woken counts as busy only after a turn of the event loop.
        at_rest = 0
        while at_rest < 2:
            await asyncio.sleep(_POLL_SECONDS)
            at_rest = at_rest + 1 if self._busy == 0 else 0
            if time.monotonic() > deadline:
                return False
        return True

    def _notify(self, moved: float) -> None:
        for listener in self._listeners:
            listener(moved)
