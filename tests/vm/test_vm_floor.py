"""What an end of a guest means to its instance, with guests that end as they are told to."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from localcloud.clock import TurnableClock
from localcloud.ec2.floor import GuestFloor
from localcloud.ec2.records import ON_DEMAND, PENDING, STOPPED, Book, Instance, Volume
from localcloud.guests.console import Console
from localcloud.guests.guest import CRASH, POWEROFF, Events, Plan


class Ending:
    """A guest that runs, or does not, and ends at once."""

    def __init__(self, events: Events, runs: bool, reason: str) -> None:
        self._events, self._runs, self._reason = events, runs, reason

    def start(self) -> None:
        """Live a moment."""
        asyncio.get_running_loop().call_soon(self._live)

    def _live(self) -> None:
        if self._runs:
            self._events.running()
        if self._reason == POWEROFF:
            self._events.stopping(POWEROFF)
        self._events.ended(self._reason, "no disk could be made")

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

    def make(self, plan: Plan, console: Console, events: Events) -> Ending:
        """The next one."""
        (plan.directory / "disk").mkdir(exist_ok=True)
        console.write(b"boot\n")
        return Ending(events, *next(self._lives))

    def why_not(self, directory: Path) -> str:
        """Every disk will do."""
        del directory
        return ""

    def facts(self) -> dict[str, str]:
        """Nothing."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Nothing."""
        return {}


def instance() -> Instance:
    """A pending instance that stops when its guest powers off."""
    launched = TurnableClock().now().isoformat()
    return Instance(
        id="i-0123456789abcdef0",
        reservation="r-1",
        image="ami-1",
        kind="t3.micro",
        architecture="x86_64",
        state=PENDING,
        launched=launched,
        zone="us-east-1a",
        zone_id="use1-az1",
        subnet="subnet-1",
        vpc="vpc-1",
        address="172.31.0.9",
        mac="0a:00:00:00:00:01",
        groups=[],
        market=ON_DEMAND,
        shutdown="stop",
        volume=Volume("vol-1", "/dev/xvda", 8, "gp3", False, True, launched),
    )


def after(directory: Path, *lives: tuple[bool, str]) -> Instance:
    """The instance after those lives, started anew after each."""

    async def play() -> Instance:
        book, one = Book(directory / "book"), instance()
        floor = GuestFloor(directory / "guests", book, TurnableClock(), Lives(iter(lives)))
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
