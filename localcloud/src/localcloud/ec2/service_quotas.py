"""Service Quotas: shows EC2's quotas of virtual CPUs, and takes requests for more, which nobody answers.

The quotas themselves are in quotas.py, their values among the conditions. Other services have no quotas here.
"""

import datetime
import json
import uuid
from collections.abc import Callable
from typing import Any

from localcloud.cloud.facts import Response
from localcloud.ec2.context import Context
from localcloud.ec2.quotas import QUOTAS, Quota
from localcloud.ministack import authorization, requests

_SERVICE = "servicequotas"
_EC2 = "ec2"
_EC2_NAME = "Amazon Elastic Compute Cloud (Amazon EC2)"
_PAGE = 100
_JSON = {"Content-Type": "application/x-amz-json-1.1"}

Document = dict[str, Any]


class QuotaError(Exception):
    """An error answer of Service Quotas."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ServiceQuotas:
    """The API for one account. A request for more is remembered until the cloud ends."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._asked: dict[tuple[str, str], Document] = {}
        self._actions: dict[str, Callable[[Document], Document]] = {
            "GetServiceQuota": lambda asked: {"Quota": self._shown(_named(asked), is_default=False)},
            "GetAWSDefaultServiceQuota": lambda asked: {"Quota": self._shown(_named(asked), is_default=True)},
            "ListServiceQuotas": lambda asked: self._listing(asked, is_default=False),
            "ListAWSDefaultServiceQuotas": lambda asked: self._listing(asked, is_default=True),
            "RequestServiceQuotaIncrease": self._increase,
            "ListRequestedServiceQuotaChangeHistory": lambda _: {"RequestedQuotas": self._requested()},
        }

    async def handle(
        self, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]
    ) -> Response:
        """Answer a request, which MiniStack has authenticated and authorized."""
        del method, path, query
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        try:
            if action not in self._actions:
                raise QuotaError(
                    "UnknownOperationException", f"{action} is not part of the local cloud's Service Quotas."
                )
            return 200, dict(_JSON), json.dumps(self._actions[action](json.loads(body or b"{}"))).encode()
        except QuotaError as error:
            text = json.dumps({"__type": error.code, "Message": error.message})
            return 400, dict(_JSON), text.encode()

    def _value(self, quota: Quota, is_default: bool) -> float:
        if is_default:
            return quota.value
        return self._context.conditions.quota(quota.code)

    def _shown(self, quota: Quota, is_default: bool) -> Document:
        return {
            "ServiceCode": _EC2,
            "ServiceName": _EC2_NAME,
            "QuotaArn": f"arn:aws:servicequotas:{requests.region()}:{requests.account()}:{_EC2}/{quota.code}",
            "QuotaCode": quota.code,
            "QuotaName": quota.name,
            "Value": float(self._value(quota, is_default)),
            "Unit": "None",
            "Adjustable": True,
            "GlobalQuota": False,
            "QuotaAppliedAtLevel": "ACCOUNT",
        }

    def _listing(self, asked: Document, is_default: bool) -> Document:
        _check_service(asked)
        quotas = [quota for quota in QUOTAS.values() if asked.get("QuotaCode") in (None, quota.code)]
        start, size = _page(asked)
        answer: Document = {"Quotas": [self._shown(quota, is_default) for quota in quotas[start : start + size]]}
        if start + size < len(quotas):
            answer["NextToken"] = str(start + size)
        return answer

    def _increase(self, asked: Document) -> Document:
        quota, wanted = _named(asked), _number(asked.get("DesiredValue"))
        if wanted < 0:
            raise QuotaError("IllegalArgumentException", "DesiredValue must be a number, 0 or more.")
        if wanted <= self._value(quota, is_default=False):
            text = "You must provide a quota value that is greater than the current quota value."
            raise QuotaError("IllegalArgumentException", text)
        place = requests.region(), quota.code
        if place in self._asked:
            text = "Only one open service quota increase request is allowed per quota."
            raise QuotaError("ResourceAlreadyExistsException", text)
        shown = self._shown(quota, is_default=False)
        now = self._context.clock.now().astimezone(datetime.UTC).timestamp()
        kept = ("ServiceCode", "ServiceName", "QuotaCode", "QuotaName", "QuotaArn", "GlobalQuota", "Unit")
        self._asked[place] = {name: shown[name] for name in kept} | {
            "Id": uuid.uuid4().hex,
            "DesiredValue": wanted,
            "Status": "PENDING",
            "Created": now,
            "LastUpdated": now,
            "Requester": json.dumps({"accountId": requests.account()}),
            "QuotaRequestedAtLevel": "ACCOUNT",
        }
        return {"RequestedQuota": self._asked[place]}

    def _requested(self) -> list[Document]:
        return [one for (region, _), one in self._asked.items() if region == requests.region()]


def install(context: Context) -> None:
    """Answer requests to Service Quotas, which MiniStack does not have."""
    authorization.add_service(_SERVICE)
    requests.replace_handler(_SERVICE, ServiceQuotas(context).handle)


def _number(value: Any) -> float:
    """Return a number of a request; -1.0 for anything else."""
    if type(value) in (int, float):
        return float(value)
    return -1.0


def _check_service(asked: Document) -> None:
    if asked.get("ServiceCode") != _EC2:
        raise QuotaError("NoSuchResourceException", "The request failed because the specified service does not exist.")


def _named(asked: Document) -> Quota:
    _check_service(asked)
    found = QUOTAS.get(str(asked.get("QuotaCode")))
    if found is None:
        raise QuotaError("NoSuchResourceException", "The request failed because the specified quota does not exist.")
    return found


def _page(asked: Document) -> tuple[int, int]:
    """Return (first place, size) of the page that the request asks for."""
    token, size = str(asked.get("NextToken") or "0"), asked.get("MaxResults") or _PAGE
    if not token.isdigit():
        raise QuotaError("InvalidPaginationTokenException", "The pagination token is not valid.")
    if not 1 <= size <= _PAGE:
        raise QuotaError("IllegalArgumentException", f"MaxResults must be 1 to {_PAGE}.")
    return int(token), int(size)
