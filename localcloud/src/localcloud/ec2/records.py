"""What EC2 remembers: instances, launch templates, fleets and answered tokens, per region, on disk at each change.

Plain data and its file; no rule of EC2 lives here, and no process.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcloud.cloud.files import write_whole
from localcloud.errors import CloudError

PENDING, RUNNING, STOPPING, STOPPED = "pending", "running", "stopping", "stopped"
SHUTTING_DOWN, TERMINATED = "shutting-down", "terminated"
CODES = {PENDING: 0, RUNNING: 16, SHUTTING_DOWN: 32, TERMINATED: 48, STOPPING: 64, STOPPED: 80}
SPOT, ON_DEMAND = "spot", "on-demand"


@dataclass
class Volume:
    """The root volume of an instance, as a record: what the guest wrote lies in its own directory."""

    id: str
    device: str
    size: int
    kind: str
    encrypted: bool
    delete_on_termination: bool
    created: str
    iops: int | None = None
    throughput: int | None = None
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Instance:
    """One instance; `index` is its place in its reservation.

    Times are ISO 8601 in UTC with seconds; `ended` is epoch seconds of its termination.
    """

    id: str
    reservation: str
    image: str
    kind: str
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
        """The name its operating system has."""
        return "ip-" + self.address.replace(".", "-")

    @property
    def alive(self) -> bool:
        """Whether it is, or will be, running."""
        return self.state in (PENDING, RUNNING)


@dataclass
class Template:
    """A launch template and its versions: number (text) -> {data, description, created}."""

    id: str
    name: str
    created: str
    default: int
    latest: int
    versions: dict[str, dict[str, Any]]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Fleet:
    """An instant fleet: the request it came from and what it answered."""

    id: str
    created: str
    request: dict[str, Any]
    answer: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class RegionRecords:
    """Everything of one region. `tokens`: key -> {digest, answer, at (epoch seconds)}."""

    instances: dict[str, Instance] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    fleets: dict[str, Fleet] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)

    def launched_by(self, token: str) -> list[Instance]:
        """The instances, of those still known, that the answer to a token names."""
        answer = self.tokens[token]["answer"] or {}
        fleet = [one for entry in answer.get("Instances", ()) for one in entry["InstanceIds"]]
        return [self.instances[one] for one in (*answer.get("instances", ()), *fleet) if one in self.instances]


class RecordStore:
    """All regions. `lock` is held by whoever changes a record: CloudFormation works on threads of its own.

    `on_change(region, instance, state)` is called after the disk has a new state of an instance.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory
        self._regions: dict[str, RegionRecords] = {}
        self._told: dict[str, str] = {}
        self.on_change: Callable[[str, str, str], None] = lambda *_: None
        self.lock = threading.RLock()
        for path in sorted(directory.glob("*.json")):
            self._regions[path.stem] = _read(path)
            self._told |= {one.id: one.state for one in self._regions[path.stem].instances.values()}

    def region(self, name: str) -> RegionRecords:
        """The records of a region; empty ones at first."""
        return self._regions.setdefault(name, RegionRecords())

    def regions(self) -> dict[str, RegionRecords]:
        """Every region that was ever used."""
        return dict(self._regions)

    def save(self, name: str) -> None:
        """Write a region to disk, whole or not at all."""
        with self.lock:
            write_whole(self._directory / f"{name}.json", json.dumps(asdict(self.region(name))).encode())
            changed = [one for one in self.region(name).instances.values() if self._told.get(one.id) != one.state]
            self._told |= {one.id: one.state for one in changed}
            known = {one for region in self._regions.values() for one in region.instances}
            self._told = {one: state for one, state in self._told.items() if one in known}
        for one in changed:
            self.on_change(name, one.id, one.state)

    def find(self, instance: str) -> tuple[str, Instance] | None:
        """The region and the record of an instance."""
        for name, region in self._regions.items():
            if instance in region.instances:
                return name, region.instances[instance]
        return None


def _read(path: Path) -> RegionRecords:
    try:
        return _region(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError) as error:
        remedy = "Remove it to forget this region's servers, or the state directory to begin a new cloud."
        raise CloudError(f"{path} cannot be read: {error}.", remedy) from error


def _region(said: dict[str, Any]) -> RegionRecords:
    return RegionRecords(
        instances={
            key: Instance(**(one | {"volume": Volume(**one["volume"])})) for key, one in said["instances"].items()
        },
        templates={key: Template(**one) for key, one in said["templates"].items()},
        fleets={key: Fleet(**one) for key, one in said["fleets"].items()},
        tokens=said["tokens"],
    )
