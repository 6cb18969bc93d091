"""Shared by launcher and sweeper: make an interpreter and an actor from environment variables, and log JSON lines.

Only modules of remote/ read the environment of a Lambda function and write its log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.cloud.clients import Aws
from dayfly.cloud.context import Log
from dayfly.cloud.interpreter import Interpreter
from dayfly.core import intervals, names
from dayfly.core.notification import Receivers
from dayfly.core.states import State
from dayfly.flows.actor import Actor


def json_log(function: str, write: Callable[[str], None]) -> Log:
    """Return a log that writes each entry as one line of JSON."""

    def log(line: str, fields: Mapping[str, Any]) -> None:
        write(json.dumps({"level": "INFO", "message": line, "function": function, **fields}, default=str))

    return log


@cache
def aws(region: str, endpoint: str | None) -> Aws:
    """Return the AWS clients of this process. They are made once, so a warm function uses them and their connections again."""
    return Aws(region=region, endpoint=endpoint)


def interpreter(environment: Mapping[str, str], log: Log) -> Interpreter:
    """Return the interpreter for a function. Raises KeyError if the stack did not set one of its environment variables."""
    return Interpreter(
        aws=aws(environment["AWS_REGION"], environment.get("AWS_ENDPOINT_URL")),
        project=environment[names.ENV_PROJECT],
        bucket=environment[names.ENV_BUCKET],
        group=environment[names.ENV_GROUP],
        kill_role=environment[names.ENV_KILL_ROLE],
        dead_letters=environment[names.ENV_DEAD_LETTERS],
        log=log,
    )


def actor(environment: Mapping[str, str], who: str, acts_in: frozenset[State], process: str = "") -> Actor:
    """Return the actor for a function. `acts_in`: the states in which it may act. `process`: the id of this invocation."""
    return Actor(
        project=environment[names.ENV_PROJECT],
        bucket=environment[names.ENV_BUCKET],
        region=environment["AWS_REGION"],
        who=who,
        acts_in=acts_in,
        zones=ZoneInfo,
        intervals=intervals.from_json(environment.get(names.ENV_INTERVALS, "")),
        notify=_receivers(environment),
        process=process,
    )


def _receivers(environment: Mapping[str, str]) -> Receivers:
    """Return whom this function tells. Only the sweeper's environment names anybody."""
    addresses = json.loads(environment.get(names.ENV_NOTIFY) or "[]")
    return Receivers(addresses=tuple(addresses), topic=environment.get(names.ENV_TOPIC, ""))
