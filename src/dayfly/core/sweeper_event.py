"""Read the sweeper's event: its schedule's, EC2's notification of a state change, or a request for a test message. No I/O.

What a state change leads to is in flows/closing.py. An event is only a hint which server to look up, and a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dayfly.core import names
from dayfly.errors import FileError

SOURCE = "aws.ec2"
KIND = "EC2 Instance State-change Notification"
_LONGEST_NAME = 200
_INSTANCE = re.compile(r"i-[0-9a-f]{8,17}")


class ServerState(StrEnum):
    """The states that EC2 announces of an instance."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SHUTTING_DOWN = "shutting-down"
    TERMINATED = "terminated"


ENDS = (ServerState.STOPPED, ServerState.TERMINATED)
"""The states whose events the stack's rule sends."""


@dataclass(frozen=True)
class ScheduledSweep:
    """The sweeper's schedule asks for a sweep."""


@dataclass(frozen=True, kw_only=True)
class StateChange:
    """An instance of this account entered a state at this time, says EC2 (in whole seconds)."""

    server: str
    state: ServerState
    at: datetime


@dataclass(frozen=True, kw_only=True)
class TrialNotice:
    """A person wants a test message to go to every address of `notify`."""

    by: str


SweeperEvent = ScheduledSweep | StateChange | TrialNotice
"""All that the sweeper can be asked."""


def sweeper_event(event: Any) -> SweeperEvent:
    """Return what an event asks for. Raises FileError for anything else, also a state change that is not as EC2 sends it.

    Fields that are not used here are ignored, because AWS may add some.
    """
    if not isinstance(event, Mapping):
        raise _bad("it is not a JSON object")
    if not event:
        return ScheduledSweep()
    if "test" in event:
        return TrialNotice(by=_by(event["test"]))
    if (event.get("source"), event.get("detail-type")) != (SOURCE, KIND):
        raise _bad(f"it is not an event of {SOURCE} of type {KIND}")
    detail = event.get("detail")
    if not isinstance(detail, Mapping):
        raise _bad("detail is not a JSON object")
    return StateChange(server=_server(detail.get("instance-id")), state=_state(detail.get("state")), at=_at(event))


def _by(found: Any) -> str:
    if not isinstance(found, str) or not found.isprintable() or not 1 <= len(found) <= _LONGEST_NAME:
        raise _bad("test is not the name of a person")
    return found


def _server(found: Any) -> str:
    if not isinstance(found, str) or not _INSTANCE.fullmatch(found):
        raise _bad("detail.instance-id is not the id of an instance")
    return found


def _state(found: Any) -> ServerState:
    try:
        return ServerState(found)
    except ValueError:
        raise _bad(f"detail.state is not one of {', '.join(ServerState)}") from None


def _at(event: Mapping[Any, Any]) -> datetime:
    try:
        return names.utc_moment(str(event.get("time")))
    except ValueError as error:
        raise _bad(f"time: {error}") from error


def _bad(what: str) -> FileError:
    return FileError(f"not an event for the sweeper: {what}", hint="the schedule sends {}; EC2 sends its own")
