"""The Free Tier API as far as it tells the account's plan, which is one of the conditions of this EC2."""

import json

from localcloud.cloud.facts import Response
from localcloud.ec2.context import Context
from localcloud.ministack import authorization, requests

_SERVICE = "freetier"
_JSON = {"Content-Type": "application/x-amz-json-1.0"}


class AccountPlan:
    """The API for one account."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        """Answer a request, which MiniStack has authenticated and authorized."""
        del method, path, body, query
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if action != "GetAccountPlanState":
            text = f"{action} is not part of the local cloud's Free Tier."
            return 400, dict(_JSON), json.dumps({"__type": "UnknownOperationException", "message": text}).encode()
        plan = self._context.conditions.now.plan.upper()
        state = {"accountId": requests.account(), "accountPlanType": plan, "accountPlanStatus": "ACTIVE"}
        return 200, dict(_JSON), json.dumps(state).encode()


def install(context: Context) -> None:
    """Answer requests to Free Tier, which MiniStack does not have."""
    authorization.add_service(_SERVICE)
    requests.replace_handler(_SERVICE, AccountPlan(context).handle)
