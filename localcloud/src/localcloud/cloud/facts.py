"""The facts of one running local cloud that its parts share, and the interface of the part that plays EC2.

No behaviour lives here, and nothing that imports MiniStack.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from localcloud.cloud.clock import Clock

Response = tuple[int, dict[str, str], bytes]
"""Status, headers and body, as MiniStack's handlers answer."""


@dataclass(frozen=True)
class Cloud:
    """One cloud: where its state is, how it is reached, who its administrator is."""

    state: Path
    port: int
    region: str
    account: str
    access_key: str
    secret_key: str
    clock: Clock
    guests: str = "process"
    """What instances are made of: `process` or `vm`."""
    max_guests: int | None = None
    internet: bool = False
    recurring: bool = True
    """Whether recurring schedules fire; False for a cloud that is up for a moment only. One-time ones always do."""
    max_life: float | None = None
    """Seconds after which a guest is ended to guard this machine; None leaves the part's own limit."""

    @property
    def endpoint(self) -> str:
        """The one URL for command line, functions and guests."""
        return f"http://127.0.0.1:{self.port}"


class Machines(Protocol):
    """What `localcloud.ec2.attach(cloud)` returns: the EC2 of this cloud.

    Every method is called on the event loop's thread. The account and region of a request are MiniStack's request
    variables (`ministack.core.responses.get_account_id`, `get_region`); IAM has judged the action before.
    """

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response | None:
        """Answer an EC2 request, or None to leave it to MiniStack."""
        ...

    async def control(self, method: str, path: str, body: bytes) -> Response:
        """Answer a request under `/_localcloud/ec2/` (never one of a guest or a function)."""
        ...

    async def start(self) -> None:
        """Called once, before the endpoint answers; the loop runs and the port is bound."""
        ...

    async def close(self) -> None:
        """End every guest; called at each orderly end."""
        ...

    def describe(self) -> dict[str, Any]:
        """Facts for `up` and `status`: guests (kind), accelerator, interpreter, architecture."""
        ...
