"""The launcher function: reads an event, runs the launcher's flow, and answers what became of the run.

core/event.py reads the event, flows/launch.py is the flow; no rule about runs lives here.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from dayfly.core.event import launch_request
from dayfly.core.facts import Attempt
from dayfly.core.records import Claim
from dayfly.errors import DayflyError, Unclear
from dayfly.flows.actor import LAUNCHER_STATES
from dayfly.flows.launch import LaunchResult, Rejected, launch
from dayfly.remote import environment

log = environment.json_log("launcher", lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201


_NOTHING = {"decision": None, "reason": "", "why": "", "attempt": None, "server": None, "refused": ""}


def _is_scheduled(event: Any) -> bool:
    return isinstance(event, dict) and event.get("source") == "schedule"


def handler(event: Any, context: Any) -> dict[str, Any]:
    """The handler. Raises when a schedule's event failed or the outcome is unknown, so that Lambda delivers it again."""
    interpreter = environment.interpreter(os.environ, log)
    try:
        wanted = launch_request(event, str(getattr(context, "aws_request_id", "")))
        result = interpreter.run(launch(wanted, environment.actor(os.environ, "launcher", LAUNCHER_STATES)))
    except DayflyError as error:
        log(f"refused: {error.message}", {"event": event, "kind": type(error).__name__})
        if isinstance(error, Unclear) or _is_scheduled(event):
            # Scheduler does not read an answer. A raised error is delivered again, and in the end kept as a dead letter.
            raise
        return {"run": None, "refused": error.message, "hint": error.hint, "exit": error.exit_code}
    return answer(result)


def answer(result: LaunchResult) -> dict[str, Any]:
    """The function's answer, as documented in docs/event.md."""
    if isinstance(result, Rejected):
        return {"run": None, **_NOTHING, "why": result.why, "refused": result.why}
    facts = result.facts
    found: dict[str, Any] = {"run": str(facts.run), **_NOTHING, "why": result.step.reason}
    if facts.attempts and facts.attempt.number < facts.attempt_number:
        # The retry has no intent yet, and the server of the last attempt is not its own.
        return {**found, "decision": "waiting", "attempt": facts.attempt_number}
    match facts.claim:
        case Claim(decision=decision, reason=reason, why=why):
            found |= {"decision": decision, "reason": reason, "why": why}
    match facts.attempt:
        case Attempt(number=number, elected_id=server):
            found |= {"attempt": number, "server": server or None}
    return found
