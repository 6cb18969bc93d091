"""The quotas of virtual CPUs: their codes, names and default values, and which one an instance type counts against.

Source: "EC2 User Guide", Amazon EC2 service quotas (On-Demand Instance quotas) and Spot Instance quotas; "AWS General Reference",
Amazon EC2 endpoints and quotas. The default values are generous here, since 5 for a new account would stop most tests.
"""

import re
from dataclasses import dataclass

from localcloud.ec2.records import ON_DEMAND, SPOT


@dataclass(frozen=True)
class Quota:
    """One quota: the market and the families of types that count against it; `value` in virtual CPUs."""

    code: str
    name: str
    market: str
    families: str
    value: float


_STANDARD, _OTHER = 4096.0, 256.0
QUOTAS: dict[str, Quota] = {
    one.code: one
    for one in (
        Quota(
            "L-1216C47A",
            "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
            ON_DEMAND,
            "a c d h i im is m r t z",
            _STANDARD,
        ),
        Quota("L-74FC7D96", "Running On-Demand F instances", ON_DEMAND, "f", _OTHER),
        Quota("L-DB2E81BA", "Running On-Demand G and VT instances", ON_DEMAND, "g gr vt", _OTHER),
        Quota("L-F7808C92", "Running On-Demand HPC instances", ON_DEMAND, "hpc", _OTHER),
        Quota("L-43DA4232", "Running On-Demand High Memory instances", ON_DEMAND, "u", _OTHER),
        Quota("L-1945791B", "Running On-Demand Inf instances", ON_DEMAND, "inf", _OTHER),
        Quota("L-417A185B", "Running On-Demand P instances", ON_DEMAND, "p", _OTHER),
        Quota("L-2C3B7624", "Running On-Demand Trn instances", ON_DEMAND, "trn", _OTHER),
        Quota("L-7295265B", "Running On-Demand X instances", ON_DEMAND, "x", _OTHER),
        Quota(
            "L-34B43A08",
            "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
            SPOT,
            "a c d h i im is m r t z",
            _STANDARD,
        ),
        Quota("L-88CF9481", "All F Spot Instance Requests", SPOT, "f", _OTHER),
        Quota("L-3819A6DF", "All G and VT Spot Instance Requests", SPOT, "g gr vt", _OTHER),
        Quota("L-B5D1601B", "All Inf Spot Instance Requests", SPOT, "inf", _OTHER),
        Quota("L-7212CCBC", "All P4, P3 and P2 Spot Instance Requests", SPOT, "p", _OTHER),
        Quota("L-6B0D517C", "All Trn Spot Instance Requests", SPOT, "trn", _OTHER),
        Quota("L-E3A00192", "All X Spot Instance Requests", SPOT, "x", _OTHER),
    )
}
_SERIES = re.compile(r"[a-z]+")


def quota_of(instance_type: str, market: str) -> str:
    """Return the code of the quota against which a type counts in a market; "" if there is none for it here."""
    series = _SERIES.match(instance_type)
    if series is None:
        return ""
    for quota in QUOTAS.values():
        if quota.market == market and series[0] in quota.families.split():
            return quota.code
    return ""
