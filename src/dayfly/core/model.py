"""Project, job and job version as frozen values: what a user wrote, with every default resolved. Nothing about runs.

project/file reads dayfly.toml into these values; core/versions.py writes a job version as JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from dayfly.core import names

Market = Literal["on-demand", "spot", "spot-first"]
Overlap = Literal["skip", "allow"]
Architecture = Literal["arm64", "x86_64"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Where servers of one region start. Empty lists: the default VPC's subnets, a security group made by the stack."""

    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    public_ip: bool = True


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as written, every default resolved. Durations in whole seconds, disk in GB (10^9 as EC2 says GiB)."""

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

    @property
    def lifetime_s(self) -> int:
        """Seconds from launch to the deadline."""
        return self.time_limit_s + self.margin_s


@dataclass(frozen=True, kw_only=True)
class Project:
    """One dayfly.toml."""

    name: str
    account: str | None
    regions: tuple[str, ...]
    keep_s: int
    tags: Mapping[str, str]
    permissions_boundary: str | None
    networks: Mapping[str, Network]
    jobs: Mapping[str, Job]


@dataclass(frozen=True, kw_only=True)
class Code:
    """The files that the server gets: the key of the bundle in the bucket, and what is in it."""

    bundle: str
    sha256: str
    size: int
    files: int
    wheels: tuple[str, ...]
    python: str | None
    commit: str | None
    dirty: bool


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What the stack has for this job: launch template, role and subnets."""

    template: str
    template_version: str
    role_id: str
    image: str
    root_device: str
    subnets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Deployed:
    """A job as deployed from `effective_from` on. `code` is None when the server gets no files."""

    name: str
    effective_from: datetime
    job: Job
    code: Code | None
    launch: Launch
    tags: Mapping[str, str]
    deployed_by: str

    @property
    def digest(self) -> str:
        """Hex SHA-256 of what decides how the job runs; the same for equal content, whoever deployed it, from any commit."""
        content = asdict(self)
        del content["effective_from"], content["deployed_by"]
        if content["code"]:
            del content["code"]["commit"], content["code"]["dirty"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def key(self) -> str:
        return names.version_key(self.name, self.effective_from, self.digest)


@dataclass(frozen=True, kw_only=True)
class Removed:
    """From `effective_from` on the job is no longer deployed."""

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
    def logical(self) -> str:
        """Logical id of its launch template in the stack: letters and digits only."""
        digest = hashlib.sha256(f"{self.name}|{self.architecture}".encode()).hexdigest()[:8]
        return f"Template{digest}"


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """One schedule to create: an EventBridge expression in a time zone, and the event that it delivers."""

    name: str
    expression: str
    timezone: str
    event: str
    max_age_s: int
