"""What an idle project costs in a month: the sweeper's requests and seconds, alarms, and the metric of good sweeps. No I/O.

A test compares the requests here with those that a sweep makes. Servers, results and the bundles in the bucket come on top. Decision 33
says why the metric is worth its price.
"""

from __future__ import annotations

from dataclasses import dataclass

SWEEPS = 12 * 24 * 365 / 12
"""Sweeps of a month: one every five minutes."""
WRITES, READS = 3, 1
"""Requests to S3 of a sweep with nothing to do: two LISTs and the PUT of the heartbeat, which have one price; and a GET."""
SECONDS, MEMORY_GB, LOG_KB = 1.5, 0.5, 1.5
"""Assumed of one sweep; not measured on AWS."""
ALARMS, METRICS = 2, 1

WRITE, READ = 0.005 / 1000, 0.0004 / 1000
GB_SECOND, INVOCATION = 0.0000133334, 0.20 / 1_000_000
ALARM, METRIC, LOG_GB = 0.10, 0.30, 0.50
"""AWS's prices in us-east-1 and eu-west-1, in dollars; other regions ask up to half as much again."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Dollars of a month without a run. `free`: what is left to pay within the free allowances of Lambda and CloudWatch."""

    requests: float
    sweeper: float
    alarms: float
    metric: float

    @property
    def all(self) -> float:
        return self.requests + self.sweeper + self.alarms + self.metric

    @property
    def free(self) -> float:
        """S3 has no free requests after an account's first year. The others go on: 400,000 GB-s, 5 GB of logs, 10 alarms, 10 metrics."""
        return self.requests


def standing() -> Standing:
    """Return the standing cost of a project in one region."""
    second = SECONDS * MEMORY_GB * GB_SECOND + INVOCATION + LOG_KB / 1_000_000 * LOG_GB
    return Standing(
        requests=SWEEPS * (WRITES * WRITE + READS * READ),
        sweeper=SWEEPS * second,
        alarms=ALARMS * ALARM,
        metric=METRICS * METRIC,
    )


def said() -> str:
    """Return the standing cost as one line."""
    cost = standing()
    return (
        f"about ${cost.all:.2f} a month while no job runs, ${cost.free:.2f} within the free allowances of Lambda and CloudWatch:"
        f" metric ${cost.metric:.2f}, {ALARMS} alarms ${cost.alarms:.2f}, sweeper ${cost.sweeper:.2f}, its S3 requests ${cost.requests:.2f}"
    )
