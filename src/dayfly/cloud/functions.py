"""Answer the calls about Lambda functions: invoke, stop and start one, see whether one is stopped.

project/runs/start.py decides what a function's answer means.
"""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of
from dayfly.cloud.context import Context
from dayfly.flows import calls

_ABSENT = "ResourceNotFoundException"


def invoke(context: Context, call: calls.Invoke) -> calls.Invoked | None:
    """Invoke the function and return its answer; None if there is no such function. Sent once: botocore does not repeat it."""
    try:
        answer = _lambda(context).invoke(FunctionName=call.function, Payload=call.body.encode())
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return None
        raise
    document = json.loads(answer["Payload"].read() or b"null") or {}
    if "FunctionError" in answer:
        return calls.Invoked(answer={}, error=document.get("errorMessage") or answer["FunctionError"])
    return calls.Invoked(answer=document)


def is_stopped(context: Context, call: calls.IsStopped) -> bool:
    """Return whether no concurrency is reserved for the function: zero, not none."""
    try:
        answer = _lambda(context).get_function_concurrency(FunctionName=call.function)
    except ClientError as error:
        if code_of(error) == _ABSENT:
            return False
        raise
    reserved: int | None = answer.get("ReservedConcurrentExecutions")
    return reserved == 0


def stop(context: Context, call: calls.StopFunction) -> None:
    """Reserve no concurrency for the function: Lambda then refuses every invocation, and drops the events that wait."""
    _if_it_exists(_lambda(context).put_function_concurrency, FunctionName=call.function, ReservedConcurrentExecutions=0)


def start(context: Context, call: calls.StartFunction) -> None:
    """Remove the reservation."""
    _if_it_exists(_lambda(context).delete_function_concurrency, FunctionName=call.function)


def _if_it_exists(operation: Any, **request: Any) -> None:
    try:
        operation(**request)
    except ClientError as error:
        if code_of(error) != _ABSENT:
            raise


def _lambda(context: Context) -> Any:
    return context.aws.client("lambda")
