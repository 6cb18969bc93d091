"""Calls of StopInstances, StartInstances and TerminateInstances between two boots of a guest."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import instances
from localcloud.cloud.clock import AdjustableClock
from localcloud.ec2.records import (
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    STOPPED,
    STOPPING,
    TERMINATED,
    Instance,
    RecordStore,
)
from localcloud.ec2.supervisor import GuestSupervisor
from localcloud.guests.console import Console
from localcloud.guests.guest import BUTTON, CRASH, BootPlan, Events

PAUSE = 0.5


class Prompt:
    """A guest that runs at once and ends as soon as it is asked to."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.lives = False

    def start(self) -> None:
        self.lives = True
        asyncio.get_running_loop().call_soon(self.events.running)

    def power_button(self) -> None:
        self._end(BUTTON)

    def kill(self) -> None:
        self._end(CRASH)

    def facts(self) -> dict[str, Any]:
        return {}

    def _end(self, reason: str) -> None:
        if self.lives:
            self.lives = False
            asyncio.get_running_loop().call_soon(self.events.ended, reason, "")


class Prompts:
    """A backend that makes such guests and keeps them in a list."""

    kind = "process"

    def __init__(self) -> None:
        self.made: list[Prompt] = []

    def make(self, plan: BootPlan, console: Console, events: Events) -> Prompt:
        del plan, console
        self.made.append(Prompt(events))
        return self.made[-1]

    def disk_problem(self, directory: Path) -> str:
        del directory
        return ""

    def facts(self) -> dict[str, str]:
        return {}

    def describe(self) -> dict[str, Any]:
        return {}

    @property
    def living(self) -> int:
        return sum(one.lives for one in self.made)


async def becomes(true: Callable[[], bool]) -> None:
    """Wait for a condition; fail after a minute."""
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.001)


async def rebooting(floor: GuestSupervisor, book: RecordStore, body: Prompts) -> Instance:
    """Return an instance between its first and its second boot."""
    one = instances.pending()
    book.region("us-east-1").instances[one.id] = one
    floor.launch("us-east-1", one)
    await becomes(lambda: one.state == RUNNING)
    floor.reboot(one)
    await becomes(lambda: floor.counts == (0, 0) and body.living == 0)
    assert (len(body.made), one.state) == (1, RUNNING)
    return one


def test_instance_stopped_and_started_between_boots_boots_once(tmp_path: Path) -> None:
    async def story() -> None:
        book, body = RecordStore(tmp_path / "book"), Prompts()
        floor = GuestSupervisor(tmp_path / "guests", book, AdjustableClock(), body)
        one = await rebooting(floor, book, body)
        one.state = STOPPING
        floor.end(one)
        await becomes(lambda: one.state == STOPPED)
        one.state = PENDING
        floor.launch("us-east-1", one)
        await becomes(lambda: one.state == RUNNING)
        # If the timer of the reboot still existed, it would fire before this one.
        await asyncio.sleep(2 * PAUSE)
        assert (len(body.made), body.living, one.boots, one.state) == (2, 1, 2, RUNNING)
        await floor.close()

    asyncio.run(story())


def test_instance_terminated_between_boots_does_not_boot(tmp_path: Path) -> None:
    async def story() -> None:
        book, body = RecordStore(tmp_path / "book"), Prompts()
        floor = GuestSupervisor(tmp_path / "guests", book, AdjustableClock(), body)
        one = await rebooting(floor, book, body)
        one.state = SHUTTING_DOWN
        floor.end(one)
        await becomes(lambda: one.state == TERMINATED)
        await asyncio.sleep(2 * PAUSE)
        assert (len(body.made), body.living) == (1, 0)
        await floor.close()

    asyncio.run(story())
