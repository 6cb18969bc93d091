"""The facts of one running local cloud that its parts share. No behavior belongs here."""

from dataclasses import dataclass
from pathlib import Path

from localcloud.cloud.clock import Clock

Response = tuple[int, dict[str, str], bytes]
"""Status, headers and body, as MiniStack's handlers answer."""


@dataclass(frozen=True)
class Cloud:
    """One cloud: its state directory, its address, its administrator and its settings."""

    state: Path
    port: int
    region: str
    account: str
    access_key: str
    secret_key: str
    clock: Clock
    guests: str = "process"
    """What instances run as: `process` or `vm`."""
    max_guests: int | None = None
    """How many guests may run at once; None for the backend's default."""
    internet: bool = False
    """Whether guests may use this machine's network."""
    recurring: bool = True
    """Whether recurring schedules fire; False for a temporary cloud. One-time schedules always do."""
    max_life: float | None = None
    """Seconds after which a guest is ended, to protect this machine; None for EC2's own limit."""

    @property
    def endpoint(self) -> str:
        """The URL of every service, for the command line, functions and guests."""
        return f"http://127.0.0.1:{self.port}"
