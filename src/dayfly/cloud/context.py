"""What the calls of a flow need: AWS clients, and the names of one project in one region. No call is made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.cloud.clients import Aws

Log = Callable[[str, Mapping[str, Any]], None]
"""Writes one line of the log, with its fields."""
ShowBytes = Callable[[bytes], None]
"""Receives the bytes that a flow emits: the pieces of a job's log."""


def emit_nothing(_body: bytes) -> None:
    """Do nothing. For contexts whose flows emit nothing."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """AWS clients and names of one project in one region, and where its log lines and emitted bytes go.

    `group` is the schedule group, `kill_role` the ARN of the role that a kill schedule uses to terminate a server,
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
