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


class ObedientGuest:
    """A guest that runs at once and ends as soon as it is asked to."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.running = False

    def start(self) -> None:
        self.running = True
        asyncio.get_running_loop().call_soon(self.events.running)

    def power_button(self) -> None:
        self._end(BUTTON)

    def kill(self) -> None:
        self._end(CRASH)

    def facts(self) -> dict[str, Any]:
        return {}

    def _end(self, reason: str) -> None:
        if self.running:
            self.running = False
            asyncio.get_running_loop().call_soon(self.events.ended, reason, "")


class ObedientBackend:
    """A backend that makes obedient guests and keeps them in a list."""

    kind = "process"

    def __init__(self) -> None:
        self.made: list[ObedientGuest] = []

    def make(self, plan: BootPlan, console: Console, events: Events) -> ObedientGuest:
        del plan, console
        self.made.append(ObedientGuest(events))
        return self.made[-1]

    def disk_problem(self, directory: Path) -> str:
        del directory
        return ""

    def facts(self) -> dict[str, str]:
        return {}

    def describe(self) -> dict[str, Any]:
        return {}

    @property
    def running_guests(self) -> int:
        return sum(one.running for one in self.made)


async def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; fail after a minute."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def rebooting(supervisor: GuestSupervisor, store: RecordStore, backend: ObedientBackend) -> Instance:
    """Return an instance between its first and its second boot."""
    one = instances.pending()
    store.region("us-east-1").instances[one.id] = one
    supervisor.launch("us-east-1", one)
    await wait_until(lambda: one.state == RUNNING)
    supervisor.reboot(one)
    await wait_until(lambda: supervisor.counts == (0, 0) and backend.running_guests == 0)
    assert (len(backend.made), one.state) == (1, RUNNING)
    return one


def test_instance_stopped_and_started_between_boots_boots_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        store, backend = RecordStore(tmp_path / "records"), ObedientBackend()
        supervisor = GuestSupervisor(tmp_path / "guests", store, AdjustableClock(), backend)
        one = await rebooting(supervisor, store, backend)
        one.state = STOPPING
        supervisor.end(one)
        await wait_until(lambda: one.state == STOPPED)
        one.state = PENDING
        supervisor.launch("us-east-1", one)
        await wait_until(lambda: one.state == RUNNING)
        # If the timer of the reboot still existed, it would fire before this one.
        await asyncio.sleep(2 * PAUSE)
        assert (len(backend.made), backend.running_guests, one.boots, one.state) == (2, 1, 2, RUNNING)
        await supervisor.close()

    asyncio.run(scenario())


def test_instance_terminated_between_boots_does_not_boot(tmp_path: Path) -> None:
    async def scenario() -> None:
        store, backend = RecordStore(tmp_path / "records"), ObedientBackend()
        supervisor = GuestSupervisor(tmp_path / "guests", store, AdjustableClock(), backend)
        one = await rebooting(supervisor, store, backend)
        one.state = SHUTTING_DOWN
        supervisor.end(one)
        await wait_until(lambda: one.state == TERMINATED)
        await asyncio.sleep(2 * PAUSE)
        assert (len(backend.made), backend.running_guests) == (1, 0)
        await supervisor.close()

    asyncio.run(scenario())
