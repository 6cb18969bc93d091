"""The Python runtimes that Lambda no longer takes for new functions, and that it never had.

How a function runs is in execution.py: always with the interpreter that runs the cloud.
"""

import json
import re
from typing import Any

from localcloud.ministack import requests

# "Lambda Developer Guide", Lambda runtimes, Deprecated runtimes: creating and updating are blocked.
_ENDED = ("python2.7", "python3.6", "python3.7")
# Some of these are deprecated, but AWS still creates functions of them.
_TAKEN = tuple(f"python3.{minor}" for minor in range(8, 16))


def install() -> None:
    """Refuse such runtimes in CreateFunction and UpdateFunctionConfiguration; once, before the first request."""
    answer = requests.handler("lambda")

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        wrong = _wrong(method, path, body)
        if wrong:
            message = json.dumps({"Type": "User", "message": wrong})
            headers_sent = {"Content-Type": "application/json", "x-amzn-ErrorType": "InvalidParameterValueException"}
            return 400, headers_sent, message.encode()
        return await answer(method, path, headers, body, query)

    requests.replace_handler("lambda", handle)


def refusal(runtime: str) -> str:
    """Return why Lambda takes no function of a runtime, in Lambda's words; "" when it takes it."""
    if runtime in _ENDED:
        return (
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        )
    if runtime.startswith("python") and runtime not in _TAKEN:
        return (
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
            f"[{', '.join(_TAKEN)}] or be a valid ARN"
        )
    return ""


def _wrong(method: str, path: str, body: bytes) -> str:
    creates = method == "POST" and path.rstrip("/") == "/2015-03-31/functions"
    changes = method == "PUT" and re.fullmatch(r"/2015-03-31/functions/[^/]+/configuration", path)
    if not creates and not changes:
        return ""
    try:
        asked = json.loads(body or b"{}")
    except ValueError:
        return ""
    return refusal(str(asked.get("Runtime") or "")) if isinstance(asked, dict) else ""
