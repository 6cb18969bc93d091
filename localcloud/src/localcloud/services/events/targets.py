"""How a rule of the event bus invokes a function: only when the function's policy lets the rule, and asynchronously.

Which events a rule matches, and every other kind of target, stays MiniStack's. What cannot be delivered is in dead_letters.py.
"""

import json
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.ministack import bus, functions
from localcloud.services.events.dead_letters import SERVICE, DeadLetters, Undelivered
from localcloud.services.iam import authorization


def install(cloud: Cloud) -> None:
    """Correct MiniStack's bus, which checks no policy of a function and loses the event of a function that fails."""
    letters = DeadLetters(cloud)
    bus.wrap_invoke(lambda invoke: _checked(invoke, letters))
    bus.replace_function_target(_send)


def may_invoke(function: str, rule: str) -> bool:
    """Return whether a function's policy lets EventBridge invoke it for `rule`; both are ARNs."""
    keys = {"aws:sourcearn": rule, "aws:sourceaccount": function.split(":")[4]}
    return authorization.lets_service(functions.policy(function), SERVICE, "lambda:InvokeFunction", function, keys)


def _checked(invoke: bus.Invoke, letters: DeadLetters) -> bus.Invoke:
    def invoke_checked(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any) -> None:
        code, why = _obstacle(target.get("Arn", ""), rule["Arn"])
        if code:
            undelivered = Undelivered(bus.event_text(event, view), rule["Arn"], target["Arn"], code, why)
            letters.send(target, undelivered)
            return
        invoke(target, event, rule, view)

    return invoke_checked


def _obstacle(arn: str, rule: str) -> tuple[str, str]:
    """Return EventBridge's error code and why the rule cannot invoke the target; both "" if nothing prevents it."""
    if not arn.startswith("arn:aws:lambda:"):
        return "", ""
    if functions.find(arn) is None:
        return "NO_RESOURCE", f"Function not found: {arn}"
    if not may_invoke(arn, rule):
        return "NO_PERMISSIONS", f"The policy of {arn} does not let {rule} invoke it"
    return "", ""


def _send(arn: str, payload: str) -> None:
    """Hand an event to Lambda's queue, which keeps it, retries it and sends its record to a destination."""
    function = functions.find(arn)
    if function is not None:
        functions.send(function, json.loads(payload))
