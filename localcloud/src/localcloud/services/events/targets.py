"""How a rule of the event bus invokes a function: only when the function's policy lets the rule, and asynchronously.

Which events a rule matches, and every other kind of target, stays MiniStack's.
"""

import json
import logging
from typing import Any

from localcloud.ministack import bus, functions
from localcloud.services.iam import authorization

_log = logging.getLogger("localcloud.events")
_SERVICE = "events.amazonaws.com"


def install() -> None:
    """Correct MiniStack's bus, which checks no policy of a function and loses the event of a function that fails."""
    bus.wrap_invoke(_authorized)
    bus.replace_function_target(_send)


def may_invoke(function: str, rule: str) -> bool:
    """Return whether a function's policy lets EventBridge invoke it for `rule`; both are ARNs."""
    keys = {"aws:sourcearn": rule, "aws:sourceaccount": function.split(":")[4]}
    return authorization.lets_service(functions.policy(function), _SERVICE, "lambda:InvokeFunction", function, keys)


def _authorized(invoke: bus.Invoke) -> bus.Invoke:
    def invoke_allowed(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any) -> None:
        arn = target.get("Arn", "")
        if arn.startswith("arn:aws:lambda:") and not may_invoke(arn, rule["Arn"]):
            _log.warning("%s may not invoke %s: the function's policy does not allow it", rule["Arn"], arn)
            return
        invoke(target, event, rule, view)

    return invoke_allowed


def _send(arn: str, payload: str) -> None:
    """Hand an event to Lambda's queue, which keeps it, retries it and sends its record to a destination."""
    function = functions.find(arn)
    if function is None:
        _log.warning("a rule invokes the function %s, which does not exist", arn)
        return
    functions.send(function, json.loads(payload))
