"""What a new AWS account may not start yet, as far as it is known without asking: AWS's free plan, and the first quota of vCPUs.

`dayfly check` names it, `dayfly doctor` looks it up in the account.
"""

from __future__ import annotations

from collections.abc import Iterable

from dayfly.core.model import Job
from dayfly.project.file import catalogue

FREE_PLAN_TYPES = frozenset({"t3.micro", "t3.small", "t4g.micro", "t4g.small", "c7i-flex.large", "m7i-flex.large"})
"""The types that an account on AWS's free plan may start. Source: EC2 User Guide, Free Tier usage, since July 2025."""
FIRST_QUOTA = 5
"""The vCPUs of standard families that a new account may often use at once. Source: EC2 User Guide, On-Demand Instance quotas."""


def not_on_the_free_plan(jobs: Iterable[Job]) -> tuple[str, ...]:
    """Return the jobs that name no type which the free plan allows."""
    return tuple(job.name for job in jobs if not FREE_PLAN_TYPES & set(job.servers))


def beyond_first_quota(jobs: Iterable[Job]) -> tuple[str, ...]:
    """Return the jobs whose smallest type has more vCPUs than a new account may use, each with that number."""
    found = []
    for job in jobs:
        known = [catalogue.types()[kind].vcpus for kind in job.servers if kind in catalogue.types()]
        if known and min(known) > FIRST_QUOTA:
            found.append(f"{job.name} ({min(known)})")
    return tuple(found)
