"""The Scheduler API: schedules, groups, tags and paging. localcloud's own; MiniStack's Scheduler is not used.

What a request may contain is in checks.py; due times and delivery are the engine's.
"""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from localcloud.cloud.facts import Cloud, Response
from localcloud.ministack import requests, tagging
from localcloud.services.iam.authorization import pass_role
from localcloud.services.scheduler.checks import PassRole, Refused, check_name, checked, conflict, invalid, missing
from localcloud.services.scheduler.delivery import MAX_AGE, MAX_ATTEMPTS, SERVICE
from localcloud.services.scheduler.store import DEFAULT_GROUP, Fields, Place, Schedule, Schedules

_SUMMARY = ("Arn", "Name", "GroupName", "State", "CreationDate", "LastModificationDate")
_JSON = "application/json"

Query = dict[str, Any]


def _any_role(_: str) -> None:
    """Allow every role to be passed, because a stack acts with all permissions."""


class Api:
    """Answers the requests of one cloud, each for the account and region of the current request."""

    def __init__(self, cloud: Cloud, schedules: Schedules) -> None:
        self._clock = cloud.clock
        self._store = schedules

    def install(self) -> None:
        """Answer MiniStack's requests for Scheduler, and those of the tagging API for its resources."""
        requests.replace_handler("scheduler", self.handle)
        tagging.replace_tags(
            "scheduler",
            lambda: self._store.tags_of(self._place),
            self._store.exists,
            self._store.tag,
            self._store.untag,
        )

    async def handle(self, method: str, path: str, headers: Any, body: bytes, query: Any) -> Response:
        """Answer one request."""

        def may_pass(role: str) -> str | None:
            return pass_role(headers, query, role, SERVICE)

        try:
            request = json.loads(body) if body else {}
            answer = self._answer(method, path, request, query, may_pass)
        except Refused as refused:
            text = json.dumps({"__type": refused.code, "Message": str(refused)}).encode()
            return refused.status, {"Content-Type": _JSON, "x-amzn-errortype": refused.code}, text
        except ValueError:
            return 400, {"x-amzn-errortype": "ValidationException"}, b'{"Message": "The body is not JSON."}'
        return 200, {"Content-Type": _JSON}, json.dumps(answer).encode()

    def create(self, name: str, request: Fields, may_pass: PassRole = _any_role) -> str:
        """Create a schedule and return its ARN. Raises Refused."""
        group = request.get("GroupName") or DEFAULT_GROUP
        self._group(group)
        arn, token = self._place.schedule(group, name), request.get("ClientToken")
        known = self._store.schedules.get(arn)
        if known is not None:
            if token and known.token == token:
                return arn
            raise conflict(f"Schedule {name}")
        fields = checked(request, arn, name, group, self._now(), self._clock, may_pass)
        self._store.schedules[arn] = Schedule(fields, token)
        return arn

    def replace(self, name: str, request: Fields, may_pass: PassRole = _any_role) -> str:
        """Replace every field of a schedule: what a request leaves out gets its default. Raises Refused."""
        group = request.get("GroupName") or DEFAULT_GROUP
        known = self._schedule(group, name).fields
        fields = checked(request, known["Arn"], name, group, known["CreationDate"], self._clock, may_pass)
        self._store.schedules[known["Arn"]] = Schedule(fields, request.get("ClientToken"))
        return str(known["Arn"])

    def delete(self, group: str, name: str) -> None:
        """Delete a schedule. Does nothing if it does not exist."""
        self._store.remove(self._place.schedule(group, name))

    def create_group(self, name: str, tags: Iterable[dict[str, str]] = ()) -> str:
        """Create a group and return its ARN. Raises Refused."""
        if self._store.group(self._place, name, self._now()) is not None:
            raise conflict(f"Schedule group {name}")
        arn = str(self._store.add_group(self._place, name, self._now())["Arn"])
        if tags := list(tags):
            self._store.tag(arn, _by_key(tags))
        return arn

    def change_group_tags(self, name: str, remove: Iterable[str], add: Iterable[dict[str, str]]) -> str:
        """Change a group's tags and return its ARN. Raises Refused."""
        arn = str(self._group(name)["Arn"])
        self._store.untag(arn, list(remove))
        self._store.tag(arn, _by_key(add))
        return arn

    def delete_group(self, name: str) -> None:
        """Delete a group and its schedules. Does nothing if it does not exist. Raises Refused for the default group."""
        if name == DEFAULT_GROUP:
            raise invalid("The default schedule group cannot be deleted.")
        self._store.remove(self._place.group(name))

    def _answer(self, method: str, path: str, request: Fields, query: Any, may_pass: PassRole) -> Fields:
        kind, _, name = path.strip("/").partition("/")
        if kind == "tags":
            return self._tags(method, unquote(name), request, query)
        if name:
            check_name(name)
        asked = {key: value[0] if isinstance(value, list) else value for key, value in query.items()}
        if kind == "schedules" and name:
            return self._one_schedule(method, name, request, asked, may_pass)
        if kind == "schedule-groups" and name:
            return self._one_group(method, name, request)
        if kind == "schedules":
            return self._list(asked)
        if kind == "schedule-groups":
            return self._list_groups(asked)
        raise invalid(f"No route for {method} {path}")

    def _one_schedule(self, method: str, name: str, request: Fields, asked: Query, may_pass: PassRole) -> Fields:
        if method == "POST":
            return {"ScheduleArn": self.create(name, request, may_pass)}
        if method == "PUT":
            return {"ScheduleArn": self.replace(name, request, may_pass)}
        group = asked.get("groupName") or DEFAULT_GROUP
        fields = self._schedule(group, name).fields
        if method == "DELETE":
            self.delete(group, name)
            return {}
        # AWS shows the defaults of what no request gave.
        policy = {"MaximumEventAgeInSeconds": MAX_AGE, "MaximumRetryAttempts": MAX_ATTEMPTS}
        target = fields["Target"]
        shown = {field: value for field, value in fields.items() if value is not None}
        return shown | {"Target": {**target, "RetryPolicy": policy | (target.get("RetryPolicy") or {})}}

    def _one_group(self, method: str, name: str, request: Fields) -> Fields:
        if method == "POST":
            return {"ScheduleGroupArn": self.create_group(name, request.get("Tags") or ())}
        group = self._group(name)
        if method == "DELETE":
            self.delete_group(name)
            return {}
        return group

    def _list(self, asked: Query) -> Fields:
        group, prefix, state = asked.get("ScheduleGroup"), asked.get("NamePrefix") or "", asked.get("State")
        if group:
            self._group(group)
        schedules = [one.fields for one in self._store.schedules_of(self._place)]
        found = {
            f"{fields['GroupName']}/{fields['Name']}": fields
            for fields in schedules
            if fields["Name"].startswith(prefix)
            and group in (None, "", fields["GroupName"])
            and state in (None, "", fields["State"])
        }
        return _page("Schedules", {key: _summary(fields) for key, fields in found.items()}, asked)

    def _list_groups(self, asked: Query) -> Fields:
        prefix = asked.get("NamePrefix") or ""
        groups = self._store.groups_of(self._place, self._now())
        return _page("ScheduleGroups", {one["Name"]: one for one in groups if one["Name"].startswith(prefix)}, asked)

    def _tags(self, method: str, arn: str, request: Fields, query: Any) -> Fields:
        if not arn.startswith("arn:"):
            raise invalid(f"Invalid ResourceArn: {arn}")
        # The default group is created when it is first asked for.
        self._store.group(self._place, DEFAULT_GROUP, self._now())
        if not self._place.holds(arn) or not self._store.exists(arn):
            raise missing(f"Resource {arn}")
        if method == "POST":
            self._store.tag(arn, _by_key(request.get("Tags") or ()))
        elif method == "DELETE":
            keys = query.get("TagKeys") or []
            self._store.untag(arn, [keys] if isinstance(keys, str) else keys)
        else:
            tags = self._store.tags.get(arn, {})
            return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
        return {}

    def _schedule(self, group: str, name: str) -> Schedule:
        found = self._store.schedules.get(self._place.schedule(group, name))
        if found is None:
            raise missing(f"Schedule {name}")
        return found

    def _group(self, name: str) -> Fields:
        found = self._store.group(self._place, name, self._now())
        if found is None:
            raise missing(f"Schedule group {name}")
        return found

    @property
    def _place(self) -> Place:
        return Place(requests.account(), requests.region())

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _summary(fields: Fields) -> Fields:
    return {name: fields[name] for name in _SUMMARY} | {"Target": {"Arn": fields["Target"]["Arn"]}}


def _by_key(tags: Iterable[dict[str, str]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}


def _page(name: str, found: dict[str, Fields], asked: Query) -> Fields:
    """Return one page of the items, in the order of their keys; the token is the last key of the page before."""
    size, after = int(asked.get("MaxResults") or 100), asked.get("NextToken") or ""
    rest = sorted(key for key in found if key > after)
    page: Fields = {name: [found[key] for key in rest[:size]]}
    if len(rest) > size:
        page["NextToken"] = rest[size - 1]
    return page
