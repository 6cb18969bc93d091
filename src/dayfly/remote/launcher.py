"""Lambda: the schedule fired, or a human asked. Reads the event, walks the run, answers what became of it.

Travels in the function's zip. Thinks nothing: the event is core/event.py's, the flow is flows/launch.py's.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from dayfly.core.event import launch_request
from dayfly.errors import DayflyError, Unclear
from dayfly.flows.actor import LAUNCHER_MAY
from dayfly.flows.launch import launch
from dayfly.remote import environment

log = environment.json_log("launcher", lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201


def _is_scheduled(event: Any) -> bool:
    return isinstance(event, dict) and event.get("source") == "schedule"


def handler(event: Any, context: Any) -> dict[str, Any]:
    """The launcher's entry. What went wrong with a schedule's event, or has no clear answer, is raised; else it is answered."""
    interpreter = environment.interpreter(os.environ, log)
    try:
        wanted = launch_request(event, str(getattr(context, "aws_request_id", "")))
        launched = interpreter.run(launch(wanted, environment.actor(os.environ, "launcher", LAUNCHER_MAY)))
    except DayflyError as error:
        log(f"refused: {error.message}", {"event": event, "kind": type(error).__name__})
        if isinstance(error, Unclear) or _is_scheduled(event):
            # Nobody reads the answer of a schedule's event: raised, it is delivered again and in the end kept as a dead letter.
            raise
        return {"run": None, "refused": error.message, "hint": error.hint, "exit": error.exit_code}
    facts = launched.walked.facts if launched.walked else None
    claim = facts.claim if facts else None
    attempt = facts.attempt if facts else None
    elected = attempt.elected if attempt else None
    retry = facts.opened.record.retry if facts and facts.opened else None
    if retry is not None and (attempt is None or attempt.number < retry):
        # Not intended yet: what the last attempt had is not this one's.
        why = launched.walked.step.reason if launched.walked else launched.why
        return {
            "run": str(launched.run),
            "decision": "waiting",
            "reason": "",
            "why": why,
            "attempt": retry,
            "server": None,
        }
    return {
        "run": str(launched.run) if launched.run else None,
        "decision": claim.decision if claim else None,
        "reason": claim.reason if claim else "",
        "why": claim.why if claim else launched.why,
        "attempt": attempt.number if attempt else None,
        "server": elected.server if elected else None,
        "refused": launched.why if launched.run is None else "",
    }
