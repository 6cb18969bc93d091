"""The contract between EC2 and its guests, the same for process guests and VM guests.

The behavior of the backends does not live here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from localcloud.guests.console import Console

POWEROFF = "poweroff"
"""The guest powered itself off."""
REBOOT = "reboot"
"""The guest asked to boot again."""
BUTTON = "button"
"""Its power button was pressed, or it was killed."""
CRASH = "crash"
"""The guest crashed, or failed to start."""
REFUSED = "refused"
"""The backend cannot run this user data."""

PROCESS, VM = "process", "vm"
"""The kinds of guest: a sandboxed process tree, or a virtual machine."""


@dataclass(frozen=True)
class Hardware:
    """The hardware of an instance: `memory` in MiB, `disk` in GiB, `volume` the root volume's id, `cidr` of its subnet.

    `stores`: the size in GB of each disk of the instance storage; only VM guests have them.
    """

    instance_type: str
    cpus: int
    memory: int
    volume: str
    disk: int
    mac: str
    cidr: str
    domain: str
    stores: tuple[int, ...] = ()


@dataclass(frozen=True)
class BootPlan:
    """What one boot of one guest needs. `boot` counts from 1; `hardware` is required by VM guests only."""

    instance: str
    directory: Path
    hostname: str
    address: str
    user_data: bytes
    boot: int
    environment: dict[str, str] = field(default_factory=dict)
    hardware: Hardware | None = None


@dataclass(frozen=True)
class Events:
    """Callbacks of one boot, called on the event loop's thread.

    `running()`; `stopping(reason)` when the guest begins to shut down; `ended(reason, detail)` exactly once.
    """

    running: Callable[[], None]
    stopping: Callable[[str], None]
    ended: Callable[[str, str], None]


class Guest(Protocol):
    """One boot of one guest."""

    def start(self) -> None:
        """Start the boot. `running` or `ended` follows on the event loop. Raises OSError."""
        ...

    def power_button(self) -> None:
        """Ask the guest to shut down, and kill it after a grace period. `ended` follows."""
        ...

    def kill(self) -> None:
        """End the guest at once. `ended` follows."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return what the guest uses of this machine, as far as that is known."""
        ...


class GuestBackend(Protocol):
    """Makes the guests of one cloud, all of one kind."""

    @property
    def kind(self) -> str:
        """PROCESS or VM."""
        ...

    def make(self, plan: BootPlan, console: Console, events: Events) -> Guest:
        """Return a guest for one boot, not yet started. Raises OSError."""
        ...

    def disk_problem(self, directory: Path) -> str:
        """Return why this backend cannot boot the disk in a guest's directory, or "" if it can."""
        ...

    def facts(self) -> dict[str, str]:
        """Return what runs in a guest: `python` (major.minor) and `architecture` by EC2's name."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return facts for `up` and `status`. `guest_limits` lists how a guest differs from a real server."""
        ...
