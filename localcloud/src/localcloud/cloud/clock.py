"""The cloud's clock: the machine's own, and what tests turned it on by.

Everything that fires by itself (schedules, rules, retries) and every age and time that the cloud's own parts keep reads
it. Guests, functions and clients have the machine's clock, and so has what they compare with theirs: signatures, links,
S3's LastModified, logs. What was turned lasts as long as the cloud's process. No format of times lives here.
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
    """The time of day, the way to wait for it, and the way to do what a turn waits for."""

    def now(self) -> datetime:
        """The present time, aware, in UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of this clock."""
        ...

    def work(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start something that a turn of the clock waits for, but not while it sleeps on this clock."""
        ...


class Source(Protocol):
    """Something that is due at times of its own, such as the engine of the schedules."""

    def next_due(self) -> datetime | None:
        """When something is due next; None when nothing is."""
        ...

    def tick(self, now: datetime) -> None:
        """Start what is due at `now`."""
        ...


@dataclass(frozen=True)
class Turned:
    """What a turn did: `moments` times at which something was due; `settled` is False when a part was not waited for."""

    moments: int
    settled: bool


@dataclass(eq=False)
class _Sleeper:
    """Who waits for the time `wake`; `moved` is set whenever the clock moved, `woken` once `wake` was passed by that."""

    wake: float
    moved: asyncio.Event
    woken: bool = False


class TurnableClock:
    """The machine's clock plus an offset, which only grows until `reset`. Used on the event loop's thread."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._busy = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._sleepers: set[_Sleeper] = set()
        self._sources: list[Source] = []
        self._listeners: list[Callable[[float], None]] = []
        self._turning = asyncio.Lock()

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

    def attend(self, source: Source) -> None:
        """From now on stop at every time at which `source` has something due."""
        self._sources.append(source)

    def on_change(self, listener: Callable[[float], None]) -> None:
        """Call `listener` with the seconds by which the clock moved, after each turn (negative after a reset)."""
        self._listeners.append(listener)

    async def turn(self, seconds: float) -> Turned:
        """Move on by `seconds`, stopping at each time at which something is due until it is done.

        What is due goes one time after the other, in order; each is waited for at most a minute of the machine's time.
        """
        async with self._turning:
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
            return Turned(moments, settled)

    def reset(self) -> None:
        """Go back to the machine's time. What fired stays fired, and what waits has as long to wait as before."""
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
        """Wait until nothing that was started is at work; False when it took too long."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        # Twice at rest: what has just been woken takes a turn of the loop to be seen at work again.
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
