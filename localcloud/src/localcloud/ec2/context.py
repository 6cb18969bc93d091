"""What every part of our EC2 works with: the records, the network, the capacity rules, the clock, and the supervisor of guests.

No action of the API lives here.
"""

import datetime
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from localcloud.cloud.clock import Clock
from localcloud.ec2.authorize import Caller
from localcloud.ec2.capacity import Capacity
from localcloud.ec2.network import Network
from localcloud.ec2.records import Instance, RecordStore, RegionRecords


class Supervisor(Protocol):
    """Where guests run."""

    def launch(self, region: str, instance: Instance) -> None:
        """Start, or queue, the guest of a pending instance."""
        ...

    def end(self, instance: Instance) -> None:
        """Press the power button of its guest; a queued one just goes."""
        ...

    def reboot(self, instance: Instance) -> None:
        """Press the button and boot again."""
        ...

    def console(self, instance: Instance) -> bytes:
        """The newest part of what it printed."""
        ...


@dataclass(frozen=True)
class Context:
    """One account's EC2."""

    account: str
    store: RecordStore
    network: Network
    capacity: Capacity
    clock: Clock
    supervisor: Supervisor
    facts: dict[str, str]


@dataclass(frozen=True)
class Request:
    """One request at the context: its parsed parameters and who asks."""

    context: Context
    caller: Caller
    action: str
    params: dict[str, Any]

    @property
    def region(self) -> str:
        """The name of the region it was sent to."""
        return self.caller.region

    @property
    def records(self) -> RegionRecords:
        """The records of that region."""
        return self.context.store.region(self.caller.region)

    def save(self) -> None:
        """Write the region's records to disk."""
        self.context.store.save(self.caller.region)


Handler = Callable[[Request], dict[str, Any]]


def new_id(prefix: str) -> str:
    """A fresh id such as `i-0123456789abcdef0`."""
    return f"{prefix}-0{secrets.token_hex(8)}"


def iso(moment: datetime.datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags in the shape of answers."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
