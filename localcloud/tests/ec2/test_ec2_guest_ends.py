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


class Ending:
    """A guest that runs or fails to start, then ends at once. Without a reason it does not end."""

    def __init__(self, events: Events, runs: bool, reason: str) -> None:
        self.events, self._runs, self._reason = events, runs, reason

    def start(self) -> None:
        """Run, then end with the given reason."""
        asyncio.get_running_loop().call_soon(self._live)

    def _live(self) -> None:
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
        """Do nothing."""
        return {}


class Lives:
    """A backend whose guests follow a list with one entry per boot: (runs, reason of the end)."""

    kind = "told"

    def __init__(self, lives: Iterator[tuple[bool, str]]) -> None:
        self._lives = lives
        self.made: dict[str, list[Ending]] = {}

    def make(self, plan: BootPlan, console: Console, events: Events) -> Ending:
        """Return a guest that follows the next entry."""
        (plan.directory / "disk").mkdir(exist_ok=True)
        console.write(b"boot\n")
        guest = Ending(events, *next(self._lives))
        self.made.setdefault(plan.instance, []).append(guest)
        return guest

    def disk_problem(self, directory: Path) -> str:
        """Accept every disk."""
        del directory
        return ""

    def facts(self) -> dict[str, str]:
        """Do nothing."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Do nothing."""
        return {}


def after(directory: Path, *lives: tuple[bool, str]) -> Instance:
    """Return the instance after these boots; it is started again after each of them."""

    async def play() -> Instance:
        book, one = RecordStore(directory / "book"), instances.pending()
        floor = GuestSupervisor(directory / "guests", book, AdjustableClock(), Lives(iter(lives)))
        book.region("us-east-1").instances[one.id] = one
        for _ in lives:
            one.state = PENDING
            floor.launch("us-east-1", one)
            for _ in range(20):
                await asyncio.sleep(0)
        return one

    return asyncio.run(play())


def test_failed_restart_leaves_the_instance_stopped_with_its_disk(tmp_path: Path) -> None:
    one = after(tmp_path, (True, POWEROFF), (False, CRASH))
    assert (one.state, one.reason) == (STOPPED, "Server.InternalError: no disk could be made")
    assert (tmp_path / "guests" / one.id / "disk").exists()


def test_failed_first_start_terminates_the_instance(tmp_path: Path) -> None:
    one = after(tmp_path, (False, CRASH))
    assert (one.state, one.reason_code) == ("terminated", "Server.InternalError")
    assert not (tmp_path / "guests" / one.id / "disk").exists()


def test_dead_guest_terminates_the_instance(tmp_path: Path) -> None:
    one = after(tmp_path, (True, POWEROFF), (True, CRASH))
    assert one.state == "terminated"


def test_full_disk_stops_the_console_but_not_the_guest(tmp_path: Path) -> None:
    console = Console(tmp_path / "gone" / "console.log")
    console.write(b"nobody will read this")
    assert console.tail() == b""


class Sets:
    """The hardware known to the supervisor; none after `gone` is set."""

    gone = False

    def __call__(self, region: str, one: Instance) -> Hardware:
        """Return the hardware while its subnet exists."""
        del region
        if self.gone:
            raise Ec2Error("InvalidSubnetID.NotFound", f"The subnet ID '{one.subnet}' does not exist")
        return Hardware(one.instance_type, 2, 1024, one.volume.id, 8, one.mac, "172.31.0.0/20", "ec2.internal")


@pytest.mark.parametrize(("boots", "left"), [(1, STOPPED), (0, TERMINATED)])
def test_refused_start_changes_nothing_and_frees_its_place(tmp_path: Path, boots: int, left: str) -> None:
    async def play() -> tuple[Instance, tuple[int, int]]:
        book, one, sets = RecordStore(tmp_path / "book"), instances.pending(), Sets()
        floor = GuestSupervisor(
            tmp_path / "guests",
            book,
            AdjustableClock(),
            Lives(iter([(True, POWEROFF)])),
            hardware=sets,
        )
        book.region("us-east-1").instances[one.id] = one
        if boots:
            floor.launch("us-east-1", one)
            for _ in range(20):
                await asyncio.sleep(0)
            assert one.state == STOPPED
            one.state = PENDING
        sets.gone = True
        with pytest.raises(Ec2Error, match="does not exist"):
            floor.launch("us-east-1", one)
        return one, floor.counts

    one, counts = asyncio.run(play())
    assert (one.state, one.boots, counts) == (left, boots, (0, 0))
    assert "does not exist" in one.reason
    assert (tmp_path / "guests" / one.id / "disk").exists() is bool(boots)


async def reaches(one: Instance, state: str) -> None:
    """Wait until an instance is in a state."""
    async with asyncio.timeout(60):
        while one.state != state:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ended", [False, True])
def test_rebooting_instance_keeps_its_place(tmp_path: Path, ended: bool) -> None:
    async def play() -> tuple[int, int]:
        book, first, second = (
            RecordStore(tmp_path / "book"),
            instances.pending(),
            instances.pending("i-0fedcba9876543210"),
        )
        body = Lives(iter([(True, "")] * 2))
        floor = GuestSupervisor(tmp_path / "guests", book, AdjustableClock(), body, max_guests=1)
        for one in (first, second):
            book.region("us-east-1").instances[one.id] = one
            floor.launch("us-east-1", one)
        await reaches(first, RUNNING)
        body.made[first.id][0].events.ended(REBOOT, "")
        # Between two boots no process of the guest runs, but its place stays taken.
        assert (floor.counts, first.state, second.state) == ((0, 1), RUNNING, PENDING)
        if ended:
            first.state = SHUTTING_DOWN
            floor.end(first)
            await reaches(second, RUNNING)
            assert first.state == TERMINATED
        else:
            async with asyncio.timeout(60):
                while len(body.made[first.id]) < 2:
                    assert second.id not in body.made
                    await asyncio.sleep(0.01)
            assert floor.counts == (1, 1)
        return len(body.made[first.id]), len(body.made.get(second.id, []))

    assert asyncio.run(play()) == ((1, 1) if ended else (2, 0))
