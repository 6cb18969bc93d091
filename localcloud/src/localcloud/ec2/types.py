"""The instance types this cloud knows: virtual CPUs, memory, architecture, and an illustrative price.

All of them are played by this machine; nothing here limits a guest. Prices are made up but stable: they order types as
AWS does (larger costs more, spot less than on-demand) and are nobody's bill.
"""

import hashlib
from dataclasses import dataclass
from functools import cache

from localcloud.ec2.errors import Ec2Error

X86, ARM = "x86_64", "arm64"
_T_SIZES = {"nano": 0.5, "micro": 1, "small": 2, "medium": 4, "large": 8, "xlarge": 16, "2xlarge": 32}
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
        """Physical cores: Graviton has one thread a core, the others two."""
        return self.cpus if self.architecture == ARM else max(1, self.cpus // 2)


@cache
def table() -> dict[str, InstanceType]:
    """Every type by its name."""
    found = []
    for family, architecture in _BURSTABLE.items():
        for size, gib in _T_SIZES.items():
            cpus = {"xlarge": 4, "2xlarge": 8}.get(size, 2)
            found.append(InstanceType(f"{family}.{size}", cpus, int(gib * 1024), architecture, 0.0052 * gib * 2))
    for family, architecture in _FAMILIES.items():
        sizes = dict(_CPUS) | (_LARGE_CPUS if family[1] == "8" or architecture == X86 else {})
        if architecture == X86:
            del sizes["medium"]
        saving = 0.85 if architecture == ARM else 1.0
        for size, cpus in sizes.items():
            memory = cpus * _GIB_PER_CPU[family[0]] * 1024
            dollars = cpus * _CENTS_PER_CPU[family[0]] * saving / 100
            found.append(InstanceType(f"{family}.{size}", cpus, memory, architecture, round(dollars, 4)))
    return {one.name: one for one in found}


def named(name: str) -> InstanceType:
    """The type of that name. Raises Ec2Error (InvalidParameterValue)."""
    found = table().get(name)
    if found is None:
        raise Ec2Error("InvalidParameterValue", f"Invalid value '{name}' for InstanceType.")
    return found


def spot_dollars(kind: InstanceType, zone: str) -> float:
    """The spot price per hour in a zone: between 30 and 45 percent of the on-demand price, the same for ever."""
    share = int.from_bytes(hashlib.sha256(f"{kind.name} {zone}".encode()).digest()[:2], "big") / 65535
    return round(kind.dollars * (0.30 + 0.15 * share), 4)
