"""Starts or retries a run for a person: the documented event, sent to the launcher with an idempotency key of its own."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from dayfly.cli.lookup import hints
from dayfly.cli.target import Target
from dayfly.project.runs.start import send_event


def send(where: Target, project: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Sends the event and returns the launcher's answer. Raises what the launcher refused, NotFoundError without a launcher."""
    whole = {"request": uuid.uuid4().hex, "by": where.who, **event}
    with hints(use_local=where.local is not None):
        return where.interpreter(project).run(send_event(project, whole))
