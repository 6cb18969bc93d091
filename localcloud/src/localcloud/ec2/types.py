"""The instance types: AWS's own catalogue, which zones offer each, and an illustrative price.

This machine stands in for all of them; nothing here limits a guest. The catalogue is data that scripts/instance-types writes.
Prices are invented but stable: they order types as on AWS (a larger type costs more, spot costs less than on-demand) and appear
on no bill.
"""

import gzip
import hashlib
import json
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from localcloud.ec2.errors import Ec2Error

X86, ARM = "x86_64", "arm64"
_FILE = Path(__file__).with_name("instance_types.json.gz")
_CENTS_PER_CPU, _CENTS_PER_GIB = 3.2, 0.4
_BURSTABLE_CENTS_PER_GIB = 1.04
_PRICE_FACTOR = {X86: 1.0, ARM: 0.85}


@dataclass(frozen=True)
class InstanceType:
    """One type. `document` is what DescribeInstanceTypes shows of it."""

    name: str
    document: dict[str, Any] = field(repr=False, compare=False)

    @property
    def cpus(self) -> int:
        """Virtual CPUs."""
        return int(self.document["VCpuInfo"]["DefaultVCpus"])

    @property
    def cores(self) -> int:
        """Physical cores."""
        return int(self.document["VCpuInfo"]["DefaultCores"])

    @property
    def threads_per_core(self) -> int:
        """Virtual CPUs per physical core."""
        return int(self.document["VCpuInfo"]["DefaultThreadsPerCore"])

    @property
    def memory(self) -> int:
        """Memory in MiB."""
        return int(self.document["MemoryInfo"]["SizeInMiB"])

    @property
    def architectures(self) -> tuple[str, ...]:
        """The architectures of images that it can boot."""
        return tuple(self.document["ProcessorInfo"]["SupportedArchitectures"])

    @property
    def markets(self) -> tuple[str, ...]:
        """The markets in which it can be bought, such as "spot"."""
        return tuple(self.document["SupportedUsageClasses"])

    @property
    def stores(self) -> tuple[int, ...]:
        """The size in GB of each disk of the instance storage."""
        storage = self.document.get("InstanceStorageInfo") or {}
        return tuple(disk["SizeInGB"] for disk in storage.get("Disks", ()) for _ in range(disk["Count"]))

    @cached_property
    def dollars(self) -> float:
        """Dollars per hour on demand (illustrative)."""
        gib = self.memory / 1024
        cents = self.cpus * _CENTS_PER_CPU + gib * _CENTS_PER_GIB
        if self.document["BurstablePerformanceSupported"]:
            cents = gib * _BURSTABLE_CENTS_PER_GIB
        return round(cents * _PRICE_FACTOR.get(self.architectures[-1], 1.0) / 100, 4)


@cache
def _catalogue() -> dict[str, Any]:
    """Return the catalogue. The first call takes about 30 ms, so nothing at start makes it."""
    document: dict[str, Any] = json.loads(gzip.decompress(_FILE.read_bytes()))
    return document


@cache
def table() -> dict[str, InstanceType]:
    """Return every type of AWS by its name, whichever region has it."""
    return {one["InstanceType"]: InstanceType(one["InstanceType"], one) for one in _catalogue()["types"]}


@cache
def offered(zone_id: str) -> frozenset[str]:
    """Return the names of the types that a zone offers; all for a zone that the catalogue does not have."""
    bits = _catalogue()["zones"].get(zone_id)
    if bits is None:
        return frozenset(table())
    number = int(bits, 16)
    return frozenset(name for place, name in enumerate(table()) if number >> place & 1)


def sells(zone_id: str, instance_type: InstanceType, market: str) -> bool:
    """Whether a zone offers a type in a market, such as "spot"."""
    return instance_type.name in offered(zone_id) and market in instance_type.markets


def named(name: str) -> InstanceType:
    """Return the type of that name. Raises Ec2Error (InvalidParameterValue)."""
    found = table().get(name)
    if found is None:
        raise Ec2Error("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
    return found


def spot_dollars(instance_type: InstanceType, zone: str) -> float:
    """Return the spot price per hour in a zone: 30 to 45 percent of the on-demand price, always the same."""
    digest = hashlib.sha256(f"{instance_type.name} {zone}".encode()).digest()
    share = int.from_bytes(digest[:2], "big") / 65535
    return round(instance_type.dollars * (0.30 + 0.15 * share), 4)
