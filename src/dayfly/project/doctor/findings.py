"""What `dayfly doctor` found about one subject, and the rules about an account that need no call: quotas, free plan, clock, routes.

Pure. account.py and deployed.py ask AWS; screens/doctor.py shows the findings.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from dayfly.core.model import Job
from dayfly.core.request import MARKETS
from dayfly.flows.calls import Route
from dayfly.project.file.new_account import FREE_PLAN_TYPES, not_on_the_free_plan


class Level(StrEnum):
    """How a finding is marked. LATER: there is nothing to look at before the first deploy."""

    OK = "ok"
    FAIL = "FAIL"
    WARN = "warn"
    UNKNOWN = "?"
    LATER = "-"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found about one subject, and the remedies, each a command or a sentence; the best comes first."""

    level: Level
    subject: str
    text: str
    remedies: tuple[str, ...] = ()


def ok(subject: str, text: str) -> Finding:
    """Return the finding that all is well."""
    return Finding(level=Level.OK, subject=subject, text=text)


def fail(subject: str, text: str, *remedies: str) -> Finding:
    """Return a finding that stops a deploy or a run."""
    return Finding(level=Level.FAIL, subject=subject, text=text, remedies=remedies)


def warn(subject: str, text: str, *remedies: str) -> Finding:
    """Return a finding that stops nothing."""
    return Finding(level=Level.WARN, subject=subject, text=text, remedies=remedies)


# --- quotas -------------------------------------------------------------------------------------------------------------


class Quota(NamedTuple):
    """A quota of EC2: how many vCPUs of one group of families may run at once. `code` is the one of Service Quotas."""

    name: str
    code: str


_GROUPS: tuple[tuple[str, Mapping[str, Quota]], ...] = (
    (
        r"(?:g|gr|vt)\d",
        {
            "on-demand": Quota("Running On-Demand G and VT instances", "L-DB2E81BA"),
            "spot": Quota("All G and VT Spot Instance Requests", "L-3819A6DF"),
        },
    ),
    (
        r"p\d",
        {
            "on-demand": Quota("Running On-Demand P instances", "L-417A185B"),
            "spot": Quota("All P4, P3 and P2 Spot Instance Requests", "L-7212CCBC"),
        },
    ),
    (
        r"inf\d",
        {
            "on-demand": Quota("Running On-Demand Inf instances", "L-1945791B"),
            "spot": Quota("All Inf Spot Instance Requests", "L-B5D1601B"),
        },
    ),
    (
        r"trn\d",
        {
            "on-demand": Quota("Running On-Demand Trn instances", "L-2C3B7624"),
            "spot": Quota("All Trn Spot Instance Requests", "L-6B0D517C"),
        },
    ),
    (
        r"f\d",
        {
            "on-demand": Quota("Running On-Demand F instances", "L-74FC7D96"),
            "spot": Quota("All F Spot Instance Requests", "L-88CF9481"),
        },
    ),
    (
        r"x\d",
        {
            "on-demand": Quota("Running On-Demand X instances", "L-7295265B"),
            "spot": Quota("All X Spot Instance Requests", "L-E3A00192"),
        },
    ),
    (
        r"(?:a|c|d|h|i|is|im|m|r|t|z)\d",
        {
            "on-demand": Quota("Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", "L-1216C47A"),
            "spot": Quota("All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", "L-34B43A08"),
        },
    ),
)
"""The quotas by the beginning of a type's name. Source: Service Quotas, service `ec2`; for families that are not here none is looked up."""


class Need(NamedTuple):
    """What one job needs of one quota: the vCPUs of its largest type."""

    job: str
    vcpus: int
    quota: Quota


def needs(jobs: Iterable[Job], vcpus: Mapping[str, int]) -> tuple[Need, ...]:
    """Return what each job needs of each quota. Types whose vCPUs are unknown are left out."""
    largest: dict[tuple[str, Quota], int] = {}
    for job in jobs:
        for market in MARKETS[job.market]:
            for kind in job.servers:
                for quota in _quotas_of(kind, market):
                    size = vcpus.get(kind, 0)
                    largest[job.name, quota] = max(size, largest.get((job.name, quota), 0))
    return tuple(Need(job, size, quota) for (job, quota), size in largest.items() if size)


def _quotas_of(kind: str, market: str) -> tuple[Quota, ...]:
    for pattern, quotas in _GROUPS:
        if re.match(pattern, kind):
            return (quotas[market],)
    return ()


def limits(needed: Sequence[Need], allowed: Mapping[Quota, float | None]) -> tuple[Finding, ...]:
    """Return a failure for each quota that is too small for a job, or one finding that all fit.

    `allowed`: the vCPUs of each quota; None if EC2 has no such quota here, which refuses nothing.
    """
    found: list[Finding] = []
    for quota in dict.fromkeys(need.quota for need in needed):
        most = allowed.get(quota)
        short = [need for need in needed if need.quota == quota and most is not None and need.vcpus > most]
        if short and most is not None:
            found.append(_too_small(quota, most, short))
    if found:
        return tuple(found)
    shown = [f"{most:g} vCPUs ({quota.name})" for quota, most in allowed.items() if most is not None]
    return (ok("limits", f"every job fits alone: {'; '.join(shown) or 'no quota applies'}"),)


def _too_small(quota: Quota, most: float, short: Sequence[Need]) -> Finding:
    wanted = max(need.vcpus for need in short)
    jobs = ", ".join(f"{need.job} needs {need.vcpus} vCPUs" for need in short)
    request = f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {quota.code}"
    return fail(
        "limits",
        f"{jobs}; this account may use {most:g} ({quota.name})",
        f"{request} --desired-value {wanted}   (minutes to days)",
        "or smaller types in `servers`",
    )


# --- free plan, clock, network ------------------------------------------------------------------------------------------


def free_plan(jobs: Iterable[Job]) -> Finding:
    """Return what the free plan means for these jobs: a job needs at least one type that it allows."""
    refused = not_on_the_free_plan(jobs)
    if not refused:
        return ok("plan", "the free plan, and each job names a type that it allows")
    allowed = ", ".join(sorted(FREE_PLAN_TYPES))
    return fail(
        "plan",
        f"this account is on AWS's free plan, which starts no server for {', '.join(refused)}",
        f"servers = one of {allowed}",
        "or upgrade the account: AWS console, Billing and Cost Management, Free plan",
    )


MOST_SKEW = timedelta(minutes=5)
"""AWS refuses a signature from a clock that is off by more."""
_SKEW_SHOWN = timedelta(seconds=5)


def clock(here: datetime, there: datetime) -> Finding:
    """Return what the difference between this machine's clock and AWS's means."""
    skew = here - there
    side = "ahead of"
    if skew < timedelta(0):
        side = "behind"
    seconds = round(abs(skew).total_seconds())
    said = f"this machine is {seconds} s {side} AWS"
    if abs(skew) >= MOST_SKEW:
        return fail("clock", f"{said}; AWS refuses what it signs", "set its clock: timedatectl set-ntp true")
    if abs(skew) >= _SKEW_SHOWN:
        text = f"{said}: ages on your screens are off by that"
        return warn("clock", text, "set its clock: timedatectl set-ntp true")
    return ok("clock", "within 5 s of AWS's")


_FEW_ADDRESSES = 16


def network(region: str, routes: Sequence[Route], *, public_ip: bool) -> tuple[Finding, ...]:
    """Return what keeps servers in these subnets from S3. A gateway endpoint serves S3, but not what `setup` downloads."""
    found: list[Finding] = []
    for route in routes:
        if not _reaches_s3(route, public_ip=public_ip):
            found.append(_no_route(region, route, public_ip=public_ip))
        if route.free == 0:
            found.append(fail("network", f"{route.subnet} has no free address", "name other subnets in [network.*]"))
        elif route.free < _FEW_ADDRESSES:
            found.append(warn("network", f"{route.subnet} has only {route.free} free addresses"))
    if found:
        return tuple(found)
    free = sum(route.free for route in routes)
    return (ok("network", f"{len(routes)} subnets, {free:,} free addresses, a way to S3 from each"),)


def _reaches_s3(route: Route, *, public_ip: bool) -> bool:
    """Return whether a server in the subnet reaches S3. An internet gateway serves only servers with a public address."""
    if route.has_endpoint or route.is_nat:
        return True
    return route.way_out and public_ip


def _no_route(region: str, route: Route, *, public_ip: bool) -> Finding:
    endpoint = (
        f"aws ec2 create-vpc-endpoint --region {region} --service-name com.amazonaws.{region}.s3"
        f" --vpc-id {route.vpc} --route-table-ids {route.table}   (free)"
    )
    if route.way_out and not public_ip:
        text = f"{route.subnet} ({route.zone}) has only an internet gateway, and public_ip = false"
        return fail("network", f"{text}: its servers do not reach S3", endpoint, "public_ip = true")
    return fail("network", f"{route.subnet} ({route.zone}) has no route to S3", endpoint, "or name other subnets")
