"""What a guest is to the rest of the cloud, whichever body it has: a process tree or a whole machine.

No behaviour of a body lives here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from localcloud.guests.console import Console

POWEROFF = "poweroff"
REBOOT = "reboot"
BUTTON = "button"
CRASH = "crash"
REFUSED = "refused"
"""Why a guest ended: by itself, to boot again, by the power button, by no order of anyone, or it never could start."""


PROCESS, VM = "process", "vm"
KINDS = (PROCESS, VM)
"""What a guest can be made of: a sandboxed process tree, or a virtual machine."""


@dataclass(frozen=True)
class Hardware:
    """The machine that an instance is said to be: `memory` in MiB, `disk` in GiB, `cidr` of its subnet."""

    kind: str
    cpus: int
    memory: int
    volume: str
    disk: int
    mac: str
    cidr: str
    domain: str


@dataclass(frozen=True)
class Plan:
    """One boot of one guest."""

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
    """Whom a guest tells of its life; called on the event loop's thread, `ended` exactly once."""

    running: Callable[[], None]
    stopping: Callable[[str], None]
    ended: Callable[[str, str], None]


class Guest(Protocol):
    """One boot of one guest."""

    def start(self) -> None:
        """Begin; `running` or `ended` follows on the event loop. Raises OSError."""
        ...

    def power_button(self) -> None:
        """Ask it to shut down; it has a grace, then it is killed. `ended` follows."""
        ...

    def kill(self) -> None:
        """End it at once. `ended` follows."""
        ...

    def facts(self) -> dict[str, Any]:
        """What it takes of this machine, as far as that is known."""
        ...


class Body(Protocol):
    """What the guests of one cloud are made of."""

    @property
    def kind(self) -> str:
        """One of KINDS."""
        ...

    def make(self, plan: Plan, console: Console, events: Events) -> Guest:
        """A guest for one boot, not started yet."""
        ...

    def why_not(self, directory: Path) -> str:
        """Why the disk in a guest's directory cannot be booted by this body; empty when it can."""
        ...

    def facts(self) -> dict[str, str]:
        """What really runs in a guest: `python` (major.minor) and `architecture` as EC2 names it."""
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for `up` and `status`, `guest_limits` (how a guest differs from a real server) among them."""
        ...
