"""What a job declares that it may do beyond its own run: its permission set, and how the keys of dayfly.toml write it.

What the roles get for it is in permissions.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dayfly.core.model import Job

JOB = "job:"
"""What an element of `reads` begins with if it names a job of the project."""
S3 = "s3://"
SSM = "ssm:"
SECRETS_MANAGER = "secretsmanager:"


@dataclass(frozen=True, kw_only=True)
class PermissionSet:
    """What jobs may do beyond their own run. Jobs with equal sets share roles and launch templates. `secrets`: where they are stored."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    policy: Mapping[str, Any] | None = None

    @property
    def id(self) -> str:
        """Return 8 hex digits that name the set, in any order of its lists; empty for the set without any permission."""
        if self == NOTHING:
            return ""
        content = (sorted(self.reads), sorted(self.writes), sorted(self.secrets), self.policy)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def has_job_role(self) -> bool:
        """Return whether the command gets credentials. Without a right of its own it gets none."""
        return bool(self.objects_read or self.writes or self.policy)

    @property
    def objects_read(self) -> tuple[str, ...]:
        """Return what the set reads in other buckets."""
        return tuple(each for each in self.reads if not each.startswith(JOB))


NOTHING = PermissionSet()
MOST_SETS = 15
"""The most permission sets of one project. The launcher may pass the role of each, and of as many that versions before have, and IAM
limits the size of its policy."""


def set_of(job: Job) -> PermissionSet:
    """Return the permission set of a job."""
    sources = tuple(sorted(set(job.secrets.values())))
    return PermissionSet(reads=job.reads, writes=job.writes, secrets=sources, policy=job.policy)


def jobs_read(reads: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the jobs whose last good result these `reads` name."""
    return tuple(each.removeprefix(JOB) for each in reads if each.startswith(JOB))


class Place(NamedTuple):
    """A place in S3. `prefix` has no `/` at its end; it is empty for a whole bucket."""

    bucket: str
    prefix: str

    @classmethod
    def of(cls, text: str) -> Place:
        """Return the place that `s3://BUCKET/PREFIX` names."""
        bucket, _, prefix = text.removeprefix(S3).partition("/")
        return cls(bucket, prefix.rstrip("/"))

    def __str__(self) -> str:
        return f"{S3}{self.bucket}/{self.prefix}".rstrip("/")


def secret_name(source: str) -> str:
    """Return NAME of `secretsmanager:NAME#KEY`."""
    return source.removeprefix(SECRETS_MANAGER).partition("#")[0]
