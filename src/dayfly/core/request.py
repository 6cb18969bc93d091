"""What an attempt sends: its CreateFleet requests, one per market, with the intent that stores them, and go.json.

A request is stored before it is sent, and sent as stored: EC2 rejects a client token that comes with other parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from dayfly.core import names
from dayfly.core.intervals import NORMAL, Intervals
from dayfly.core.model import Agent, Code, Deployed, Job, LaunchSettings
from dayfly.core.records import Intent, Latest

MARKETS = {"on-demand": ("on-demand",), "spot": ("spot",), "spot-first": ("spot", "on-demand")}
_OPTIONS = {
    # `servers` is an order of preference: each override has a priority. For spot EC2 looks at the capacity first.
    "spot": {
        "SpotOptions": {
            "AllocationStrategy": "capacity-optimized-prioritized",
            "InstanceInterruptionBehavior": "terminate",
        }
    },
    "on-demand": {"OnDemandOptions": {"AllocationStrategy": "prioritized"}},
}
TAGGED_RESOURCES = ("fleet", "instance", "volume", "network-interface")


def intent(
    run: names.RunName,
    attempt: int,
    version: Deployed,
    project: str,
    bucket: str,
    now: datetime,
    request: str,
    intervals: Intervals = NORMAL,
) -> Intent:
    """Return the intent of an attempt that launches now. `request`: the idempotency key of the event behind it."""
    job, launch = version.job, version.launch
    launch_at = now.replace(microsecond=0)
    deadline = launch_at + timedelta(seconds=job.lifetime_s)
    markets = MARKETS[job.market]
    tags = {
        **version.tags,
        "Name": f"{project} {run}",
        names.TAG_PROJECT: project,
        names.TAG_RUN: str(run),
        names.TAG_ATTEMPT: str(attempt),
        names.TAG_DEADLINE: names.utc_text(deadline),
        names.TAG_LIFETIME: str(job.lifetime_s),
        names.TAG_BUCKET: bucket,
        names.TAG_ROLE: launch.role_id,
    }
    requests = {}
    for market in markets:
        token = names.client_token(run, attempt, market, launch_at, bucket)
        requests[market] = _fleet(launch, job, market, tags, token)
    return Intent(
        attempt=attempt,
        version=version.key,
        at=now,
        launch=launch_at,
        launch_until=min(launch_at + intervals.launch_for, deadline),
        deadline=deadline,
        time_limit_s=job.time_limit_s,
        margin_s=job.margin_s,
        markets=markets,
        requests=requests,
        role_id=launch.role_id,
        request=request,
    )


def _fleet(launch: LaunchSettings, job: Job, market: str, tags: Mapping[str, str], token: str) -> dict[str, Any]:
    """Return the CreateFleet request (type instant) for one server, of the first of these types that a pool has."""
    disk = {"DeviceName": launch.root_device, "Ebs": _root_volume(job)}
    pools = launch.pools_of(job.servers)
    order = {server: float(number) for number, server in enumerate(dict.fromkeys(pool.type for pool in pools))}
    overrides = [
        {
            "InstanceType": pool.type,
            "SubnetId": pool.subnet,
            "Priority": order[pool.type],
            "BlockDeviceMappings": [disk],
        }
        for pool in pools
    ]
    template = {"LaunchTemplateId": launch.template, "Version": launch.template_version}
    return {
        "Type": "instant",
        "ClientToken": token,
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": 1,
            "SpotTargetCapacity": int(market == "spot"),
            "OnDemandTargetCapacity": int(market == "on-demand"),
            "DefaultTargetCapacityType": market,
        },
        **_OPTIONS[market],
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": template, "Overrides": overrides}],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}
            for kind in TAGGED_RESOURCES
        ],
    }


def _root_volume(job: Job) -> dict[str, Any]:
    volume: dict[str, Any] = {
        "VolumeSize": job.disk_gb,
        "VolumeType": "gp3",
        "DeleteOnTermination": True,
        "Encrypted": True,
    }
    for name, value in (("Throughput", job.disk_throughput), ("Iops", job.disk_iops)):
        if value is not None:
            volume[name] = value
    return volume


def overrides(fleet_request: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the overrides of a stored request: one for each pool."""
    found: list[Mapping[str, Any]] = []
    for configuration in fleet_request.get("LaunchTemplateConfigs", ()):
        found += configuration.get("Overrides", ())
    return tuple(found)


def next_request(fleet_request: Mapping[str, Any], pools: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    """Return the request that asks only for these pools of a request, with a client token of its own."""
    [configuration] = fleet_request["LaunchTemplateConfigs"]
    return {
        **fleet_request,
        "ClientToken": names.next_token(fleet_request["ClientToken"]),
        "LaunchTemplateConfigs": [{**configuration, "Overrides": list(pools)}],
    }


def go(
    run: names.RunName,
    version: Deployed,
    intended: Intent,
    server: str,
    links: Mapping[str, str],
    day: str,
    region: str,
    env: Mapping[str, str],
    inputs: Sequence[Input] = (),
) -> dict[str, Any]:
    """Return the content of go.json: all that a server needs to run the job.

    `links`: a short-lived URL for each of `keys_to_sign`. `env`: variables of this run only. `inputs`: the results that the job reads.
    """
    job = version.job
    agent, bundle = None, None
    if version.agent is not None:
        agent = _download(links[version.agent.key], version.agent)
    if version.code is not None:
        bundle = _download(links[version.code.bundle], version.code)
    return {
        "format": names.FORMAT,
        "run": str(run),
        "job": run.job,
        "tick": names.utc_text(run.tick),
        "day": day,
        "attempt": intended.attempt,
        "region": region,
        "command": _plain(job.command),
        "env": {**job.env, **env},
        "setup": job.setup,
        "time_limit_s": job.time_limit_s,
        "outputs": list(job.outputs),
        "prefix": names.out_prefix(run, intended.attempt, intended.role_id, server),
        "deadline": names.utc_text(intended.deadline),
        "agent": agent,
        "bundle": bundle,
        "job_role": version.launch.job_role or None,
        "secrets": dict(job.secrets),
        "inputs": [each._asdict() for each in inputs],
    }


class Input(NamedTuple):
    """The result of another run that a job reads. `ended`: the key of the ended.json that names its outputs."""

    job: str
    run: str
    ended: str


def input_of(job: str, latest: Latest) -> Input:
    """Return the last good result of a job as an input. Its outputs may be many, so only the key of their list is sent."""
    return Input(job=job, run=latest.run, ended=names.ended_key(names.prefix_of_output(latest.prefix)))


def keys_to_sign(version: Deployed) -> tuple[str, ...]:
    """Return the keys of the files that a server of this version downloads by links."""
    keys: list[str] = []
    if version.agent is not None:
        keys.append(version.agent.key)
    if version.code is not None:
        keys.append(version.code.bundle)
    return tuple(keys)


def _download(link: str, stored: Agent | Code) -> dict[str, Any]:
    return {"url": link, "sha256": stored.sha256, "size": stored.size}


def _plain(command: str | tuple[str, ...]) -> str | list[str]:
    if isinstance(command, tuple):
        return list(command)
    return command
