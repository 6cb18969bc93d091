"""The Scheduler API, strict, over MiniStack's stores: schedules, groups, paging; tags stay MiniStack's.

Due times and delivery are the engine's. IAM has judged the action before; the roles passed are judged here.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from localcloud.cloud.facts import Cloud, Response
from localcloud.ministack import seams
from localcloud.services.iam import requests as iam
from localcloud.services.iam import roles
from localcloud.services.scheduler.delivery import refused_target, trust_keys
from localcloud.services.scheduler.engine import expression_of
from localcloud.services.scheduler.expressions import At, BadExpression

_NAME = r"[0-9a-zA-Z\-_.]{1,64}"
_SERVICE = "scheduler.amazonaws.com"
_DEFAULTS = {
    "ScheduleExpressionTimezone": "UTC",
    "State": "ENABLED",
    "ActionAfterCompletion": "NONE",
    "Description": None,
    "StartDate": None,
    "EndDate": None,
    "KmsKeyArn": None,
}
_SUMMARY = ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")


class Refused(Exception):
    """A request that the API refuses."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def invalid(message: str) -> Refused:
    return Refused(400, "ValidationException", message)


class Api:
    """Answers the requests of one cloud; `handle` takes the place of MiniStack's handler."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._module = seams.module("scheduler")
        self._other = self._module.handle_request

    async def handle(self, method: str, path: str, headers: Any, body: bytes, query: Any) -> Response:
        """Answer one request."""
        asked = {name: value[0] if isinstance(value, list) else value for name, value in query.items()}
        try:
            said = json.loads(body) if body else {}
            answer = self._route(method, path, said, asked, lambda role: iam.pass_role(headers, query, role, _SERVICE))
        except Refused as refused:
            text = json.dumps({"__type": refused.code, "Message": str(refused)}).encode()
            return refused.status, {"Content-Type": "application/json", "x-amzn-errortype": refused.code}, text
        except ValueError:
            return 400, {"x-amzn-errortype": "ValidationException"}, b'{"Message": "The body is not JSON."}'
        if answer is None:
            other: Response = await self._other(method, path, headers, body, query)
            return other
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def put(self, name: str, said: dict[str, Any], pass_role: Callable[[str], str | None] = lambda _: None) -> str:
        """Create a schedule and return its ARN. Raises Refused."""
        group = said.get("GroupName") or "default"
        self._group(group)
        key = f"{group}/{name}"
        known = self._module._schedules.get(key)
        if known is not None:
            if said.get("ClientToken") and known.get("_Token") == said["ClientToken"]:
                return str(known["Arn"])
            raise Refused(409, "ConflictException", f"Schedule {name} already exists.")
        record = self._record(name, group, said, self._now(), pass_role)
        self._module._schedules[key] = record
        return str(record["Arn"])

    def replace(self, name: str, said: dict[str, Any], pass_role: Callable[[str], str | None] = lambda _: None) -> str:
        """Replace every field of a schedule: what is not said falls back to its default. Raises Refused."""
        group = said.get("GroupName") or "default"
        known = self._schedule(group, name)
        record = self._record(name, group, said, known["CreationDate"], pass_role)
        self._module._schedules[f"{group}/{name}"] = record
        return str(record["Arn"])

    def _route(
        self, method: str, path: str, said: dict[str, Any], asked: dict[str, str], pass_role: Any
    ) -> dict[str, Any] | None:
        parts = path.strip("/").split("/")
        name = parts[1] if len(parts) == 2 else None
        if name is not None and parts[0] != "tags" and not re.fullmatch(_NAME, name):
            raise invalid(f"Value '{name}' at 'name' failed to satisfy constraint: {_NAME}")
        if parts[0] == "schedules":
            return self._schedules(method, name, said, asked, pass_role)
        if parts[0] == "schedule-groups":
            return self._groups(method, name, said, asked)
        return None

    def _schedules(
        self, method: str, name: str | None, said: dict[str, Any], asked: dict[str, str], pass_role: Any
    ) -> dict[str, Any]:
        if name is None:
            return self._list(asked)
        if method == "POST":
            return {"ScheduleArn": self.put(name, said, pass_role)}
        if method == "PUT":
            return {"ScheduleArn": self.replace(name, said, pass_role)}
        group = asked.get("groupName") or "default"
        record = self._schedule(group, name)
        if method == "DELETE":
            del self._module._schedules[f"{group}/{name}"]
            return {}
        shown = {field: value for field, value in record.items() if value is not None and not field.startswith("_")}
        # What nobody said is shown as its default.
        policy = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185}
        return shown | {
            "Target": {**record["Target"], "RetryPolicy": policy | (record["Target"].get("RetryPolicy") or {})}
        }

    def _groups(self, method: str, name: str | None, said: dict[str, Any], asked: dict[str, str]) -> dict[str, Any]:
        self._module._ensure_default_group()
        groups = self._module._schedule_groups
        if name is None:
            prefix = asked.get("NamePrefix") or ""
            found = sorted((g for g in groups.values() if g["Name"].startswith(prefix)), key=lambda g: g["Name"])
            return _page("ScheduleGroups", [(g["Name"], g) for g in found], asked)
        if method == "POST":
            if name in groups:
                raise Refused(409, "ConflictException", f"Schedule group {name} already exists.")
            self._module._create_schedule_group(name, said)
            return {"ScheduleGroupArn": groups[name]["Arn"]}
        group: dict[str, Any] = self._group(name)
        if method == "DELETE":
            if name == "default":
                raise invalid("The default schedule group cannot be deleted.")
            self._module._delete_schedule_group(name, {})
            return {}
        return group

    def _list(self, asked: dict[str, str]) -> dict[str, Any]:
        group, prefix, state = asked.get("ScheduleGroup"), asked.get("NamePrefix") or "", asked.get("State")
        if group:
            self._group(group)
        found = [
            (f"{r['GroupName']}/{r['Name']}", {n: r[n] for n in _SUMMARY} | {"Target": {"Arn": r["Target"]["Arn"]}})
            for r in self._module._schedules.values()
            if (not group or r["GroupName"] == group)
            and r["Name"].startswith(prefix)
            and (not state or r["State"] == state)
        ]
        return _page("Schedules", sorted(found, key=lambda pair: pair[0]), asked)

    def _record(self, name: str, group: str, said: dict[str, Any], created: float, pass_role: Any) -> dict[str, Any]:
        for field in ("ScheduleExpression", "FlexibleTimeWindow", "Target"):
            if not said.get(field):
                raise invalid(f"Value null at '{field}' failed to satisfy constraint: Member must not be null")
        now = self._now()
        record = {
            "Arn": self._module._schedule_arn(group, name),
            "Name": name,
            "GroupName": group,
            "ScheduleExpression": said["ScheduleExpression"],
            "FlexibleTimeWindow": said["FlexibleTimeWindow"],
            "Target": said["Target"],
            **{field: said.get(field, default) for field, default in _DEFAULTS.items()},
            "CreationDate": created,
            "LastModificationDate": now,
            "_Token": said.get("ClientToken"),
        }
        self._check_time(record)
        self._check_target(record, pass_role)
        return record

    def _check_time(self, record: dict[str, Any]) -> None:
        window = record["FlexibleTimeWindow"]
        if window.get("Mode") != "OFF" and not window.get("MaximumWindowInMinutes"):
            raise invalid("FlexibleTimeWindow is OFF, or FLEXIBLE with MaximumWindowInMinutes.")
        if record["State"] not in ("ENABLED", "DISABLED"):
            raise invalid(f"Value '{record['State']}' at 'state' failed to satisfy constraint: ENABLED or DISABLED")
        try:
            expression = expression_of(record)
        except BadExpression as bad:
            raise invalid(str(bad)) from bad
        if isinstance(expression, At) and expression.moment <= self._cloud.clock.now():
            raise invalid(f"Invalid Schedule Expression {record['ScheduleExpression']}: the time is in the past.")

    def _check_target(self, record: dict[str, Any], pass_role: Any) -> None:
        target = record["Target"]
        role, arn = target.get("RoleArn"), target.get("Arn")
        if not arn or not role:
            raise invalid("A target has an Arn and a RoleArn.")
        if reason := refused_target(arn):
            raise invalid(reason)
        retry = target.get("RetryPolicy") or {}
        if not 60 <= int(retry.get("MaximumEventAgeInSeconds", 60)) <= 86400:
            raise invalid("MaximumEventAgeInSeconds is between 60 and 86400.")
        if not 0 <= int(retry.get("MaximumRetryAttempts", 0)) <= 185:
            raise invalid("MaximumRetryAttempts is between 0 and 185.")
        if denied := pass_role(role):
            raise Refused(403, "AccessDeniedException", denied)
        try:
            roles.forget(roles.assume(role, _SERVICE, "check", trust_keys(record)))
        except roles.RoleRefused as refused:
            text = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
            raise invalid(text) from refused

    def _schedule(self, group: str, name: str) -> dict[str, Any]:
        record: dict[str, Any] | None = self._module._schedules.get(f"{group}/{name}")
        if record is None:
            raise Refused(404, "ResourceNotFoundException", f"Schedule {name} does not exist.")
        return record

    def _group(self, name: str) -> dict[str, Any]:
        self._module._ensure_default_group()
        group: dict[str, Any] | None = self._module._schedule_groups.get(name)
        if group is None:
            raise Refused(404, "ResourceNotFoundException", f"Schedule group {name} does not exist.")
        return group

    def _now(self) -> float:
        return self._cloud.clock.now().timestamp()


def _page(name: str, found: list[tuple[str, Any]], asked: dict[str, str]) -> dict[str, Any]:
    """One page of sorted (key, item) pairs; the token is the last key of the page before."""
    size, after = int(asked.get("MaxResults") or 100), asked.get("NextToken") or ""
    rest = [(key, item) for key, item in found if key > after]
    page: dict[str, Any] = {name: [item for _, item in rest[:size]]}
    if len(rest) > size:
        page["NextToken"] = rest[size - 1][0]
    return page
