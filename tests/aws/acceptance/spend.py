"""The most that each step can cost, added up before the step; a step over the cap or with an unknown price is not done.

These are upper bounds for the times named here, not estimates. That nothing runs longer is an assumption: it holds provided the
trial, or `--clean` after an interruption, runs to its end. Prices are in US dollars. No call is made here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

CAP = Decimal("0.05")

HOUR: dict[str, Decimal] = {
    "t4g.micro": Decimal("0.0168"),
    "t4g.small": Decimal("0.0335"),
}
"""On-demand dollars per hour that no region is known to exceed: the most expensive region in the public price list that
apache-libcloud 3.9.1 contains (2 March 2025: 0.0134 and 0.0268 in sa-east-1), plus a quarter. A spot
server costs at most the on-demand price, which is the default maximum."""
ADDRESS_HOUR = Decimal("0.005")
"""One public IPv4 address, all regions (AWS blog of July 2023, in force since 1 February 2024)."""
DISK_GB_HOUR = Decimal("0.16") / 730
"""gp3: $0.08 a GB and month in us-east-1 (EBS pricing page); twice that."""
FUNCTION_GB_SECOND = Decimal("0.0000166667")
"""Lambda on x86, the more expensive one (Lambda pricing page); dayfly's functions run on arm64."""
FIXED = Decimal("0.004")
"""An hour of two alarms ($0.10 a month each) and one metric ($0.30 a month), and 500 requests to S3, SQS and SNS at $0.005 a
thousand, from the same pages: $0.0032 together. Stacks, schedules' first 14 million calls, roles and templates cost nothing."""


class OverCap(Exception):
    """The step was not done: its price is unknown, or it could exceed the cap."""


@dataclass(frozen=True)
class Bound:
    """The most that a step can cost."""

    what: str
    dollars: Decimal


def servers(count: int, kinds: tuple[str, ...], minutes: int, disk_gb: int) -> Bound:
    """Return the bound of `count` servers of any of these types. Raises OverCap for a type without a known price."""
    unknown = [kind for kind in kinds if kind not in HOUR]
    if unknown:
        raise OverCap(f"no price is known for {', '.join(unknown)}")
    hour = max(HOUR[kind] for kind in kinds) + ADDRESS_HOUR + disk_gb * DISK_GB_HOUR
    return Bound(f"{count} x {'/'.join(kinds)} for {minutes} min", count * hour * minutes / 60)


def functions(seconds: int, memory_mb: int) -> Bound:
    """Return the bound of Lambda functions and the fixed resources. The seconds are assumed by the caller, not enforced."""
    return Bound(
        f"{seconds} s of functions (assumed), alarms, requests", seconds * memory_mb * FUNCTION_GB_SECOND / 1024 + FIXED
    )


@dataclass
class Ledger:
    """The steps allowed so far, and the cap."""

    cap: Decimal = CAP
    allowed: list[tuple[str, Bound]] = field(default_factory=list)

    @property
    def total(self) -> Decimal:
        return sum((bound.dollars for _step, bound in self.allowed), Decimal(0))

    def reserve(self, step: str, *bounds: Bound) -> None:
        """Allow a step. Raises OverCap, and allows nothing, if the sum of all bounds would exceed the cap."""
        wanted = sum((bound.dollars for bound in bounds), Decimal(0))
        if self.total + wanted > self.cap:
            raise OverCap(f"{step} could cost ${wanted:.4f}; with ${self.total:.4f} before it that exceeds ${self.cap}")
        self.allowed += [(step, bound) for bound in bounds]
