"""Refuses a trust policy that names a role or user of this account that does not exist, as IAM does.

Whom a trust policy lets assume a role is decided in authorization.py.
"""

import re
from typing import Any

from localcloud.ministack import identities, requests
from localcloud.ministack.authorization import error
from localcloud.services.iam import policy
from localcloud.services.iam.resources import parameter

_NAMED = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):(role|user)/(?:.*/)?([^/]+)")
_DOCUMENTS = {"CreateRole": "AssumeRolePolicyDocument", "UpdateAssumeRolePolicy": "PolicyDocument"}


def install() -> None:
    """Check trust policies before MiniStack's IAM stores them; once, before the first request."""
    answer = requests.handler("iam")

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        field = _DOCUMENTS.get(parameter(body, query, "Action"))
        if field and (wrong := unknown_principal(parameter(body, query, field))):
            return error("iam", 400, "MalformedPolicyDocument", wrong)
        return await answer(method, path, headers, body, query)

    requests.replace_handler("iam", handle)


def unknown_principal(document: Any) -> str:
    """Return what is wrong with the principals of a trust policy, worded as IAM does; "" when nothing is."""
    for name in _principals(document):
        found = _NAMED.fullmatch(name)
        if found and found[1] == requests.account() and not _exists(found[2], found[3]):
            return f'Invalid principal in policy: "AWS":"{name}"'
    return ""


def _exists(kind: str, name: str) -> bool:
    known = identities.role if kind == "role" else identities.user
    return known(name) is not None


def _principals(document: Any) -> list[str]:
    """Return the AWS principals of all statements of a policy, JSON text or parsed."""
    named = [one.principal.get("AWS") for one in policy.parse(document) if isinstance(one.principal, dict)]
    return [name for names in named for name in policy.texts(names)]
