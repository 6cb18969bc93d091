"""Shared by the tests of cloud/: AWS clients with given answers, and the interpreter's answer to a call."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.interpreter import Interpreter
from dayfly.flows import calls


class Client:
    """An AWS client whose operations return these answers, or raise them if they are exceptions. `requests`: the requests it got."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Any:
        if operation.startswith("_") or operation not in self.answers:
            raise AttributeError(operation)

        def called(**request: Any) -> Any:
            self.requests.append((operation, request))
            answer = self.answers[operation]
            if isinstance(answer, Exception):
                raise answer
            return answer

        return called

    def get_paginator(self, operation: str) -> Any:
        def pages(**request: Any) -> Any:
            yield from getattr(self, operation)(**request)  # lazily, as botocore does

        return SimpleNamespace(paginate=pages)


def error(code: str, message: str = "", status: int = 400) -> ClientError:
    """Return an error as botocore raises it."""
    answer: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")


def answered(client: Any, call: calls.Call[Any], bucket: str = "b") -> Any:
    """Return the interpreter's answer to a call if every AWS client is this one."""
    aws: Any = SimpleNamespace(client=lambda _service: client, region="eu-west-1")
    return Interpreter(
        aws=aws,
        project="pi",
        bucket=bucket,
        group="dayfly-pi",
        kill_role="",
        dead_letters="",
        log=lambda _line, _fields: None,
    ).answer(call)
