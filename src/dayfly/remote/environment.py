"""What the two functions share: their environment read once, the hands made from it, the story as JSON lines.

Environment and log of a Lambda function are read and written here and in remote/ only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from dayfly.cloud.clients import Aws
from dayfly.cloud.interpreter import Interpreter, Say
from dayfly.core import names
from dayfly.core.advance import State
from dayfly.flows.actor import Actor


def story(function: str, write: Any) -> Say:
    """Lines of the story as JSON, one object a line, on the function's log."""

    def say(line: str, facts: Mapping[str, Any]) -> None:
        write(json.dumps({"level": "INFO", "message": line, "function": function, **facts}, default=str))

    return say


def interpreter(environment: Mapping[str, str], say: Say) -> Interpreter:
    """Interpreter for a function, from its environment. Raises KeyError for a variable that the stack did not set."""
    return Interpreter(
        aws=Aws(region=environment["AWS_REGION"], endpoint=environment.get("AWS_ENDPOINT_URL")),
        project=environment[names.ENV_PROJECT],
        bucket=environment[names.ENV_BUCKET],
        group=environment[names.ENV_GROUP],
        kill_role=environment[names.ENV_KILL_ROLE],
        dead_letters=environment[names.ENV_DEAD_LETTERS],
        say=say,
    )


def actor(environment: Mapping[str, str], who: str, may: frozenset[State]) -> Actor:
    """Where a function walks, and as whom."""
    return Actor(
        project=environment[names.ENV_PROJECT],
        bucket=environment[names.ENV_BUCKET],
        region=environment["AWS_REGION"],
        who=who,
        may=may,
        zones=ZoneInfo,
    )
