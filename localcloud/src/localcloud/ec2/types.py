"""The instance types of the local cloud: virtual CPUs, memory, architecture, and an illustrative price.

This machine stands in for all of them; nothing here limits a guest. Prices are invented but stable: they order types as on
AWS (a larger type costs more, spot costs less than on-demand) and appear on no bill.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

from localcloud.ec2.errors import Ec2Error

X86, ARM = "x86_64", "arm64"
_T_SIZES = {"nano": 0.5, "micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16, "2xlarge": 32}
_T_CPUS = {"xlarge": 4, "2xlarge": 8}
_CPUS = {
    "medium": 1,
    "large": 2,
    "xlarge": 4,
    "2xlarge": 8,
    "4xlarge": 16,
    "8xlarge": 32,
    "12xlarge": 48,
    "16xlarge": 64,
}
_LARGE_CPUS = {"24xlarge": 96, "48xlarge": 192}
_GIB_PER_CPU = {"c": 2, "m": 4, "r": 8}
_CENTS_PER_CPU = {"c": 4.0, "m": 4.8, "r": 6.1}
_PRICE_FACTOR = {X86: 1.0, ARM: 0.85}
_FAMILIES = {
    "c6g": ARM,
    "m6g": ARM,
    "r6g": ARM,
    "c7g": ARM,
    "m7g": ARM,
    "r7g": ARM,
    "c8g": ARM,
    "m8g": ARM,
    "r8g": ARM,
    "c6i": X86,
    "m6i": X86,
    "r6i": X86,
    "c7i": X86,
    "m7i": X86,
    "r7i": X86,
}
_BURSTABLE = {"t3": X86, "t3a": X86, "t4g": ARM}


@dataclass(frozen=True)
class InstanceType:
    """One type: `memory` in MiB, `dollars` per hour on demand (illustrative)."""

    name: str
    cpus: int
    memory: int
    architecture: str
    dollars: float

    @property
    def cores(self) -> int:
        """Physical cores: Graviton has one thread per core, other processors have two."""
        if self.architecture == ARM:
            return self.cpus
        return max(1, self.cpus // 2)

    @property
    def threads_per_core(self) -> int:
        """Virtual CPUs per physical core."""
        return max(1, self.cpus // self.cores)


@cache
def table() -> dict[str, InstanceType]:
    """Return every type by its name."""
    found = []
    for family, architecture in _BURSTABLE.items():
        found += _burstable(family, architecture)
    for family, architecture in _FAMILIES.items():
        found += _fixed(family, architecture)
    return {instance_type.name: instance_type for instance_type in found}


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


def _burstable(family: str, architecture: str) -> list[InstanceType]:
    return [
        InstanceType(f"{family}.{size}", _T_CPUS.get(size, 2), int(gib * 1024), architecture, 0.0052 * gib * 2)
        for size, gib in _T_SIZES.items()
    ]


def _fixed(family: str, architecture: str) -> list[InstanceType]:
    series, generation = family[0], family[1]
    sizes = dict(_CPUS)
    if generation == "8" or architecture == X86:
        sizes |= _LARGE_CPUS
    if architecture == X86:
        del sizes["medium"]
    found = []
    for size, cpus in sizes.items():
        memory = cpus * _GIB_PER_CPU[series] * 1024
        dollars = cpus * _CENTS_PER_CPU[series] * _PRICE_FACTOR[architecture] / 100
        found.append(InstanceType(f"{family}.{size}", cpus, memory, architecture, round(dollars, 4)))
    return found
