"""Sessions of a role for a service of the cloud itself, such as Lambda or Scheduler. Keys are random.

A session's requests are authorized like every other request, so what it may do does not belong here.
"""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from localcloud.ministack import identities
from localcloud.services.iam import authorization

_SECONDS = 3600
_FOR_SERVICE = "_LocalcloudService"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


class RoleRefused(Exception):
    """The role does not exist or does not trust the service."""


@dataclass(frozen=True)
class Session:
    """Keys of one assumed role; `expires` is in seconds of the epoch."""

    access_key: str
    secret_key: str
    token: str
    expires: float


def assume(
    role_arn: str, service: str, name: str, keys: dict[str, str] | None = None, carried: dict[str, str] | None = None
) -> Session:
    """Create a session of `role_arn` for a service principal, e.g. "lambda.amazonaws.com". Raises RoleRefused.

    `keys` are the request's condition keys in lower case, such as "aws:sourcearn". `carried` are those of each request that
    the session sends, such as "ec2:sourceinstancearn".
    """
    role = _find(role_arn)
    if role is None:
        raise RoleRefused(f"The role {role_arn} does not exist.")
    if not _trusts(role, role_arn, service, keys):
        raise RoleRefused(f"The trust policy of the role {role_arn} does not let {service} assume it.")
    account, role_name = role_arn.split(":")[4], _name(role_arn)
    session = Session(
        access_key="ASIA" + "".join(secrets.choice(_LETTERS) for _ in range(16)),
        secret_key=secrets.token_hex(20),
        token=secrets.token_hex(64),
        expires=time.time() + _SECONDS,
    )
    identities.add_session(
        session.access_key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{role_name}/{name}",
            "UserId": f"{role['RoleId']}:{name}",
            "SecretAccessKey": session.secret_key,
            "SessionToken": session.token,
            "Expiration": session.expires,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
            "SessionTags": [],
            "SessionPolicies": None,
            _FOR_SERVICE: service,
            identities.CARRIED: carried or {},
        },
    )
    return session


def trusts(role_arn: str, service: str, keys: dict[str, str] | None = None) -> bool:
    """Return whether `service` may assume a role; False for one that does not exist. `keys` as in `assume`."""
    role = _find(role_arn)
    return role is not None and _trusts(role, role_arn, service, keys)


def end(session: Session) -> None:
    """End a session before it expires."""
    identities.end_session(session.access_key)


def expire_earlier(seconds: float) -> None:
    """Make every session that a client created expire `seconds` earlier.

    Sessions of guests and functions are left alone, because they use the machine's clock.
    """
    for session in identities.sessions():
        if not _is_for_service(session) and isinstance(session.get("Expiration"), int | float):
            session["Expiration"] -= seconds


def _is_for_service(session: dict[str, Any]) -> bool:
    """Return whether a session was made for a service, or assumed by one that was, at first or at second hand."""
    while _FOR_SERVICE not in session:
        source = identities.session(session.get("SourceAccessKeyId", ""))
        if source is None:
            return False
        session = source
    return True


def _find(role_arn: str) -> dict[str, Any] | None:
    parts = role_arn.split(":")
    if len(parts) < 6:
        return None
    return identities.role(_name(role_arn), owner=parts[4])


def _trusts(role: dict[str, Any], role_arn: str, service: str, keys: dict[str, str] | None) -> bool:
    return authorization.trusts(role.get("AssumeRolePolicyDocument"), service, role_arn, keys or {})


def _name(role_arn: str) -> str:
    return role_arn.rpartition("/")[2]
