"""Project, job and job version as frozen values: what a user wrote, with every default filled in. Nothing about runs.

project/file reads dayfly.toml into these values; core/versions.py writes a job version as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from dayfly.core import names

Market = Literal["on-demand", "spot", "spot-first"]
Overlap = Literal["skip", "allow"]
Architecture = Literal["arm64", "x86_64"]


_ADDED = "added later"


def added(default: Any = MISSING, *, factory: Callable[[], Any] | None = None) -> Any:
    """Return a field that the first job versions do not have: its default is what they mean.

    A version that has the default keeps the digest, and so the key, that it had before the field existed.
    """
    if factory is not None:
        return field(default_factory=factory, metadata={_ADDED: True})
    return field(default=default, metadata={_ADDED: True})


def _content(value: Any) -> Any:
    """Return a value as JSON takes it, without fields that were added later and have their default."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _content(getattr(value, each.name)) for each in fields(value) if _counts(each, value)}
    if isinstance(value, Mapping):
        return {key: _content(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [_content(each) for each in value]
    return value


def _counts(one: Field[Any], value: Any) -> bool:
    """Return whether a field is part of the digest."""
    if _ADDED not in one.metadata:
        return True
    default = one.default
    if one.default_factory is not MISSING:
        default = one.default_factory()
    return bool(getattr(value, one.name) != default)


LONGEST = timedelta(days=366)
"""The longest time_limit, and the longest margin, that a job can have."""
LONGEST_LIFETIME = 2 * LONGEST


@dataclass(frozen=True, kw_only=True)
class Network:
    """Where servers of one region start. Empty: the default VPC's subnets, and a security group that the stack creates."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    public_ip: bool = True


@dataclass(frozen=True, kw_only=True)
class Timetable:
    """When a job is due: its schedule expressions in a time zone, and how many seconds late a tick may start."""

    schedule: tuple[str, ...]
    timezone: str
    start_within_s: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job, with every default filled in. Durations are whole seconds. `disk_gb` is what EC2 takes as GiB.
    `disk_throughput` in MiB/s and `disk_iops`: None is what every volume of type gp3 has, 125 and 3000.

    `reads`: `s3://BUCKET/PREFIX`, or `job:NAME` for the last good result of a job. `secrets`: where each variable's value is stored,
    never the value. `policy`: the document of the file that dayfly.toml names.
    """

    name: str
    command: str | tuple[str, ...]
    servers: tuple[str, ...]
    architecture: Architecture
    schedule: tuple[str, ...]
    timezone: str
    market: Market
    time_limit_s: int
    margin_s: int
    outputs: tuple[str, ...]
    disk_gb: int
    image: str
    bundle: tuple[str, ...]
    python: str
    setup: str | None
    env: Mapping[str, str]
    overlap: Overlap
    start_within_s: int
    reads: tuple[str, ...] = added(())
    writes: tuple[str, ...] = added(())
    secrets: Mapping[str, str] = added(factory=dict)
    policy: Mapping[str, Any] | None = added(None)
    disk_throughput: int | None = added(None)
    disk_iops: int | None = added(None)
    results: str | None = added(None)

    @property
    def lifetime_s(self) -> int:
        """Return the seconds from launch to the deadline."""
        return self.time_limit_s + self.margin_s

    @property
    def timetable(self) -> Timetable:
        """Return when the job is due."""
        return Timetable(schedule=self.schedule, timezone=self.timezone, start_within_s=self.start_within_s)


@dataclass(frozen=True, kw_only=True)
class Project:
    """The content of one dayfly.toml. `keep_s`: results older than this are removed."""

    name: str
    account: str | None
    regions: tuple[str, ...]
    keep_s: int
    tags: Mapping[str, str]
    permissions_boundary: str | None
    networks: Mapping[str, Network]
    jobs: Mapping[str, Job]
    notify: tuple[str, ...] = ()


def results_of(project: Project) -> tuple[str, ...]:
    """Return the values of `results` of all jobs, each once."""
    return tuple(sorted({job.results for job in project.jobs.values() if job.results}))


@dataclass(frozen=True, kw_only=True)
class Code:
    """The files that the server gets: the bundle's key in the bucket, and what it holds."""

    bundle: str
    sha256: str
    size: int
    files: int
    wheels: tuple[str, ...]
    python: str | None
    commit: str | None
    dirty: bool


@dataclass(frozen=True, kw_only=True)
class Agent:
    """The agent that runs the job: its zip in the bucket."""

    key: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A server type in a subnet whose zone offers it."""

    type: str
    subnet: str


@dataclass(frozen=True, kw_only=True)
class LaunchSettings:
    """What a launch request takes from the stack and the account: launch template, roles, image, subnets and pools.

    `role_id`: the unique id of the server's role. `job_role`: the ARN of the role whose credentials the command gets; empty: it gets none.
    `pools`: those that existed at the deploy, in the order of the job's `servers`. Empty in versions from before they were looked up.
    """

    template: str
    template_version: str
    role_id: str
    image: str
    root_device: str
    subnets: tuple[str, ...]
    job_role: str = added("")
    pools: tuple[Pool, ...] = added(())

    def pools_of(self, servers: tuple[str, ...]) -> tuple[Pool, ...]:
        """Return the pools for these server types: all pairs with a subnet if none were looked up."""
        if self.pools:
            return self.pools
        return tuple(Pool(type=server, subnet=subnet) for server in servers for subnet in self.subnets)


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A job version, in force from `effective_from` on. `code` is None when the server gets no files.

    `agent` is None in versions from the time when the user data carried the agent.
    """

    name: str
    effective_from: datetime
    job: Job
    code: Code | None
    agent: Agent | None = added(None)
    launch: LaunchSettings
    tags: Mapping[str, str]
    deployed_by: str

    @property
    def digest(self) -> str:
        """Return the hex SHA-256 of all that decides how the job runs: not who deployed it, when, or from which commit."""
        content = _content(self)
        del content["effective_from"], content["deployed_by"]
        if content["code"]:
            del content["code"]["commit"], content["code"]["dirty"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def key(self) -> str:
        return names.version_key(self.name, self.effective_from, self.digest)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """The version that ends a job: from `effective_from` on it is no longer deployed."""

    name: str
    effective_from: datetime
    deployed_by: str

    @property
    def key(self) -> str:
        return names.version_key(self.name, self.effective_from, hashlib.sha256(b"removed").hexdigest())


Version = Deployed | Removed


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image that jobs of the project use: its name in dayfly.toml, its architecture, and its AMI."""

    name: str
    architecture: str
    image_id: str
    root_device: str
    owner: str  # account id, or an alias such as amazon

    @property
    def logical_id(self) -> str:
        """Return the logical id of its launch template in the stack: letters and digits only."""
        digest = hashlib.sha256(f"{self.name}|{self.architecture}".encode()).hexdigest()[:8]
        return f"Template{digest}"


@dataclass(frozen=True, kw_only=True)
class JobSchedule:
    """One schedule of a job: an EventBridge expression in a time zone, and the event that it delivers."""

    name: str
    expression: str
    timezone: str
    event: str
    max_age_s: int
