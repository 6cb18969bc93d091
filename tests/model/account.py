"""An AWS account in memory for deploy and destroy: stack, bucket, schedules, functions, images, subnets. Strict where AWS is.

CloudFormation takes time and can fail. A bucket that is not empty cannot be deleted, and S3 deletes a page at a time. A schedule
needs its group, and a launch the launcher's role. A stack whose security group is in use cannot be deleted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.facts import FleetAnswer
from dayfly.errors import Refused, RightsError, Vanished
from dayfly.flows import calls
from model.cloud import ANSWERS, BUCKET, PROJECT, ModelCloud

ACCOUNT, STACK = "000000000000", names.stack(PROJECT)
PAGE = 3
"""How many objects one request deletes here. On AWS it is a thousand."""
STACK_TAKES_S = 20
DEBIAN = "/aws/service/debian/release/13/latest/arm64"

ACCOUNT_ANSWERS = {
    **ANSWERS,
    calls.FindBucket: "find_bucket",
    calls.CreateBucket: "make_bucket",
    calls.SetUpBucket: "set_up_bucket",
    calls.MeasureBucket: "measure_bucket",
    calls.DeleteSomeObjects: "delete_some_objects",
    calls.AbortSomeUploads: "abort_some_uploads",
    calls.DeleteBucket: "delete_bucket",
    calls.ObjectUrl: "object_url",
    calls.Upload: "upload",
    calls.FindStack: "find_stack",
    calls.CreateStack: "create_stack",
    calls.UpdateStack: "update_stack",
    calls.DeleteStack: "delete_stack",
    calls.StackEvents: "stack_events",
    calls.ListSchedules: "list_schedules",
    calls.GetSchedule: "get_schedule",
    calls.CreateSchedule: "create_schedule",
    calls.UpdateSchedule: "update_schedule",
    calls.DeleteSchedule: "delete_schedule",
    calls.FindSubnets: "find_subnets",
    calls.FindParameter: "find_parameter",
    calls.FindImage: "find_image",
    calls.HasLinkedRole: "has_linked_role",
    calls.CreateLinkedRole: "make_linked_role",
    calls.Invoke: "invoke",
    calls.StopFunction: "stop_function",
    calls.StartFunction: "start_function",
}
"""Which method answers which call."""
IN_BUCKET = (
    calls.Get,
    calls.PutNew,
    calls.PutMatch,
    calls.Put,
    calls.Delete,
    calls.DeleteMany,
    calls.List,
    calls.Upload,
    calls.Download,
    calls.SetUpBucket,
    calls.MeasureBucket,
    calls.DeleteSomeObjects,
    calls.AbortSomeUploads,
)
"""The calls that S3 refuses when the bucket does not exist."""


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
class ModelAccount(ModelCloud):
    """An account in which one project is deployed, beside resources of others."""

    bucket_owner: str | None = None
    bucket_settings: calls.SetUpBucket | None = None
    uploads: set[str] = field(default_factory=set)
    stack: ModelStack | None = None
    stacks_made: int = 0
    fails_at: dict[str, str] = field(default_factory=dict)  # CREATE, UPDATE or DELETE -> the resource that fails
    schedules: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=lambda: {DEBIAN: "ami-debian"})
    images: dict[str, calls.Ec2Image] = field(
        default_factory=lambda: {
            "ami-debian": calls.Ec2Image(
                architecture="arm64", root_device="/dev/xvda", owner="136693071363", alias="", tags={}
            )
        }
    )
    subnets: tuple[calls.Subnet, ...] = (
        calls.Subnet(id="subnet-00000000000000001", vpc="vpc-default"),
        calls.Subnet(id="subnet-00000000000000002", vpc="vpc-default"),
    )
    default_subnets: tuple[str, ...] = ("subnet-00000000000000001", "subnet-00000000000000002")
    spot_role: bool = False
    invoked: list[str] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)  # functions without concurrency
    launcher_answers: list[calls.Invoked] = field(default_factory=list)

    def take_effect(self, call: calls.Call[Any]) -> Any:
        if isinstance(call, IN_BUCKET) and self.bucket_owner != ACCOUNT:
            raise Vanished(f"{type(call).__name__}: no bucket", hint="dayfly deploy")
        return getattr(self, ACCOUNT_ANSWERS[type(call)])(call)

    def pass_time(self, seconds: float) -> None:
        super().pass_time(seconds)
        if self.stack is not None and self.stack.settles is not None and self.stack.settles <= self.now:
            self._settle(self.stack)

    def leftovers(self) -> dict[str, Any]:
        """Return all that this project has in the account."""
        found = {
            "servers": [one.id for one in self.servers.values() if self._is_live(one.id)],
            "stack": self.stack.status if self.stack else None,
            "schedules": sorted(self.schedules),
            "kill_schedules": sorted(self.kill_schedules),
            "bucket": self.bucket_owner if self.bucket_owner == ACCOUNT else None,
            "objects": len(self.objects),
            "uploads": len(self.uploads),
        }
        return {name: what for name, what in found.items() if what}

    def _is_live(self, server: str) -> bool:
        one = self.servers[server]
        return one.state != "terminated" and one.tags.get(names.TAG_PROJECT) == PROJECT

    # --- bucket --------------------------------------------------------------------------------------------------------

    def find_bucket(self, call: calls.FindBucket) -> calls.BucketState:
        if self.bucket_owner is None:
            return "absent"
        return "owned" if self.bucket_owner == (call.owner or ACCOUNT) else "denied"

    def make_bucket(self, _call: calls.CreateBucket) -> bool:
        self.bucket_owner = self.bucket_owner or ACCOUNT
        return self.bucket_owner == ACCOUNT

    def set_up_bucket(self, call: calls.SetUpBucket) -> None:
        self.bucket_settings = call

    def measure_bucket(self, _call: calls.MeasureBucket) -> calls.BucketSize:
        return calls.BucketSize(objects=len(self.objects), bytes=sum(map(len, self.objects.values())))

    def delete_some_objects(self, _call: calls.DeleteSomeObjects) -> int:
        page = sorted(self.objects)[:PAGE]
        for key in page:
            del self.objects[key]
        return len(page)

    def abort_some_uploads(self, _call: calls.AbortSomeUploads) -> int:
        page = sorted(self.uploads)[:PAGE]
        self.uploads.difference_update(page)
        return len(page)

    def delete_bucket(self, _call: calls.DeleteBucket) -> bool:
        if self.bucket_owner is None:
            return True
        if self.objects or self.uploads:
            return False
        self.bucket_owner = self.bucket_settings = None
        return True

    def object_url(self, call: calls.ObjectUrl) -> str:
        return f"https://model/{call.key}"

    def upload(self, call: calls.Upload) -> bool:
        if call.key in self.objects:
            return False
        self.objects[call.key] = call.path.encode()
        return True

    # --- stack ---------------------------------------------------------------------------------------------------------

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

    # --- schedules -----------------------------------------------------------------------------------------------------

    def list_schedules(self, _call: calls.ListSchedules) -> tuple[str, ...]:
        own = ["dayfly-sweeper"] if self._has("Sweeps") else []
        return tuple(sorted([*self.schedules, *own, *map(names.kill_schedule, self.kill_schedules)]))

    def get_schedule(self, call: calls.GetSchedule) -> Mapping[str, Any] | None:
        found = self.schedules.get(call.name)
        return {**found, "Arn": f"arn:{call.name}", "ActionAfterCompletion": "NONE"} if found else None

    def create_schedule(self, call: calls.CreateSchedule) -> bool:
        self._check(call.request)
        if call.request["Name"] in self.schedules:
            return False
        self.schedules[call.request["Name"]] = call.request
        return True

    def update_schedule(self, call: calls.UpdateSchedule) -> bool:
        self._check(call.request)
        if call.request["Name"] not in self.schedules:
            return False
        self.schedules[call.request["Name"]] = call.request
        return True

    def delete_schedule(self, call: calls.DeleteSchedule) -> None:
        assert call.name != "dayfly-sweeper"
        assert not call.name.startswith(names.KILL_PREFIX)
        self.schedules.pop(call.name, None)

    def _check(self, request: Mapping[str, Any]) -> None:
        assert request["GroupName"] == STACK
        if not self._has("Group"):
            raise Vanished("no schedule group", hint="dayfly deploy")
        if not request["Target"]["Arn"].startswith("Launcher of") or not self._has("Launcher"):
            raise Refused("ValidationException: the target is not a function")

    def arm(self, call: calls.Arm) -> None:
        if not self._has("Group"):
            raise Refused("ResourceNotFoundException: Schedule group does not exist.")
        super().arm(call)

    # --- what the account has ------------------------------------------------------------------------------------------

    def find_subnets(self, call: calls.FindSubnets) -> tuple[calls.Subnet, ...]:
        wanted = call.ids or self.default_subnets
        return tuple(one for one in self.subnets if one.id in wanted)

    def find_parameter(self, call: calls.FindParameter) -> str | None:
        return self.parameters.get(call.name)

    def find_image(self, call: calls.FindImage) -> calls.Ec2Image | None:
        return self.images.get(call.ami)

    def has_linked_role(self, call: calls.HasLinkedRole) -> bool:
        assert call.service == "spot.amazonaws.com"
        return self.spot_role

    def make_linked_role(self, call: calls.CreateLinkedRole) -> None:
        assert call.service == "spot.amazonaws.com"
        self.spot_role = True

    def invoke(self, call: calls.Invoke) -> calls.Invoked | None:
        if not self._has("Launcher"):
            return None
        if call.function in self.stopped:
            raise Refused("TooManyRequestsException: Rate Exceeded.")
        self.invoked.append(call.body)
        return self.launcher_answers.pop(0)

    def stop_function(self, call: calls.StopFunction) -> None:
        if self.has_function(call.function):
            self.stopped.add(call.function)

    def start_function(self, call: calls.StartFunction) -> None:
        self.stopped.discard(call.function)

    def has_function(self, function: str) -> bool:
        logical = {names.launcher_function(PROJECT): "Launcher", names.sweeper_function(PROJECT): "Sweeper"}
        return self._has(logical[function])

    def create_fleet(self, call: calls.CreateFleet) -> FleetAnswer:
        if not self._has("LauncherRole"):
            raise RightsError("model: the launcher has no role")
        return super().create_fleet(call)

    def terminate_server(self, call: calls.TerminateServer) -> None:
        assert self.servers[call.server].tags.get(names.TAG_PROJECT) == PROJECT, "a foreign server is never ended"
        super().terminate_server(call)


__all__ = ["ACCOUNT", "BUCKET", "PAGE", "STACK", "STACK_TAKES_S", "ModelAccount", "ModelStack"]
