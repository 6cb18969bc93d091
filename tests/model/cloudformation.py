"""CloudFormation in memory: one stack, which takes time to change and can fail. model/account.py has the rest of the account.

A change that fails is rolled back, and that may fail too. Each state accepts only the requests that AWS accepts in it. A stack
whose security group is in use cannot be deleted; its other resources are gone then.
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
UPDATABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
NOT_DELETABLE = ("UPDATE_IN_PROGRESS", "ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS")
NAMES = {"Group": "Name", "DeadLetters": "QueueName", "Topic": "TopicName", "Launcher": "FunctionName"}
"""The resources whose names can be taken here, with the property that has the name."""


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
    failed: set[str] = field(default_factory=set)
    events: list[calls.StackEvent] = field(default_factory=list)

    def note(self, resource: str, status: str, reason: str = "") -> None:
        kind = self.template.get("Resources", {}).get(resource, {}).get("Type", "AWS::CloudFormation::Stack")
        event = calls.StackEvent(
            resource=resource, status=status, reason=reason, kind=kind, physical=f"{resource.lower()}-1"
        )
        self.events.insert(0, event)


@dataclass
class CloudFormation(ModelCloud):
    """A cloud with one stack.

    `fails_at`: CREATE, UPDATE, DELETE, ROLLBACK or UPDATE_ROLLBACK -> the resource that fails. `taken`: names that exist outside the
    stack. `stopped`: functions without concurrency. `retained`: resources that a deletion left in the account.
    """

    stack: ModelStack | None = None
    stacks_made: int = 0
    fails_at: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    retained: set[str] = field(default_factory=set)
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
        if stack.status not in UPDATABLE:
            raise Refused(f"ValidationError: Stack:{stack.id} is in {stack.status} state and cannot be updated.")
        tags, template = self._read(call.request)
        if (tags, template) == (stack.tags, stack.template):
            return False
        stack.before = (stack.tags, stack.template)
        stack.tags, stack.template = tags, template
        self._begin(stack, "UPDATE")
        return True

    def continue_rollback(self, _call: calls.ContinueRollback) -> None:
        stack = self.stack
        if stack is None or stack.status != "UPDATE_ROLLBACK_FAILED":
            raise Refused(
                "ValidationError: Stack is not in UPDATE_ROLLBACK_FAILED state and cannot continue a rollback"
            )
        self._begin(stack, "UPDATE_ROLLBACK")

    def delete_stack(self, call: calls.DeleteStack) -> None:
        stack = self.stack
        if stack is None or call.name != STACK:
            return
        if stack.status in NOT_DELETABLE:
            raise Refused(f"ValidationError: Stack [{STACK}] cannot be deleted while in status {stack.status}")
        if call.retain and (stack.status != "DELETE_FAILED" or not set(call.retain) <= stack.failed):
            raise Refused("ValidationError: The specified resources to retain must be in a valid state")
        if stack.status != "DELETE_IN_PROGRESS":
            self.retained |= set(call.retain)
            self._begin(stack, "DELETE")

    def stack_events(self, call: calls.StackEvents) -> tuple[calls.StackEvent, ...]:
        return calls.newest_change(self.stack.events) if self.stack and call.name == STACK else ()

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
        stack.will_fail = self._failing(what) or self._function_without_code(stack, what)
        stack.note(STACK, stack.status, "User Initiated")

    def _failing(self, what: str) -> str:
        """Return the resource that the test lets fail; empty if there is none, or if it is to be retained."""
        found = self.fails_at.get(what, "")
        return "" if found in self.retained else found

    def _name_taken(self, stack: ModelStack) -> str:
        """Return the resource whose name something outside the stack has; empty if there is none."""
        resources = stack.template.get("Resources", {})
        wanted = {
            logical: resources[logical]["Properties"][name] for logical, name in NAMES.items() if logical in resources
        }
        return next((logical for logical, name in wanted.items() if name in self.taken), "")

    def _function_without_code(self, stack: ModelStack, what: str) -> str:
        """Return the function whose zip is not in the bucket; empty when both are there."""
        if what not in ("CREATE", "UPDATE") or "Launcher" not in stack.template["Resources"]:
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
        if what == "CREATE" and (taken := self._name_taken(stack)):
            stack.note(taken, "CREATE_FAILED", f"Resource of type with identifier {taken} already exists.")
            self._fail(stack, what)
        elif stack.will_fail:
            status = {"ROLLBACK": "DELETE_FAILED", "UPDATE_ROLLBACK": "UPDATE_FAILED"}.get(what, f"{what}_FAILED")
            stack.note(stack.will_fail, status, "model: this one fails")
            self._fail(stack, what)
        elif what == "DELETE":
            self.stack = None
            self.fails_at = {name: one for name, one in self.fails_at.items() if one not in self.retained}
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
        failed, stack.will_fail = stack.will_fail, ""
        if what in ("DELETE", "ROLLBACK"):
            # All other resources are gone.
            stack.status, stack.resources, stack.failed = f"{what}_FAILED", {failed}, {failed}
            self._delete_group()
            return
        if what == "UPDATE_ROLLBACK":
            stack.status = "UPDATE_ROLLBACK_FAILED"
            return
        if what == "UPDATE":
            assert stack.before is not None
            stack.tags, stack.template = stack.before
        rollback = {"CREATE": "ROLLBACK", "UPDATE": "UPDATE_ROLLBACK"}[what]
        stack.status, stack.will_fail = f"{rollback}_IN_PROGRESS", self._failing(rollback)
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
