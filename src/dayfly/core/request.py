"""The exact CreateFleet requests of an attempt, one per market, the intent that holds them, and go.json.

A request is stored before it is sent, and sent as stored: EC2's token covers every parameter, so it is never rebuilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.model import Deployed, Launch
from dayfly.core.records import Intent

LAUNCH_FOR = timedelta(minutes=5)
"""How long after the intent EC2 may be asked. After that the attempt has no server."""

MARKETS = {"on-demand": ("on-demand",), "spot": ("spot",), "spot-first": ("spot", "on-demand")}
_OPTIONS = {
    # lowest-price, the API's default for spot, picks the pools that are interrupted soonest; AWS advises against it.
    "spot": {
        "SpotOptions": {
            "AllocationStrategy": "price-capacity-optimized",
            "InstanceInterruptionBehavior": "terminate",
        }
    },
    "on-demand": {"OnDemandOptions": {"AllocationStrategy": "lowest-price"}},
}
TAGGED = ("fleet", "instance", "volume", "network-interface")


def intent(
    run: names.RunName, attempt: int, version: Deployed, project: str, bucket: str, now: datetime, request: str
) -> Intent:
    """The intent of an attempt that launches now. `request`: the idempotency key behind it."""
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
    requests = {
        market: _fleet(
            launch, job.servers, job.disk_gb, market, tags, names.client_token(run, attempt, market, launch_at, bucket)
        )
        for market in markets
    }
    return Intent(
        attempt=attempt,
        version=version.key,
        at=now,
        launch=launch_at,
        launch_until=min(launch_at + LAUNCH_FOR, deadline),
        deadline=deadline,
        time_limit_s=job.time_limit_s,
        margin_s=job.margin_s,
        markets=markets,
        requests=requests,
        role_id=launch.role_id,
        request=request,
    )


def _fleet(
    launch: Launch, servers: tuple[str, ...], disk_gb: int, market: str, tags: Mapping[str, str], token: str
) -> dict[str, Any]:
    """One CreateFleet request (type instant, one server) over every type in every subnet."""
    disk = {
        "DeviceName": launch.root_device,
        "Ebs": {"VolumeSize": disk_gb, "VolumeType": "gp3", "DeleteOnTermination": True, "Encrypted": True},
    }
    overrides = [
        {"InstanceType": server, "SubnetId": subnet, "BlockDeviceMappings": [disk]}
        for server in servers
        for subnet in launch.subnets
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
            for kind in TAGGED
        ],
    }


def go(
    run: names.RunName,
    version: Deployed,
    intended: Intent,
    server: str,
    link: str,
    day: str,
    region: str,
    env: Mapping[str, str],
) -> dict[str, Any]:
    """`go.json`: all that the agent needs to run the job.

    `link`: a short-lived URL of the bundle, empty when there is none. `env`: values for this run only.
    """
    job = version.job
    bundle = None
    if version.code is not None:
        bundle = {"url": link, "sha256": version.code.sha256, "size": version.code.size}
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
        "bundle": bundle,
    }


def _plain(command: str | tuple[str, ...]) -> str | list[str]:
    if isinstance(command, tuple):
        return list(command)
    return command
