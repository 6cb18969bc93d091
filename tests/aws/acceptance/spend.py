"""What each step can cost at most, added up before it is done; beyond the cap, or with an unknown price, it is not done.

Upper bounds of what is let run for the times named here, not estimates. That nothing runs longer is an assumption: it holds as long as
the trial, or its `--clean` after it was cut off, is run to its end. Prices are US dollars. Nothing here asks anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

CAP = Decimal("0.05")

HOUR: dict[str, Decimal] = {
    "t4g.nano": Decimal("0.0084"),
    "c6g.medium": Decimal("0.0655"),
    "c7g.medium": Decimal("0.0604"),
}
"""On-demand dollars an hour that no region is known to pass: the dearest region in the public price list that apache-libcloud 3.9.1
carries (of 2 March 2025: 0.0067 and 0.0524 in sa-east-1, 0.0483 in ap-northeast-1), and a quarter more. A spot server costs no
more than on-demand, which is the default maximum."""
ADDRESS_HOUR = Decimal("0.005")
"""One public IPv4 address, all regions (AWS blog of July 2023, in force since 1 February 2024)."""
DISK_GB_HOUR = Decimal("0.16") / 730
"""gp3: $0.08 a GB and month in us-east-1 (EBS pricing page); twice that."""
FUNCTION_GB_SECOND = Decimal("0.0000166667")
"""Lambda on x86, the dearer one (Lambda pricing page); ours run on arm64."""
REST = Decimal("0.004")
"""An hour of two alarms ($0.10 a month each) and one metric ($0.30 a month), and 500 requests to S3, SQS and SNS at $0.005 a
thousand, from the same pages: $0.0032 together. Stacks, schedules' first 14 million calls, roles and templates cost nothing."""


class TooDear(Exception):
    """The step was not done: its price is unknown, or it could pass the cap."""


@dataclass(frozen=True)
class Bound:
    """What a step can cost at most."""

    what: str
    dollars: Decimal


def servers(count: int, kinds: tuple[str, ...], minutes: int, disk_gb: int) -> Bound:
    """`count` servers of any of these types for so long. Raises TooDear for a type without a known price."""
    unknown = [kind for kind in kinds if kind not in HOUR]
    if unknown:
        raise TooDear(f"no price is known for {', '.join(unknown)}")
    hour = max(HOUR[kind] for kind in kinds) + ADDRESS_HOUR + disk_gb * DISK_GB_HOUR
    return Bound(f"{count} x {'/'.join(kinds)} for {minutes} min", count * hour * minutes / 60)


def functions(seconds: int, memory_mb: int) -> Bound:
    """So many seconds of functions, and what stands beside them. The seconds are the caller's assumption; nothing enforces them."""
    return Bound(
        f"{seconds} s of functions (assumed), alarms, requests", seconds * memory_mb * FUNCTION_GB_SECOND / 1024 + REST
    )


@dataclass
class Ledger:
    """What was let so far, and the cap."""

    cap: Decimal = CAP
    let: list[tuple[str, Bound]] = field(default_factory=list)

    @property
    def total(self) -> Decimal:
        return sum((bound.dollars for _step, bound in self.let), Decimal(0))

    def take(self, step: str, *bounds: Bound) -> None:
        """Lets a step be done. Raises TooDear, and lets nothing, when the sum of all bounds would pass the cap."""
        wanted = sum((bound.dollars for bound in bounds), Decimal(0))
        if self.total + wanted > self.cap:
            raise TooDear(f"{step} could cost ${wanted:.4f}; with ${self.total:.4f} before it that passes ${self.cap}")
        self.let += [(step, bound) for bound in bounds]
