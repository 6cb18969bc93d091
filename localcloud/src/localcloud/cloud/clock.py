"""The cloud's clock: the machine's clock plus an offset that tests add.

Everything that fires by itself (schedules, rules, retries) reads it, and so does every age and time that localcloud's
services keep. Guests, functions and clients have the machine's clock, and what they compare with theirs follows it too:
signatures, links, S3's LastModified, logs. The offset lasts as long as the cloud's process. Formats of times do not belong
here.
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
_LOOK = 0.01
_working: contextvars.ContextVar[bool] = contextvars.ContextVar("localcloud_working", default=False)


class Clock(Protocol):
    """The present time, the way to wait, and the way to start work that an advance waits for."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock."""
        ...

    def work(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start something that an advance of the clock waits for, except while it sleeps on this clock."""
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

    `moments` counts the times at which something was due; `settled` is False when something took too long to wait for.
    """

    moments: int
    settled: bool


@dataclass(eq=False)
class _Sleeper:
    """A wait until `wake`; `moved` is set whenever the clock is moved, `woken` once that passed `wake`."""

    wake: float
    moved: asyncio.Event
    woken: bool = False


class AdjustableClock:
    """The machine's clock plus an offset, which only grows until `reset`. For the event loop's thread."""

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
        """Stop at every time at which `source` has something due, from now on."""
        self._sources.append(source)

    def on_change(self, listener: Callable[[float], None]) -> None:
        """Call `listener` after each move of the clock with its seconds, which are negative after a reset."""
        self._listeners.append(listener)

    async def advance(self, seconds: float) -> Advanced:
        """Move the clock forward by `seconds`, and stop at each time at which something is due until it is done.

        What is due is started in order, one time after the other. Each is waited for at most a minute of the machine's time.
        """
        async with self._advancing:
            began, final = self._offset, self._offset + seconds
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
            self._tell(final - began)
            return Advanced(moments, settled)

    def reset(self) -> None:
        """Return to the machine's time. What fired is not undone, and what waits has as long to wait as before."""
        moved, self._offset = -self._offset, 0.0
        for sleeper in self._sleepers:
            sleeper.wake += moved
            sleeper.moved.set()
        self._tell(moved)

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
        """Wait until nothing that was started still works; False when it took too long."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        # Twice: what has just been woken needs a turn of the event loop until it counts as working again.
        at_rest = 0
        while at_rest < 2:
            await asyncio.sleep(_LOOK)
            at_rest = at_rest + 1 if self._busy == 0 else 0
            if time.monotonic() > deadline:
                return False
        return True

    def _tell(self, moved: float) -> None:
        for listener in self._listeners:
            listener(moved)
