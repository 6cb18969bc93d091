"""What a guest is to the rest of the cloud, whichever body it has: process now, machine later.

No behaviour of a body lives here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

POWEROFF = "poweroff"
REBOOT = "reboot"
BUTTON = "button"
CRASH = "crash"
REFUSED = "refused"
"""Why a guest ended: by itself, to boot again, by the power button, by no order of anyone, or it never could start."""


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


@dataclass(frozen=True)
class Events:
    """Whom a guest tells of its life; called on the event loop's thread, `ended` exactly once."""

    running: Callable[[], None]
    stopping: Callable[[str], None]
    ended: Callable[[str, str], None]


class Guest(Protocol):
    """A guest that was started."""

    def power_button(self) -> None:
        """Ask it to shut down; it has a grace, then it is killed. `ended` follows."""
        ...

    def kill(self) -> None:
        """End it at once. `ended` follows."""
        ...
