"""What the template depends on, and what all of its resources have: tags, and references to each other. No resources here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dayfly.core import names
from dayfly.core.model import Image
from dayfly.core.notification import NOBODY, Receivers
from dayfly.core.permission_sets import NOTHING, PermissionSet


@dataclass(frozen=True, kw_only=True)
class ServerKind:
    """What servers are alike in: their image, and what their jobs may do. Each has a launch template; a permission set has its roles."""

    image: Image
    permissions: PermissionSet = NOTHING

    @property
    def logical_id(self) -> str:
        """Return the logical id of its launch template in the stack."""
        return f"{self.image.logical_id}{self.permissions.id}"


@dataclass(frozen=True, kw_only=True)
class StackInput:
    """Everything that the template depends on.

    `user_data` is base64; the zips are keys in the bucket. `vpc`: where the stack creates a security group; None if
    `security_groups` are given. `notify`: whom the sweeper tells; the topic is the stack's own.
    """

    project: str
    bucket: str
    tags: Mapping[str, str]
    permissions_boundary: str | None
    keep_s: int
    kinds: tuple[ServerKind, ...]
    user_data: str
    launcher_zip: str
    sweeper_zip: str
    vpc: str | None
    security_groups: tuple[str, ...]
    public_ip: bool
    notify: Receivers = NOBODY
    results: tuple[str, ...] = ()

    @property
    def sets(self) -> tuple[PermissionSet, ...]:
        """Return the permission sets of all kinds of servers, each once."""
        by_id = {kind.permissions.id: kind.permissions for kind in self.kinds}
        return tuple(by_id[each] for each in sorted(by_id))


def server_role(granted: PermissionSet) -> str:
    """Return the logical id of the role of the servers with this permission set."""
    return f"ServerRole{granted.id}"


def server_profile(granted: PermissionSet) -> str:
    """Return the logical id of the instance profile of that role."""
    return f"ServerProfile{granted.id}"


def job_role(granted: PermissionSet) -> str:
    """Return the logical id of the role of the jobs with this permission set."""
    return f"JobRole{granted.id}"


def all_tags(project: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of everything that a deploy creates: the user's, and the tag by which dayfly finds the project."""
    return {**given, names.TAG_PROJECT: project}


def tag_list(given: StackInput) -> list[dict[str, str]]:
    pairs = all_tags(given.project, given.tags)
    return [{"Key": key, "Value": value} for key, value in sorted(pairs.items())]


def attribute(resource: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [resource, attribute]}
