"""What launcher and sweeper share: interpreter and actor from the environment, and a log of JSON lines.

Only modules of remote/ read the environment of a Lambda function and write its log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.cloud.clients import Aws
from dayfly.cloud.context import Log
from dayfly.cloud.interpreter import Interpreter
from dayfly.core import names
from dayfly.core.step import State
from dayfly.flows.actor import Actor


def json_log(function: str, write: Callable[[str], None]) -> Log:
    """A log that writes one JSON object a line."""

    def log(line: str, fields: Mapping[str, Any]) -> None:
        write(json.dumps({"level": "INFO", "message": line, "function": function, **fields}, default=str))

    return log


def interpreter(environment: Mapping[str, str], log: Log) -> Interpreter:
    """The interpreter of a function, from its environment. Raises KeyError for a variable that the stack did not set."""
    return Interpreter(
        aws=Aws(region=environment["AWS_REGION"], endpoint=environment.get("AWS_ENDPOINT_URL")),
        project=environment[names.ENV_PROJECT],
        bucket=environment[names.ENV_BUCKET],
        group=environment[names.ENV_GROUP],
        kill_role=environment[names.ENV_KILL_ROLE],
        dead_letters=environment[names.ENV_DEAD_LETTERS],
        log=log,
    )


def actor(environment: Mapping[str, str], who: str, acts_in: frozenset[State]) -> Actor:
    """The actor of a function: project and region from its environment, and the steps it may take."""
    return Actor(
        project=environment[names.ENV_PROJECT],
        bucket=environment[names.ENV_BUCKET],
        region=environment["AWS_REGION"],
        who=who,
        acts_in=acts_in,
        zones=ZoneInfo,
    )
