"""The nouns as frozen values: project, job, job version. What a user wrote, resolved; nothing of any run.

No defaults are looked up here (core/config.py resolves them), no I/O. A job version is what travels: JSON in the bucket,
read by the launcher, so it must be readable for ever (tests keep one golden version per format).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from dayfly.core import names

Market = Literal["on-demand", "spot", "spot-first"]
Overlap = Literal["skip", "allow"]
Architecture = Literal["arm64", "x86_64"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """Where servers of one region start. Empty lists: the default VPC's subnets, a security group of our own."""

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
    """What the server gets of the user's folder. `bundle` is a key in the bucket, None when `bundle = []`."""

    bundle: str | None
    sha256: str
    size: int
    files: int
    wheels: tuple[str, ...]
    python: str | None
    commit: str | None
    dirty: bool


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What the stack holds for this job: which template, whose role, which networks."""

    template: str
    template_version: str
    role_id: str
    image: str
    root_device: str
    subnets: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Version:
    """A job as deployed from `effective_from` on; `job` None: it was taken out of the file."""

    name: str
    effective_from: datetime
    job: Job | None
    code: Code | None
    launch: Launch | None
    tags: Mapping[str, str]
    deployed_by: str

    @property
    def digest(self) -> str:
        """Hex sha256 of what decides how it runs: equal digests run the same, whoever deployed them and from which commit."""
        record = version_record(self)
        del record["effective_from"], record["deployed_by"]
        if record["code"]:
            del record["code"]["commit"], record["code"]["dirty"]
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

    @property
    def key(self) -> str:
        return names.version_key(self.name, self.effective_from, self.digest)


def version_record(version: Version) -> dict[str, Any]:
    """The JSON of a version."""
    record = asdict(version)
    record["format"] = names.FORMAT
    record["effective_from"] = names.utc_text(version.effective_from)
    return record


def version_of(record: Mapping[str, Any]) -> Version:
    """The inverse of `version_record`; accepts every format written so far. Raises KeyError or ValueError for a broken record."""
    job = record["job"]
    return Version(
        name=record["name"],
        effective_from=names.utc_moment(record["effective_from"]),
        job=_job_of(job) if job is not None else None,
        code=Code(**{**record["code"], "wheels": tuple(record["code"]["wheels"])}) if record["code"] else None,
        launch=Launch(**{**record["launch"], "subnets": tuple(record["launch"]["subnets"])})
        if record["launch"]
        else None,
        tags=dict(record["tags"]),
        deployed_by=record["deployed_by"],
    )


def _job_of(record: Mapping[str, Any]) -> Job:
    lists = {key: tuple(record[key]) for key in ("servers", "schedule", "outputs", "bundle")}
    command = record["command"]
    return Job(**{**record, **lists, "command": command if isinstance(command, str) else tuple(command)})


@dataclass(frozen=True, kw_only=True)
class Image:
    """One image that jobs of the project use: its name in dayfly.toml, architecture, and what EC2 is given for it."""

    name: str
    architecture: str
    image_id: str
    root_device: str
    owner: str  # account id, or an alias such as amazon

    @property
    def logical(self) -> str:
        """Name of its launch template in the stack: letters and digits only."""
        digest = hashlib.sha256(f"{self.name}|{self.architecture}".encode()).hexdigest()[:8]
        return f"Template{digest}"


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """One schedule that shall stand: an EventBridge expression in a zone, and the event that it delivers."""

    name: str
    expression: str
    timezone: str
    event: str
    max_age_s: int
