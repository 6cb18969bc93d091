"""Invokes one of the project's functions and waits for its answer."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dayfly.cloud.clients import Aws, code_of, raise_ours


def invoke(aws: Aws, function: str, body: str) -> dict[str, Any] | None:
    """The function's answer, {"error": words} when it raised, None when there is no such function."""
    try:
        answer = aws.client("lambda").invoke(FunctionName=function, Payload=body.encode())
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise_ours(error, f"invoke {function}")
    except BotoCoreError as error:
        raise_ours(error, f"invoke {function}")
    said = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        return {"error": (said or {}).get("errorMessage") or answer["FunctionError"]}
    result: dict[str, Any] = said or {}
    return result
