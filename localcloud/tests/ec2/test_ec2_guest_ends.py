"""The state of an instance after its guest ends; the guests here end on command."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import instances
from localcloud.cloud.clock import AdjustableClock
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.records import (
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    STOPPED,
    TERMINATED,
    Instance,
    RecordStore,
)
from localcloud.ec2.supervisor import GuestSupervisor
from localcloud.guests.console import Console
from localcloud.guests.guest import CRASH, POWEROFF, REBOOT, BootPlan, Events, Hardware


class ScriptedGuest:
    """A guest that runs or fails to start, then ends at once. Without a reason it does not end."""

    def __init__(self, events: Events, runs: bool, reason: str) -> None:
        self.events, self._runs, self._reason = events, runs, reason

    def start(self) -> None:
        """Run, then end with the given reason."""
        asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        if self._runs:
            self.events.running()
        if not self._reason:
            return
        if self._reason == POWEROFF:
            self.events.stopping(POWEROFF)
        self.events.ended(self._reason, "no disk could be made")

    def power_button(self) -> None:
        """Do nothing: this guest ends by itself."""

    def kill(self) -> None:
        """Do nothing: this guest ends by itself."""

    def facts(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


class ScriptedBackend:
    """A backend whose guests follow a list with one entry per boot: (runs, reason of the end)."""

    kind = "scripted"

    def __init__(self, boots_script: Iterator[tuple[bool, str]]) -> None:
        self._script = boots_script
        self.made: dict[str, list[ScriptedGuest]] = {}

    def make(self, plan: BootPlan, console: Console, events: Events) -> ScriptedGuest:
        """Return a guest that follows the next entry."""
        (plan.directory / "disk").mkdir(exist_ok=True)
        console.write(b"boot\n")
        guest = ScriptedGuest(events, *next(self._script))
        self.made.setdefault(plan.instance, []).append(guest)
        return guest

    def disk_problem(self, directory: Path) -> str:
        """Accept every disk."""
        del directory
        return ""

    def facts(self) -> dict[str, str]:
        """Return nothing."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Return nothing."""
        return {}


def instance_after(directory: Path, *boots_script: tuple[bool, str]) -> Instance:
    """Return the instance after these boots; it is started again after each of them."""

    async def scenario() -> Instance:
        store, one = RecordStore(directory / "records"), instances.pending()
        supervisor = GuestSupervisor(
            directory / "guests", store, AdjustableClock(), ScriptedBackend(iter(boots_script))
        )
        store.region("us-east-1").instances[one.id] = one
        for _ in boots_script:
            one.state = PENDING
            supervisor.launch("us-east-1", one)
            for _ in range(20):
                await asyncio.sleep(0)
        return one

    return asyncio.run(scenario())


def test_failed_restart_leaves_the_instance_stopped_with_its_disk(tmp_path: Path) -> None:
    one = instance_after(tmp_path, (True, POWEROFF), (False, CRASH))
    assert (one.state, one.reason) == (STOPPED, "Server.InternalError: no disk could be made")
    assert (tmp_path / "guests" / one.id / "disk").exists()


def test_failed_first_start_terminates_the_instance(tmp_path: Path) -> None:
    one = instance_after(tmp_path, (False, CRASH))
    assert (one.state, one.reason_code) == ("terminated", "Server.InternalError")
    assert not (tmp_path / "guests" / one.id / "disk").exists()


def test_dead_guest_terminates_the_instance(tmp_path: Path) -> None:
    one = instance_after(tmp_path, (True, POWEROFF), (True, CRASH))
    assert one.state == "terminated"


def test_full_disk_stops_the_console_but_not_the_guest(tmp_path: Path) -> None:
    console = Console(tmp_path / "gone" / "console.log")
    console.write(b"nobody will read this")
    assert console.tail() == b""


class HardwareLookup:
    """Returns the hardware of an instance. Once `gone` is set, its subnet no longer exists."""

    gone = False

    def __call__(self, region: str, one: Instance) -> Hardware:
        """Return the hardware. Raises Ec2Error once the subnet is gone."""
        del region
        if self.gone:
            raise Ec2Error("InvalidSubnetID.NotFound", f"The subnet ID '{one.subnet}' does not exist")
        return Hardware(one.instance_type, 2, 1024, one.volume.id, 8, one.mac, "172.31.0.0/20", "ec2.internal")


@pytest.mark.parametrize(("boots", "left"), [(1, STOPPED), (0, TERMINATED)])
def test_refused_start_changes_nothing_and_frees_its_place(tmp_path: Path, boots: int, left: str) -> None:
    async def scenario() -> tuple[Instance, tuple[int, int]]:
        store, one, hardware = RecordStore(tmp_path / "records"), instances.pending(), HardwareLookup()
        supervisor = GuestSupervisor(
            tmp_path / "guests",
            store,
            AdjustableClock(),
            ScriptedBackend(iter([(True, POWEROFF)])),
            hardware=hardware,
        )
        store.region("us-east-1").instances[one.id] = one
        if boots:
            supervisor.launch("us-east-1", one)
            for _ in range(20):
                await asyncio.sleep(0)
            assert one.state == STOPPED
            one.state = PENDING
        hardware.gone = True
        with pytest.raises(Ec2Error, match="does not exist"):
            supervisor.launch("us-east-1", one)
        return one, supervisor.counts

    one, counts = asyncio.run(scenario())
    assert (one.state, one.boots, counts) == (left, boots, (0, 0))
    assert "does not exist" in one.reason
    assert (tmp_path / "guests" / one.id / "disk").exists() is bool(boots)


async def wait_for_state(one: Instance, state: str) -> None:
    """Wait until an instance is in a state."""
    async with asyncio.timeout(60):
        while one.state != state:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ended", [False, True])
def test_rebooting_instance_keeps_its_place(tmp_path: Path, ended: bool) -> None:
    async def scenario() -> tuple[int, int]:
        store, first, second = (
            RecordStore(tmp_path / "records"),
            instances.pending(),
            instances.pending("i-0fedcba9876543210"),
        )
        backend = ScriptedBackend(iter([(True, "")] * 2))
        supervisor = GuestSupervisor(tmp_path / "guests", store, AdjustableClock(), backend, max_guests=1)
        for one in (first, second):
            store.region("us-east-1").instances[one.id] = one
            supervisor.launch("us-east-1", one)
        await wait_for_state(first, RUNNING)
        backend.made[first.id][0].events.ended(REBOOT, "")
        # Between two boots no process of the guest runs, but its place stays taken.
        assert (supervisor.counts, first.state, second.state) == ((0, 1), RUNNING, PENDING)
        if ended:
            first.state = SHUTTING_DOWN
            supervisor.end(first)
            await wait_for_state(second, RUNNING)
            assert first.state == TERMINATED
        else:
            async with asyncio.timeout(60):
                while len(backend.made[first.id]) < 2:
                    assert second.id not in backend.made
                    await asyncio.sleep(0.01)
            assert supervisor.counts == (1, 1)
        return len(backend.made[first.id]), len(backend.made.get(second.id, []))

    assert asyncio.run(scenario()) == ((1, 1) if ended else (2, 0))
