"""Where MiniStack's IAM falls short of AWS on the paths we need, and the questions our own services ask it.

MiniStack gathers the policies and evaluates them; what changes here is what it evaluates with: resource names,
condition keys, policy variables, and who an unsigned request is. No service's own behaviour lives here.
"""

import importlib
from typing import Any

from localcloud import seams


def pass_role(headers: Any, query: Any, role_arn: str, service: str) -> str | None:
    """Whether the caller of the present request may pass `role_arn` to `service`; the denial's text if not."""
    router = importlib.import_module("ministack.core.router")
    responses = importlib.import_module("ministack.core.responses")
    denied = seams.evaluator().enforce(
        router.extract_access_key_id(headers, query),
        "iam:PassRole",
        "iam",
        responses.get_region(),
        resource_arn=role_arn,
        service_context={"iam:passedtoservice": service},
    )
    if denied is None:
        return None
    who = getattr(denied, "principal_arn", "") or "The caller"
    return f"User: {who} is not authorized to perform: iam:PassRole on resource: {role_arn}"
