"""What a rule of the event bus does with a function: only if its policy lets the rule, and as an asynchronous invocation.

Which events a rule matches, and every other kind of target, is MiniStack's.
"""

import json
import logging
from typing import Any

from localcloud.ministack import seams

_log = logging.getLogger("localcloud.events")
_SERVICE = "events.amazonaws.com"


def install() -> None:
    """Put both into MiniStack's bus, which asks no policy and loses the event of a function that fails."""
    bus = seams.module("eventbridge")
    invoke = bus._invoke_target

    def judged(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        arn = target.get("Arn", "")
        if arn.startswith("arn:aws:lambda:") and not may_invoke(arn, rule["Arn"]):
            _log.warning("%s may not invoke %s: the function's policy does not let it", rule["Arn"], arn)
            return
        invoke(target, event, rule, view)

    seams.put(bus, "_invoke_target", judged)
    seams.put(bus, "_dispatch_to_lambda", _accept)


def may_invoke(function: str, rule: str) -> bool:
    """Whether the resource policy of the function (an ARN, perhaps with a qualifier) lets EventBridge invoke it for `rule`."""
    _, _, _, region, account, *_ = function.split(":")
    record = seams.module("lambda_svc")._get_base_func_record_for_ref(function)[0]
    evaluator = seams.evaluator()
    context = evaluator.EvalContext(
        principal_arn=_SERVICE,
        principal_type="Service",
        principal_account="",
        action="lambda:InvokeFunction",
        resource_arn=function,
        region=region,
        service_context={"aws:sourcearn": rule, "aws:sourceaccount": account},
    )
    policy = (record or {}).get("policy")
    decision: str = evaluator.evaluate_resource_policy(policy, context, service=_SERVICE).decision
    return decision == "Allow"


def _accept(function: str, payload: str) -> None:
    """Hand an event to Lambda's queue, which keeps it, retries it and tells who asked to be told."""
    functions = seams.module("lambda_svc")
    record, config, _ = functions._get_func_record_for_ref(function)
    if record is None or config is None:
        _log.warning("the function %s of a rule does not exist", function)
        return
    functions.invoke_async_with_retry(functions._execution_record_for_config(record, config), json.loads(payload))
