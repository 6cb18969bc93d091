"""CloudFormation in memory: one stack, which takes time to change and can fail. model/account.py has the rest of the account.

A stack that fails to be created is rolled back. A stack whose security group is in use cannot be deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dayfly.core import names
from dayfly.errors import Refused, Vanished
from dayfly.flows import calls
from model.cloud import PROJECT, ModelCloud

STACK = names.stack(PROJECT)
STACK_TAKES_S = 20


@dataclass
class ModelStack:
    """A stack and the change that is in progress, which completes at `settles`."""

    id: str
    status: str
    tags: dict[str, str]
    template: dict[str, Any]
    resources: set[str] = field(default_factory=set)
    version: int = 1
    settles: datetime | None = None
    before: tuple[dict[str, str], dict[str, Any]] | None = None
    will_fail: str = ""
    events: list[calls.StackEvent] = field(default_factory=list)

    def note(self, resource: str, status: str, reason: str = "") -> None:
        self.events.insert(0, calls.StackEvent(resource=resource, status=status, reason=reason))


@dataclass
class CloudFormation(ModelCloud):
    """A cloud with one stack. `fails_at`: CREATE, UPDATE or DELETE -> the resource that fails. `stopped`: functions without concurrency."""

    stack: ModelStack | None = None
    stacks_made: int = 0
    fails_at: dict[str, str] = field(default_factory=dict)
    schedules: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)

    def pass_time(self, seconds: float) -> None:
        super().pass_time(seconds)
        if self.stack is not None and self.stack.settles is not None and self.stack.settles <= self.now:
            self._settle(self.stack)

    def find_stack(self, call: calls.FindStack) -> calls.Stack | calls.NoStack:
        stack = self.stack
        if stack is None or call.name != STACK:
            return calls.NoStack()
        outputs = {}
        if not stack.status.endswith("IN_PROGRESS") and stack.status != "ROLLBACK_COMPLETE":
            outputs = {name: f"{name} of {stack.id} v{stack.version}" for name in stack.template["Outputs"]}
        return calls.Stack(id=stack.id, name=STACK, status=stack.status, outputs=outputs, tags=dict(stack.tags))

    def create_stack(self, call: calls.CreateStack) -> bool:
        if self.stack is not None:
            return False
        self.stacks_made += 1
        tags, template = self._read(call.request)
        self.stack = ModelStack(f"stack/{self.stacks_made}", "CREATE_IN_PROGRESS", tags, template)
        # The group comes early and the functions late, so that a creation can be cut off between them.
        self.stack.resources = {name for name in template["Resources"] if name in ("Group", "Topic", "DeadLetters")}
        self._begin(self.stack, "CREATE")
        return True

    def update_stack(self, call: calls.UpdateStack) -> bool:
        stack = self.stack
        if stack is None:
            raise Vanished("no stack", hint="dayfly deploy")
        if stack.status.endswith("IN_PROGRESS") or stack.status in ("ROLLBACK_COMPLETE", "DELETE_FAILED"):
            raise Refused(f"ValidationError: Stack:{stack.id} is in {stack.status} state and cannot be updated.")
        tags, template = self._read(call.request)
        if (tags, template) == (stack.tags, stack.template):
            return False
        stack.before = (stack.tags, stack.template)
        stack.tags, stack.template = tags, template
        self._begin(stack, "UPDATE")
        return True

    def delete_stack(self, call: calls.DeleteStack) -> None:
        if self.stack is None or call.name != STACK:
            return
        if self.stack.status in ("UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"):
            raise Refused(f"ValidationError: Stack [{STACK}] cannot be deleted while in status {self.stack.status}")
        if self.stack.status != "DELETE_IN_PROGRESS":
            self._begin(self.stack, "DELETE")

    def stack_events(self, call: calls.StackEvents) -> tuple[calls.StackEvent, ...]:
        return tuple(self.stack.events) if self.stack and call.name == STACK else ()

    def _read(self, request: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        assert request["StackName"] == STACK
        assert request["Capabilities"] == ["CAPABILITY_IAM"]
        if "TemplateURL" in request:
            key = request["TemplateURL"].removeprefix("https://model/")
            # CloudFormation reads it with the caller's rights: no signature helps.
            if key not in self.objects:
                raise Refused("ValidationError: S3 error: Access Denied")
            text = self.objects[key].decode()
        else:
            text = request["TemplateBody"]
            assert len(text.encode()) <= 51_200
        return {tag["Key"]: tag["Value"] for tag in request["Tags"]}, json.loads(text)

    def _begin(self, stack: ModelStack, what: str) -> None:
        stack.status = f"{what}_IN_PROGRESS"
        stack.settles = self.now + timedelta(seconds=STACK_TAKES_S)
        stack.will_fail = self.fails_at.get(what, "") or self._function_without_code(stack, what)
        stack.note(STACK, stack.status, "User Initiated")

    def _function_without_code(self, stack: ModelStack, what: str) -> str:
        """Return the function whose zip is not in the bucket; empty when both are there."""
        if what == "DELETE" or "Launcher" not in stack.template["Resources"]:
            return ""
        keys = {
            name: stack.template["Resources"][name]["Properties"]["Code"]["S3Key"] for name in ("Launcher", "Sweeper")
        }
        return next((name for name, key in keys.items() if key not in self.objects), "")

    def _settle(self, stack: ModelStack) -> None:
        what = stack.status.removesuffix("_IN_PROGRESS")
        stack.settles = None
        if what == "DELETE" and any(self._is_live(server) for server in self.servers):
            stack.will_fail = "SecurityGroup"
        if stack.will_fail:
            stack.note(stack.will_fail, f"{what}_FAILED", "model: this one fails")
            self._fail(stack, what)
        elif what == "DELETE":
            self.stack = None
            self._delete_group()
        elif what == "ROLLBACK":
            stack.status, stack.resources = "ROLLBACK_COMPLETE", set()
            self._delete_group()
        elif what == "UPDATE_ROLLBACK":
            stack.status = "UPDATE_ROLLBACK_COMPLETE"
        else:
            stack.status, stack.version = f"{what}_COMPLETE", stack.version + (what == "UPDATE")
            stack.resources = set(stack.template["Resources"])
        if self.stack is stack:
            stack.note(STACK, stack.status)

    def _fail(self, stack: ModelStack, what: str) -> None:
        stack.will_fail = ""
        if what == "DELETE":
            stack.status = "DELETE_FAILED"
            return
        if what == "UPDATE":
            assert stack.before is not None
            stack.tags, stack.template = stack.before
        stack.status = {"CREATE": "ROLLBACK_IN_PROGRESS", "UPDATE": "UPDATE_ROLLBACK_IN_PROGRESS"}[what]
        stack.settles = self.now + timedelta(seconds=STACK_TAKES_S)

    def _delete_group(self) -> None:
        """Delete the schedules of the group, also those that no template names. Its functions go with it."""
        self.schedules.clear()
        self.kill_schedules.clear()
        self.stopped.clear()

    def _has(self, resource: str) -> bool:
        return self.stack is not None and resource in self.stack.resources

    def _is_live(self, server: str) -> bool:
        one = self.servers[server]
        return one.state != "terminated" and one.tags.get(names.TAG_PROJECT) == PROJECT
