"""AssumeRole: who may assume a role, by the caller's policies and the role's trust policy together, and for how long.

MiniStack makes the session. Sessions for services of the cloud itself are in roles.py.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from localcloud.cloud.facts import Response
from localcloud.ministack import identities, requests
from localcloud.ministack.authorization import Keys, error
from localcloud.services.iam import authorization

_ACTION = "AssumeRole"
_LEAST, _MOST, _CHAINED = 900, 43200, 3600
_NAME = re.compile(r"[\w+=,.@-]*", re.ASCII)

Parameters = Mapping[str, str]


def install() -> None:
    """Check every AssumeRole here before MiniStack answers it; once, before the first request."""
    authorization.evaluation.leave_to_service("sts", [_ACTION])
    answer = requests.handler("sts")

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        asked = _parameters(body, query)
        if asked.get("Action") == _ACTION and (refused := _refusal(asked, requests.access_key(headers, query))):
            return refused
        return await answer(method, path, headers, body, query)

    requests.replace_handler("sts", handle)


def _parameters(body: bytes, query: Any) -> Parameters:
    found = {name: value[0] if isinstance(value, list) else value for name, value in query.items()}
    return found | dict(parse_qsl(body.decode("utf-8", "replace")))


def _refusal(asked: Parameters, access_key: str) -> Response | None:
    """Return the error of an AssumeRole that STS refuses, or None. What is malformed is refused before anything else."""
    wrong = _malformed(asked)
    if wrong:
        return error("sts", 400, "ValidationError", wrong)
    role = asked.get("RoleArn", "")
    refused = authorization.authorize_by_trust(access_key, role, _keys(asked))
    if isinstance(refused, str):
        message = f"User: {refused} is not authorized to perform: sts:AssumeRole on resource: {role}"
        return error("sts", 403, "AccessDenied", message)
    if refused is not None:
        return error("sts", 403, refused.code, refused.message)
    wrong = _too_long(asked, access_key)
    return error("sts", 400, "ValidationError", wrong) if wrong else None


def _keys(asked: Parameters) -> Keys:
    """Return the condition keys of an AssumeRole ("IAM User Guide", AWS STS condition keys)."""
    keys: Keys = {"sts:rolesessionname": asked["RoleSessionName"]}
    if "ExternalId" in asked:
        keys["sts:externalid"] = asked["ExternalId"]
    tags = [name for name in asked if re.fullmatch(r"Tags\.member\.\d+\.Key", name)]
    for name in tags:
        keys[f"aws:requesttag/{asked[name]}".lower()] = asked.get(name.removesuffix("Key") + "Value", "")
    if tags:
        keys["aws:tagkeys"] = [asked[name] for name in tags]
    return keys


def _malformed(asked: Parameters) -> str:
    """Return what is wrong with the session's name or duration, worded as STS does; "" when nothing is."""
    name, seconds = asked.get("RoleSessionName", ""), asked.get("DurationSeconds", str(_LEAST))
    tests = [
        (len(name) >= 2, name, "roleSessionName", "have length greater than or equal to 2"),
        (len(name) <= 64, name, "roleSessionName", "have length less than or equal to 64"),
        (bool(_NAME.fullmatch(name)), name, "roleSessionName", "satisfy regular expression pattern: [\\w+=,.@-]*"),
        (not seconds.isdecimal() or int(seconds) >= _LEAST, seconds, "durationSeconds", f"have value greater than or equal to {_LEAST}"),
        (seconds.isdecimal() and int(seconds) <= _MOST, seconds, "durationSeconds", f"have value less than or equal to {_MOST}"),
    ]  # fmt: skip
    wrong = [
        f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {rule}"
        for holds, value, where, rule in tests
        if not holds
    ]
    plural = "s" if len(wrong) > 1 else ""
    return f"{len(wrong)} validation error{plural} detected: {'; '.join(wrong)}" if wrong else ""


def _too_long(asked: Parameters, access_key: str) -> str:
    """Return why a session may not last as long as asked for; "" when it may."""
    seconds = int(asked.get("DurationSeconds", "0"))
    if seconds > _CHAINED and identities.is_role_session(access_key):
        return "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
    role = identities.role_by_arn(asked["RoleArn"]) or {}
    if seconds > int(role.get("MaxSessionDuration") or _CHAINED):
        return "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    return ""
