"""Where the calls of a flow go: one project in one region, with its AWS clients. Values only; no call is made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.cloud.clients import Aws

Log = Callable[[str, Mapping[str, Any]], None]
"""Writes one line and its fields."""
ShowBytes = Callable[[bytes], None]
"""Shows bytes to whoever runs the flow."""


def emit_nothing(_body: bytes) -> None:
    """For the flows that emit nothing."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """One project in one region: clients, names, the log of this process and where it shows bytes.

    `group` is the schedule group, `kill_role` the ARN of the role as which a kill schedule terminates a server,
    `dead_letters` the ARN of the queue for events that could not be delivered.
    """

    aws: Aws
    project: str
    bucket: str
    group: str
    kill_role: str
    dead_letters: str
    log: Log
    emit: ShowBytes = emit_nothing
