"""EC2's records per region: instances, launch templates, fleets and answered client tokens, saved at each change.

Plain data and its files: no rule of EC2 and no process lives here.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcloud.cloud.files import write_atomically
from localcloud.errors import CloudError

PENDING, RUNNING, STOPPING, STOPPED = "pending", "running", "stopping", "stopped"
SHUTTING_DOWN, TERMINATED = "shutting-down", "terminated"
CODES = {PENDING: 0, RUNNING: 16, SHUTTING_DOWN: 32, TERMINATED: 48, STOPPING: 64, STOPPED: 80}
SPOT, ON_DEMAND = "spot", "on-demand"


@dataclass
class Volume:
    """The record of an instance's root volume, sizes in GiB; `key` as the launch named it.

    What the guest wrote is in the guest's directory.
    """

    id: str
    device: str
    size: int
    volume_type: str
    encrypted: bool
    delete_on_termination: bool
    created: str
    iops: int | None = None
    throughput: int | None = None
    tags: dict[str, str] = field(default_factory=dict)
    key: str = ""


@dataclass
class Instance:
    """The record of an instance.

    `launched` is ISO 8601 in UTC; `ended` is the time of the termination in epoch seconds, or None. `index` is the position
    in the reservation, `boots` counts the boots so far, `transition` is StateTransitionReason.
    """

    id: str
    reservation: str
    image: str
    instance_type: str
    architecture: str
    state: str
    launched: str
    zone: str
    zone_id: str
    subnet: str
    vpc: str
    address: str
    mac: str
    groups: list[str]
    market: str
    shutdown: str
    volume: Volume
    user_data: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    profile: dict[str, str] = field(default_factory=dict)
    token: str = ""
    fleet: str = ""
    template: str = ""
    template_version: str = ""
    key: str = ""
    spot_request: str = ""
    auto_recovery: str = "default"
    api_termination_disabled: bool = False
    ebs_optimized: bool = False
    monitoring: bool = False
    reason_code: str = "pending"
    reason: str = "pending"
    transition: str = ""
    boots: int = 0
    index: int = 0
    ended: float | None = None

    @property
    def hostname(self) -> str:
        """The host name of its operating system."""
        return "ip-" + self.address.replace(".", "-")


@dataclass
class Template:
    """A launch template. `versions`: number as text -> {data, description, created}."""

    id: str
    name: str
    created: str
    default: int
    latest: int
    versions: dict[str, dict[str, Any]]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Fleet:
    """An instant fleet: the request and its answer."""

    id: str
    created: str
    request: dict[str, Any]
    answer: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class RegionRecords:
    """All records of one region. `tokens`: key -> {digest, answer, at}; `at` is the last use in epoch seconds."""

    instances: dict[str, Instance] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    fleets: dict[str, Fleet] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    def launched_by(self, token: str) -> list[Instance]:
        """Return the instances that the answer to a token names and whose records still exist."""
        answer = self.tokens[token]["answer"] or {}
        ids = list(answer.get("instances", ()))
        for entry in answer.get("Instances", ()):
            ids += entry["InstanceIds"]
        return self.existing(ids)

    def existing(self, identifiers: list[str]) -> list[Instance]:
        """Return the instances of these ids whose records still exist."""
        return [self.instances[identifier] for identifier in identifiers if identifier in self.instances]

    def not_terminated(self) -> list[Instance]:
        """Return the instances that are not terminated."""
        return [instance for instance in self.instances.values() if instance.ended is None]


class RecordStore:
    """The records of all regions, in memory and on disk.

    Hold `lock` while you change a record, because CloudFormation works on its own threads.
    `on_change(region, instance id, state)` is called after a new state of an instance was written.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._regions: dict[str, RegionRecords] = {}
        # Instance id -> the last state that `on_change` got, or that was on disk.
        self._reported: dict[str, str] = {}
        self.on_change: Callable[[str, str, str], None] = lambda *_: None
        self.lock = threading.RLock()
        for path in sorted(directory.glob("*.json")):
            self._regions[path.stem] = _read(path)
            self._reported |= _states(self._regions[path.stem])

    def region(self, name: str) -> RegionRecords:
        """Return the records of a region; empty ones at first."""
        return self._regions.setdefault(name, RegionRecords())

    def regions(self) -> dict[str, RegionRecords]:
        """Return the records of every region that was ever used."""
        return dict(self._regions)

    def save(self, name: str) -> None:
        """Write a region to disk, atomically. Raises OSError."""
        with self.lock:
            write_atomically(self._directory / f"{name}.json", json.dumps(asdict(self.region(name))).encode())
            states = _states(self.region(name))
            changed = {key: state for key, state in states.items() if self._reported.get(key) != state}
            self._reported |= changed
            self._forget_deleted()
        for instance, state in changed.items():
            self.on_change(name, instance, state)

    def find(self, instance: str) -> tuple[str, Instance] | None:
        """Return (region, record) of an instance, or None."""
        for name, region in self._regions.items():
            if instance in region.instances:
                return name, region.instances[instance]
        return None

    def _forget_deleted(self) -> None:
        self._reported = {key: state for key, state in self._reported.items() if self.find(key) is not None}


def _states(region: RegionRecords) -> dict[str, str]:
    return {instance.id: instance.state for instance in region.instances.values()}


def _read(path: Path) -> RegionRecords:
    try:
        return _parse(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        remedy = "Delete it to forget this region's instances, or delete the state directory to start a new cloud."
        raise CloudError(f"{path} cannot be read: {error}.", remedy) from error


def _parse(values: dict[str, Any]) -> RegionRecords:
    instances = {}
    for key, record in values["instances"].items():
        instances[key] = Instance(**(record | {"volume": Volume(**record["volume"])}))
    return RegionRecords(
        instances=instances,
        templates={key: Template(**record) for key, record in values["templates"].items()},
        fleets={key: Fleet(**record) for key, record in values["fleets"].items()},
        tokens=values["tokens"],
    )
