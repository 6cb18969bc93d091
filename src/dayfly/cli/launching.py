"""Start or retry a run for a user: send an event (docs/event.md) with a new idempotency key to the launcher."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from dayfly.cli.lookup import local_hints
from dayfly.cli.target import Target
from dayfly.project.runs.start import send_event


def send(where: Target, project: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Send the event and return the launcher's answer. Raises its refusal as an error, NotFoundError if there is no launcher."""
    whole = {"request": uuid.uuid4().hex, "by": where.who, **event}
    with local_hints(use_local=where.is_local):
        return where.interpreter(project).run(send_event(project, whole))
