"""Read the keys of a project: those at the top of the file and those of [network.REGION], with rules that need two keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dayfly.core.model import Job, Network, Project
from dayfly.project.file import durations, project_values, values
from dayfly.project.file.job_table import read_jobs
from dayfly.project.file.reading import EMPTY, NO_STRINGS, Reading, Tables

_DAY = 86_400
_KEEP_BEYOND_S = 3600
"""The sweeper looks for ticks without a run for some minutes beyond start_within."""
_WHY_KEEP = "a run that is removed while its tick may still be delivered would be recorded as missed"


def read_project(reading: Reading, tables: Mapping[str, Any]) -> Project:
    reading.known((), tables, "project")
    top = Tables(reading, (((), tables),))
    regions = top.take("regions", project_values.regions, NO_STRINGS, required='regions = ["eu-west-1"]')
    account = top.take("account", project_values.account, "")
    boundary = top.take("permissions_boundary", project_values.boundary, "")
    owner = project_values.boundary_account(boundary)
    if account and owner and owner not in (account, "aws"):
        message = f"is a policy of account {owner}, but the project's account is {account}"
        reading.note(("permissions_boundary",), message)
    name = top.take("project", project_values.project_name, "", required='project = "NAME"')
    jobs = read_jobs(reading, tables)
    keep_s = top.take("keep", values.duration(_DAY), 90 * _DAY)
    _longer_than_start_within(reading, keep_s, jobs)
    return Project(
        name=name,
        account=account or None,
        regions=regions,
        keep_s=keep_s,
        tags=top.take("tags", project_values.tags, {}),
        permissions_boundary=boundary or None,
        networks=_networks(reading, top.take("network", values.table, EMPTY), regions),
        jobs=jobs,
        notify=top.take("notify", project_values.notify, NO_STRINGS),
    )


def _longer_than_start_within(reading: Reading, keep_s: int, jobs: Mapping[str, Job]) -> None:
    """Note a `keep` that removes a run while its tick may still be delivered."""
    job = max(jobs.values(), key=lambda job: job.start_within_s, default=None)
    if job is not None and keep_s < job.start_within_s + _KEEP_BEYOND_S:
        message = f'"{durations.text(keep_s)}" is too short for start_within = "{durations.text(job.start_within_s)}" of {job.name}'
        least = durations.text(job.start_within_s + _KEEP_BEYOND_S)
        reading.note(("keep",), message, f'keep = "{least}" or more', "a shorter start_within", why=_WHY_KEEP)


def _networks(reading: Reading, tables: Mapping[str, Any], regions: Sequence[str]) -> dict[str, Network]:
    found = {}
    for region, content in tables.items():
        path = ("network", region)
        if regions and region not in regions:
            reading.note(path, f"{region} is not in regions", f"[network.{regions[0]}]", "remove the table")
        table = reading.value(path, content, values.table, EMPTY)
        reading.known(path, table, "network")
        own = Tables(reading, ((path, table),))
        found[region] = Network(
            subnets=own.take("subnets", lambda value: values.at_least_one(value, project_values.subnet), NO_STRINGS),
            security_groups=own.take(
                "security_groups", lambda value: values.at_least_one(value, project_values.security_group), NO_STRINGS
            ),
            public_ip=own.take("public_ip", values.flag, True),
        )
    return found
