"""The launcher function: read an event, run the launcher's flow, and return what happened to the run.

core/event.py parses the event; flows/launch.py is the flow. No rule about runs lives here.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from dayfly.core.event import launch_request
from dayfly.core.facts import Attempt
from dayfly.core.records import Claim, Closed
from dayfly.errors import DayflyError, Unclear
from dayfly.flows.actor import LAUNCHER_STATES
from dayfly.flows.launch import Delivered, LaunchResult, Rejected, launch
from dayfly.remote import environment

log = environment.json_log("launcher", lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201


_NO_RESULT = {
    "decision": None,
    "reason": "",
    "why": "",
    "attempt": None,
    "server": None,
    "outcome": None,
    "refused": "",
}


def _is_scheduled(event: Any) -> bool:
    return isinstance(event, dict) and event.get("source") == "schedule"


def handler(event: Any, context: Any) -> dict[str, Any]:
    """Handle one event. Raises if a schedule's event failed or the outcome is unknown, so that Lambda delivers the event again."""
    interpreter = environment.interpreter(os.environ, log)
    try:
        wanted = launch_request(event, str(getattr(context, "aws_request_id", "")))
        result = interpreter.run(launch(wanted, environment.actor(os.environ, "launcher", LAUNCHER_STATES)))
    except DayflyError as error:
        log(f"refused: {error.message}", {"event": event, "kind": type(error).__name__})
        if isinstance(error, Unclear) or _is_scheduled(event):
            # Scheduler ignores answers. After an error Lambda delivers the event again, and finally puts it in the dead-letter queue.
            raise
        return {"run": None, "refused": error.message, "hint": error.hint, "exit": error.exit_code}
    return answer(result)


def answer(result: LaunchResult) -> dict[str, Any]:
    """Return the function's answer, in the form that docs/event.md describes."""
    if isinstance(result, Rejected):
        return {"run": None, **_NO_RESULT, "why": result.why, "refused": result.why}
    if isinstance(result, Delivered):
        on = {"attempt": result.attempt, "server": result.server}
        return {"run": str(result.run), **_NO_RESULT, **_decision(result.claim), **on}
    facts = result.facts
    found: dict[str, Any] = {"run": str(facts.run), **_NO_RESULT, "why": result.step.reason}
    if facts.attempts and facts.attempt.number < facts.attempt_number:
        # The retry has no intent yet, so the newest attempt, with its server, is the one before the retry.
        return {**found, "decision": "waiting", "attempt": facts.attempt_number}
    if facts.undecided and facts.asked_for_later:
        return {**found, "decision": "waiting"}
    match facts.claim:
        case Claim() as claim:
            found |= _decision(claim)
    match facts.attempt:
        case Attempt(number=number, elected_id=server):
            found |= {"attempt": number, "server": server or None}
    match facts.attempt.closed:
        case Closed(outcome=outcome):  # EC2 gave no server
            found["outcome"] = outcome
    return found


def _decision(claim: Claim) -> dict[str, Any]:
    """Return the part of the answer that says what was decided."""
    return {"decision": claim.decision, "reason": claim.reason, "why": claim.why}
