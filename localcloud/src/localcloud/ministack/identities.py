"""The identities that MiniStack keeps: roles, instance profiles, and the sessions of roles that were assumed.

Which policies apply to an identity, and what they allow, is decided in services.iam.
"""

from collections.abc import Iterable
from typing import Any

from localcloud.ministack.requests import account, service

Record = dict[str, Any]
CARRIED = "_LocalcloudKeys"
"""Name of the field of a session that holds condition keys, in lower case, of every request that it sends."""


def role(name: str, owner: str | None = None) -> Record | None:
    """Return MiniStack's own record of a role, in the current request's account unless another is given; or None."""
    roles = service("iam")._roles
    found: Record | None = roles.get(name) if owner is None else roles.get_scoped(owner, None, name)
    return found


def role_by_arn(arn: str) -> Record | None:
    """Return MiniStack's own record of the role with this ARN, in the account that the ARN names; or None."""
    parts = arn.split(":", 5)
    if len(parts) < 6 or not parts[5].startswith("role/"):
        return None
    return role(parts[5].rpartition("/")[2], owner=parts[4])


def policy_exists(arn: str) -> bool:
    """Return whether a managed policy exists: one of AWS, or one of the current account."""
    found: bool = service("iam").policy_known(arn, account())
    return found


def user(name: str) -> Record | None:
    """Return MiniStack's own record of a user of the current account, or None."""
    found: Record | None = service("iam")._users.get(name)
    return found


def instance_profile(name: str = "", arn: str = "") -> Record | None:
    """Return MiniStack's own record of an instance profile by name or by ARN, in the current account; or None."""
    found: Record | None = service("iam")._lookup_instance_profile(name=name, arn=arn)
    return found


def create_instance_profile(name: str, path: str) -> Record:
    """Create an instance profile without a role and return its record. Raises ValueError when IAM refuses it."""
    iam = service("iam")
    status, _, body = iam._create_instance_profile({"InstanceProfileName": [name], "Path": [path]})
    if status >= 400:
        raise ValueError(body.decode(errors="replace"))
    found: Record = iam._instance_profiles[name]
    return found


def delete_instance_profile(name: str) -> None:
    """Delete an instance profile, even with a role in it. Does nothing if it does not exist."""
    service("iam")._instance_profiles.pop(name, None)


def add_session(access_key: str, session: Record) -> None:
    """Register a session for requests signed with `access_key`; `session` has the shape of MiniStack's STS records."""
    service("sts").register_session(access_key, session)


def end_session(access_key: str) -> None:
    """Forget a session; its key is unknown from then on."""
    service("sts")._sessions.pop(access_key, None)


def is_role_session(access_key: str) -> bool:
    """Return whether a key belongs to a session of a role."""
    return (session(access_key) or {}).get("PrincipalType") == "AssumedRole"


def session(access_key: str) -> Record | None:
    """Return MiniStack's own record of a session by its access key, or None."""
    found: Record | None = service("sts")._sessions.get(access_key)
    return found


def carried_keys(access_key: str) -> dict[str, str]:
    """Return the condition keys that every request of a session carries; none for another key."""
    found: dict[str, str] = (session(access_key) or {}).get(CARRIED, {})
    return found


def sessions() -> Iterable[Record]:
    """Return MiniStack's own records of all sessions."""
    return list(service("sts")._sessions.values())
