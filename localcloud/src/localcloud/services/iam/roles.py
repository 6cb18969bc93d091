"""Sessions of a role for a service of the cloud itself (Lambda, Scheduler): trust policy judged, keys random.

What a session may do is judged elsewhere, by IAM, at each of its requests.
"""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from localcloud.ministack import seams

_SECONDS = 3600
_OF = "_LocalcloudService"
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


def assume(role_arn: str, service: str, name: str, keys: dict[str, str] | None = None) -> Session:
    """A new session of `role_arn` for the service principal `service`, e.g. "lambda.amazonaws.com".

    `keys` are the request's condition keys in lower case, such as "aws:sourcearn". Raises RoleRefused.
    """
    parts = role_arn.split(":")
    role_name = role_arn.rsplit("/", 1)[-1]
    role = seams.module("iam")._roles.get_scoped(parts[4], None, role_name) if len(parts) > 5 else None
    if role is None:
        raise RoleRefused(f"The role {role_arn} does not exist.")
    if not _trusts(role.get("AssumeRolePolicyDocument") or "{}", service, role_arn, keys or {}):
        raise RoleRefused(f"The role {role_arn} does not let {service} assume it.")
    session = Session(
        access_key="ASIA" + "".join(secrets.choice(_LETTERS) for _ in range(16)),
        secret_key=secrets.token_hex(20),
        token=secrets.token_hex(64),
        expires=time.time() + _SECONDS,
    )
    seams.module("sts").register_session(
        session.access_key,
        {
            "Arn": f"arn:aws:sts::{parts[4]}:assumed-role/{role_name}/{name}",
            "UserId": f"{role['RoleId']}:{name}",
            "SecretAccessKey": session.secret_key,
            "SessionToken": session.token,
            "Expiration": session.expires,
            "AccountId": parts[4],
            "PrincipalType": "AssumedRole",
            "SessionTags": [],
            "SessionPolicies": None,
            _OF: service,
        },
    )
    return session


def age(seconds: float) -> None:
    """Bring the end of every session nearer but those made here: guests and functions live by the machine's clock."""
    for session in seams.module("sts")._sessions.values():
        if _OF not in session and isinstance(session.get("Expiration"), int | float):
            session["Expiration"] -= seconds


def trusts(role_arn: str, service: str, keys: dict[str, str] | None = None) -> bool:
    """Whether `service` may assume a role; False for one that does not exist. `keys` as in `assume`."""
    parts = role_arn.split(":")
    role = (
        seams.module("iam")._roles.get_scoped(parts[4], None, role_arn.rsplit("/", 1)[-1]) if len(parts) > 5 else None
    )
    document = role.get("AssumeRolePolicyDocument") or "{}" if role is not None else "{}"
    return _trusts(document, service, role_arn, keys or {})


def forget(session: Session) -> None:
    """End a session before its time."""
    seams.module("sts")._sessions.pop(session.access_key, None)


def _trusts(document: str | dict[str, Any], service: str, role_arn: str, keys: dict[str, str]) -> bool:
    """Whether the statements that name `service` let it assume the role, a Deny before every Allow."""
    policy = json.loads(document) if isinstance(document, str) else document
    statements = policy.get("Statement", [])
    named = [
        {key: value for key, value in statement.items() if key != "Principal"} | {"Resource": "*"}
        for statement in (statements if isinstance(statements, list) else [statements])
        if _names(statement.get("Principal"), service)
    ]
    evaluator = seams.evaluator()
    context = evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=role_arn.split(":")[4],
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region="",
        service_context={"aws:sourceaccount": role_arn.split(":")[4], **keys},
    )
    parsed = evaluator.parse_policy_document({"Version": policy.get("Version", "2008-10-17"), "Statement": named})
    decision: str = evaluator.evaluate(context, [parsed]).decision
    return decision == "Allow"


def _names(principal: Any, service: str) -> bool:
    if principal == "*":
        return True
    services = principal.get("Service", []) if isinstance(principal, dict) else []
    return service in ([services] if isinstance(services, str) else services)
