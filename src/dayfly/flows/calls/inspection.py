"""Calls that only look at an account, for `dayfly doctor`: quotas, plan, routes, clock, rights, alarms, and what is left over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from dayfly.flows.calls.call import Call

Plan = Literal["free", "paid"]
"""The account's plan. An account on the free plan may start few types of servers."""


@dataclass(frozen=True, kw_only=True)
class Route:
    """How a subnet, with its VPC and route table, reaches S3. `free`: the addresses in it that are not taken.

    `way_out`: whether it has a route out of the VPC. `is_nat`: whether that route is a NAT gateway. `has_endpoint`: whether its route
    table has a gateway endpoint for S3.
    """

    subnet: str
    vpc: str
    table: str
    zone: str
    free: int
    way_out: bool
    is_nat: bool
    has_endpoint: bool


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """An alarm: its name and state (OK, ALARM, INSUFFICIENT_DATA), and whether it may send."""

    name: str
    state: str
    enabled: bool


@dataclass(frozen=True, kw_only=True)
class Subscription:
    """An address that the project's topic sends to. An e-mail address must be confirmed by its owner first."""

    address: str
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class Stray:
    """Something of the project that costs money and belongs to no server. `created`: when it was made."""

    id: str
    size_gb: int
    created: datetime


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Actions on one resource that the caller needs."""

    actions: tuple[str, ...]
    resource: str


@dataclass(frozen=True)
class FindQuota(Call[float | None]):
    """Read an EC2 quota, in vCPUs, by its code. None when EC2 has no such quota here."""

    code: str


@dataclass(frozen=True)
class FindPlan(Call[Plan]):
    """Find out whether the account is on AWS's free plan."""


@dataclass(frozen=True)
class FindVcpus(Call[dict[str, int]]):
    """Find the number of vCPUs of these server types. Types that do not exist in the region are left out."""

    types: tuple[str, ...]


@dataclass(frozen=True)
class FindRoutes(Call[tuple[Route, ...]]):
    """Find how these subnets reach S3. Missing subnets are left out."""

    subnets: tuple[str, ...]


@dataclass(frozen=True)
class FindClock(Call[datetime]):
    """Read AWS's clock, to the second."""


@dataclass(frozen=True)
class FindDenied(Call[tuple[str, ...]]):
    """Find out which of these actions the caller may not do."""

    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class FindAlarms(Call[tuple[Alarm, ...]]):
    """Find the stack's alarms. `stack` is its name, with which CloudFormation begins their names."""

    stack: str


@dataclass(frozen=True)
class CountDeadLetters(Call[int]):
    """Count the messages in the dead-letter queue. 0 when there is no such queue."""

    queue: str


@dataclass(frozen=True)
class FindSubscriptions(Call[tuple[Subscription, ...]]):
    """Find whom the topic of this name sends to. Nobody when there is no such topic."""

    topic: str


@dataclass(frozen=True)
class FindStrays(Call[tuple[Stray, ...]]):
    """Find volumes with the project's tag that belong to no server."""
