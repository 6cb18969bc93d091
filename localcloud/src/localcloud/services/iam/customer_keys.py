"""The right to a customer's KMS key that SSM and Secrets Manager use on behalf of their caller.

Which parameter or secret a caller may read is authorized before, like every other request. Values are not encrypted here:
MiniStack keeps them as they are, in the cloud's own directory.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from localcloud.cloud.facts import Response
from localcloud.ministack import requests, secrets
from localcloud.services.iam.authorization import authorize

_DECRYPTING = ("GetParameter", "GetParameters", "GetParametersByPath", "GetParameterHistory")
_NO_PARAMETER_KEY = (
    "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
    "or you are not allowed to access."
)
_NO_SECRET_KEY = "Access to KMS is not allowed"

Asked = dict[str, Any]
Check = Callable[[str, Asked, str], Response | None]
"""Returns why a request is refused: by its action, its body and its sender's key."""


def install() -> None:
    """Put the checks below before SSM and Secrets Manager; once, before the first request."""
    _check_first("ssm", _parameter_refusal)
    _check_first("secretsmanager", _secret_refusal)


def _check_first(service: str, check: Check) -> None:
    answer = requests.handler(service)

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        refused = check(action, _read(body), requests.access_key(headers, query))
        return refused or await answer(method, path, headers, body, query)

    requests.replace_handler(service, handle)


def _read(body: bytes) -> Asked:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _parameter_refusal(action: str, asked: Asked, sender: str) -> Response | None:
    if action == "PutParameter" and asked.get("Type") == "SecureString":
        return _unusable(asked.get("KeyId"), sender)
    if action not in _DECRYPTING or asked.get("WithDecryption") is not True:
        return None
    for one in _parameters(action, asked):
        context = {"kms:encryptioncontext:parameter_arn": one["ARN"]}
        if not _may("kms:Decrypt", one.get("KeyId"), "ssm", context, sender):
            return _refused("AccessDeniedException", _NO_PARAMETER_KEY)
    return None


def _parameters(action: str, asked: Asked) -> Iterable[Asked]:
    if action == "GetParametersByPath":
        return secrets.parameters_below(str(asked.get("Path")), asked.get("Recursive") is True)
    names = asked.get("Names") or [asked.get("Name")]
    return [one for name in names if (one := secrets.parameter(str(name)))]


def _unusable(key: Any, sender: str) -> Response | None:
    """Return why a parameter cannot be stored under a key: it does not exist, or the sender may not encrypt with it."""
    if _is_default(key):
        return None
    if secrets.key_arn(key) is None:
        return _refused("InvalidKeyId", f"Invalid keyId {key}")
    if not _may("kms:Encrypt", key, "ssm", {}, sender):
        return _refused("AccessDeniedException", _NO_PARAMETER_KEY)
    return None


def _secret_refusal(action: str, asked: Asked, sender: str) -> Response | None:
    if action != "GetSecretValue":
        return None
    found = secrets.secret(str(asked.get("SecretId"))) or {}
    context = {"kms:encryptioncontext:secretarn": found.get("ARN", "")}
    if _may("kms:Decrypt", found.get("KmsKeyId"), "secretsmanager", context, sender):
        return None
    return _refused("AccessDeniedException", _NO_SECRET_KEY)


def _may(action: str, key: Any, service: str, context: Asked, sender: str) -> bool:
    """Return whether the sender may use a key through a service. Every principal of the account may use a default key."""
    if _is_default(key):
        return True
    arn, region = secrets.key_arn(key), requests.region()
    keys = context | {"kms:viaservice": f"{service}.{region}.amazonaws.com"}
    return arn is not None and authorize(sender, action, region, arn, keys) is None


def _is_default(key: Any) -> bool:
    return not key or ":alias/aws/" in f":{key}"


def _refused(code: str, message: str) -> Response:
    body = json.dumps({"__type": code, "message": message})
    return 400, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}, body.encode()
