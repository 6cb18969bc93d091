"""Answer the call that invokes a Lambda function. project/runs/start.py decides what the function's answer means."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of
from dayfly.cloud.context import Context
from dayfly.flows import calls


def invoke(context: Context, call: calls.Invoke) -> calls.Invoked | None:
    """Invoke the function and return its answer; None if there is no such function. Sent once: botocore does not repeat it."""
    try:
        answer = context.aws.client("lambda").invoke(FunctionName=call.function, Payload=call.body.encode())
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return None
        raise
    document = json.loads(answer["Payload"].read() or b"null") or {}
    if "FunctionError" in answer:
        return calls.Invoked(answer={}, error=document.get("errorMessage") or answer["FunctionError"])
    return calls.Invoked(answer=document)
