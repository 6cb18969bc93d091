"""What is asked of EC2 for one attempt: the CreateFleet requests, word for word, one per market, and the intent that holds them.

A request is stored before it is sent and sent as stored: EC2's token covers every parameter, so it is never rebuilt.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.model import Launch, Version
from dayfly.core.records import Intent

LAUNCH_FOR = timedelta(minutes=5)
"""How long after the intent EC2 may still be asked; after that the attempt has no server."""

MARKETS = {"on-demand": ("on-demand",), "spot": ("spot",), "spot-first": ("spot", "on-demand")}
TAGGED = ("fleet", "instance", "volume", "network-interface")


def intent(
    run: names.RunName, attempt: int, version: Version, project: str, bucket: str, now: datetime, wished: str = ""
) -> Intent:
    """The intent of an attempt that launches now. `version.job` and `version.launch` must be there."""
    job, launch = version.job, version.launch
    assert job is not None
    assert launch is not None
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
        request=wished,
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
    spot = market == "spot"
    template = {"LaunchTemplateId": launch.template, "Version": launch.template_version}
    return {
        "Type": "instant",
        "ClientToken": token,
        "TargetCapacitySpecification": {
            "TotalTargetCapacity": 1,
            "SpotTargetCapacity": 1 if spot else 0,
            "OnDemandTargetCapacity": 0 if spot else 1,
            "DefaultTargetCapacityType": market,
        },
        # lowest-price, the default of the API for spot, is what AWS advises against: it picks the pools that end soonest.
        **(
            {
                "SpotOptions": {
                    "AllocationStrategy": "price-capacity-optimized",
                    "InstanceInterruptionBehavior": "terminate",
                }
            }
            if spot
            else {"OnDemandOptions": {"AllocationStrategy": "lowest-price"}}
        ),
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": template, "Overrides": overrides}],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}
            for kind in TAGGED
        ],
    }


def go(
    run: names.RunName,
    version: Version,
    intended: Intent,
    instance: str,
    link: str | None,
    day: str,
    region: str,
    env: Mapping[str, str],
) -> dict[str, Any]:
    """`go.json`: all that the agent needs to run the job. `link`: a short-lived URL of the bundle. `env`: of a run by hand."""
    job, code = version.job, version.code
    assert job is not None
    bundle = {"url": link, "sha256": code.sha256, "size": code.size} if code and link else None
    return {
        "format": names.FORMAT,
        "run": str(run),
        "job": run.job,
        "tick": names.utc_text(run.tick),
        "day": day,
        "attempt": intended.attempt,
        "region": region,
        "command": job.command if isinstance(job.command, str) else list(job.command),
        "env": {**job.env, **env},
        "setup": job.setup,
        "time_limit_s": job.time_limit_s,
        "outputs": list(job.outputs),
        "prefix": names.out_prefix(run, intended.attempt, intended.role_id, instance),
        "deadline": names.utc_text(intended.deadline),
        "bundle": bundle,
    }
