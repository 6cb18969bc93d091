"""What every action of EC2 works with: the context of one account, and one request in it.

No action of the API lives here.
"""

import datetime
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from localcloud.cloud.clock import Clock
from localcloud.ec2.authorize import Caller
from localcloud.ec2.capacity import Capacity
from localcloud.ec2.conditions import Conditions
from localcloud.ec2.network import Network
from localcloud.ec2.records import Instance, RecordStore, RegionRecords


class Supervisor(Protocol):
    """Runs the guests of instances (see supervisor.py)."""

    def launch(self, region: str, instance: Instance) -> None:
        """Start or queue the guest of a pending instance."""
        ...

    def refuse(self, instance: Instance, code: str, text: str) -> None:
        """End a pending instance shortly after its launch, without a guest, for this reason."""
        ...

    def end(self, instance: Instance) -> None:
        """Press the power button of the guest, or remove it from the queue."""
        ...

    def reboot(self, instance: Instance) -> None:
        """Press the power button of the guest and boot it again."""
        ...

    def console(self, instance: Instance) -> bytes:
        """Return the newest part of what the guest printed."""
        ...


@dataclass(frozen=True)
class Context:
    """The EC2 of one account.

    `guest_facts`: what runs in a guest (kind, python, architecture). `in_flight`: (region, key) of the client tokens whose calls are
    not answered yet. `groups_known`: since when each security group is known, by (region, id).
    """

    account: str
    store: RecordStore
    network: Network
    capacity: Capacity
    conditions: Conditions
    clock: Clock
    supervisor: Supervisor
    guest_facts: dict[str, str]
    in_flight: set[tuple[str, str]]
    groups_known: dict[tuple[str, str], float]


@dataclass(frozen=True)
class Request:
    """One request: its action, its parsed parameters, and who sent it. `tokens`: (region, key) of those that it used."""

    context: Context
    caller: Caller
    action: str
    params: dict[str, Any]
    tokens: set[tuple[str, str]] = field(default_factory=set)

    @property
    def region(self) -> str:
        """The name of the request's region."""
        return self.caller.region

    @property
    def records(self) -> RegionRecords:
        """The records of that region."""
        return self.context.store.region(self.caller.region)

    def save(self) -> None:
        """Write the region's records to disk."""
        self.context.store.save(self.caller.region)


Handler = Callable[[Request], dict[str, Any]]
"""An action: returns the members of its answer, or raises Ec2Error."""


def new_id(prefix: str) -> str:
    """Return a new id such as `i-0123456789abcdef0`."""
    return f"{prefix}-0{secrets.token_hex(8)}"


def iso(moment: datetime.datetime) -> str:
    """Format a time as ISO 8601 in UTC, to the second."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags in the shape of answers, sorted by key."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
