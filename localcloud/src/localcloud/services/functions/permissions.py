"""Checks a role that a request gives to a function: the caller must be allowed to pass it, and it must trust Lambda."""

import json
import re
from typing import Any

from localcloud.ministack.requests import Handler
from localcloud.services.iam import roles
from localcloud.services.iam.authorization import pass_role

_PASSES_ROLE = re.compile(r"^/\d{4}-\d\d-\d\d/functions(/[^/]+/configuration)?/?$")
_LAMBDA = "lambda.amazonaws.com"


def check_role(handler: Handler) -> Handler:
    """Authorize iam:PassRole where a function is given a role, and refuse a role that Lambda may not assume."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        role = _passed_role(body) if method in ("POST", "PUT") and _PASSES_ROLE.match(path) else None
        if role:
            if denied := pass_role(headers, query, role, _LAMBDA):
                return _refusal(403, "AccessDeniedException", {"Message": denied})
            if not roles.trusts(role, _LAMBDA):
                text = "The role defined for the function cannot be assumed by Lambda."
                return _refusal(400, "InvalidParameterValueException", {"Message": text})
        return await handler(method, path, headers, body, query)

    return handle


def _passed_role(body: bytes) -> str | None:
    try:
        request = json.loads(body)
    except ValueError:
        return None
    return request.get("Role") if isinstance(request, dict) else None


def _refusal(status: int, code: str, fields: dict[str, str]) -> Any:
    text = json.dumps(fields | {"__type": code}).encode()
    return status, {"Content-Type": "application/json", "x-amzn-errortype": code}, text
