"""What an end of a guest means to its instance, with guests that end as they are told to."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import instances
from localcloud.cloud.clock import TurnableClock
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
    """A guest that runs, or does not, and ends at once; without a reason it goes on."""

    def __init__(self, events: Events, runs: bool, reason: str) -> None:
        self.events, self._runs, self._reason = events, runs, reason

    def start(self) -> None:
        """Live a moment."""
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
        """Too late."""

    def kill(self) -> None:
        """Too late."""

    def facts(self) -> dict[str, Any]:
        """Nothing."""
        return {}


class Lives:
    """A body whose guests live the lives it was given, one a boot: (runs, why it ends)."""

    kind = "told"

    def __init__(self, lives: Iterator[tuple[bool, str]]) -> None:
        self._lives = lives
        self.made: dict[str, list[Ending]] = {}

    def make(self, plan: BootPlan, console: Console, events: Events) -> Ending:
        """The next one."""
        (plan.directory / "disk").mkdir(exist_ok=True)
        console.write(b"boot\n")
        guest = Ending(events, *next(self._lives))
        self.made.setdefault(plan.instance, []).append(guest)
        return guest

    def disk_problem(self, directory: Path) -> str:
        """Every disk will do."""
        del directory
        return ""

    def facts(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def after(directory: Path, *lives: tuple[bool, str]) -> Instance:
    """The instance after those lives, started anew after each."""

    async def play() -> Instance:
        book, one = RecordStore(directory / "book"), instances.pending()
        floor = GuestSupervisor(directory / "guests", book, TurnableClock(), Lives(iter(lives)))
        book.region("us-east-1").instances[one.id] = one
        for _ in lives:
            one.state = PENDING
            floor.launch("us-east-1", one)
            for _ in range(20):
                await asyncio.sleep(0)
        return one

    return asyncio.run(play())


def test_a_stopped_server_that_cannot_be_started_stays_stopped_with_its_disk(tmp_path: Path) -> None:
    one = after(tmp_path, (True, POWEROFF), (False, CRASH))
    assert (one.state, one.reason) == (STOPPED, "Server.InternalError: no disk could be made")
    assert (tmp_path / "guests" / one.id / "disk").exists()


def test_a_server_whose_first_start_fails_is_gone(tmp_path: Path) -> None:
    one = after(tmp_path, (False, CRASH))
    assert (one.state, one.reason_code) == ("terminated", "Server.InternalError")
    assert not (tmp_path / "guests" / one.id / "disk").exists()


def test_a_server_whose_guest_dies_while_it_runs_is_gone(tmp_path: Path) -> None:
    one = after(tmp_path, (True, POWEROFF), (True, CRASH))
    assert one.state == "terminated"


def test_a_full_disk_takes_the_console_and_not_the_guest(tmp_path: Path) -> None:
    console = Console(tmp_path / "gone" / "console.log")
    console.write(b"nobody will read this")
    assert console.tail() == b""


class Sets:
    """What a floor knows of hardware: nothing any more once `gone`."""

    gone = False

    def __call__(self, region: str, one: Instance) -> Hardware:
        """The hardware, as long as its subnet is there."""
        del region
        if self.gone:
            raise Ec2Error("InvalidSubnetID.NotFound", f"The subnet ID '{one.subnet}' does not exist")
        return Hardware(one.kind, 2, 1024, one.volume.id, 8, one.mac, "172.31.0.0/20", "ec2.internal")


@pytest.mark.parametrize(("boots", "left"), [(1, STOPPED), (0, TERMINATED)])
def test_after_a_refused_start_a_server_is_as_before_and_takes_no_place(tmp_path: Path, boots: int, left: str) -> None:
    async def play() -> tuple[Instance, tuple[int, int]]:
        book, one, sets = RecordStore(tmp_path / "book"), instances.pending(), Sets()
        floor = GuestSupervisor(
            tmp_path / "guests",
            book,
            TurnableClock(),
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
def test_a_server_that_reboots_keeps_its_place_until_it_is_ended(tmp_path: Path, ended: bool) -> None:
    async def play() -> tuple[int, int]:
        book, first, second = (
            RecordStore(tmp_path / "book"),
            instances.pending(),
            instances.pending("i-0fedcba9876543210"),
        )
        body = Lives(iter([(True, "")] * 2))
        floor = GuestSupervisor(tmp_path / "guests", book, TurnableClock(), body, most=1)
        for one in (first, second):
            book.region("us-east-1").instances[one.id] = one
            floor.launch("us-east-1", one)
        await reaches(first, RUNNING)
        body.made[first.id][0].events.ended(REBOOT, "")
        # In the pause between two boots nothing of it runs, and still nobody else is let in.
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
