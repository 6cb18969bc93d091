"""An AWS account in memory for deploy and destroy: stack, bucket, schedules, functions, images, subnets. Strict where AWS is.

CloudFormation is in model/cloudformation.py. A bucket that is not empty cannot be deleted, and S3 deletes a page at a time. A schedule
needs its group, and a launch the launcher's role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.facts import FleetAnswer
from dayfly.errors import Refused, RightsError, Unclear, Vanished
from dayfly.flows import calls
from model.cloud import ANSWERS, BUCKET, PROJECT
from model.cloudformation import STACK
from model.inspected import INSPECTED_ANSWERS, Inspected

ACCOUNT = "000000000000"
PAGE = 3
"""How many objects one request deletes here. On AWS it is a thousand."""
BUCKET_NAME_BUSY_S = 40
"""How long S3 refuses the name of a deleted bucket."""
DEBIAN = "/aws/service/debian/release/13/latest/arm64"

ACCOUNT_ANSWERS = {
    **ANSWERS,
    **INSPECTED_ANSWERS,
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
    calls.ContinueRollback: "continue_rollback",
    calls.StackEvents: "stack_events",
    calls.ListSchedules: "list_schedules",
    calls.GetSchedule: "get_schedule",
    calls.CreateSchedule: "create_schedule",
    calls.UpdateSchedule: "update_schedule",
    calls.DeleteSchedule: "delete_schedule",
    calls.FindSubnets: "find_subnets",
    calls.FindOffers: "find_offers",
    calls.ListTypes: "list_types",
    calls.FindParameter: "find_parameter",
    calls.FindImage: "find_image",
    calls.HasPolicy: "has_policy",
    calls.HasLinkedRole: "has_linked_role",
    calls.CreateLinkedRole: "make_linked_role",
    calls.Invoke: "invoke",
    calls.IsStopped: "is_stopped",
    calls.MakeSecret: "make_secret",
    calls.RemoveSecret: "remove_secret",
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
class ModelAccount(Inspected):
    """An account in which one project is deployed, beside resources of others."""

    bucket_owner: str | None = None
    bucket_settings: calls.SetUpBucket | None = None
    bucket_name_free: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    uploads: set[str] = field(default_factory=set)
    parameters: dict[str, str] = field(default_factory=lambda: {DEBIAN: "ami-debian"})
    images: dict[str, calls.Ec2Image] = field(
        default_factory=lambda: {
            "ami-debian": calls.Ec2Image(
                architecture="arm64", root_device="/dev/xvda", owner="136693071363", alias="", tags={}
            )
        }
    )
    subnets: tuple[calls.Subnet, ...] = (
        calls.Subnet(id="subnet-00000000000000001", vpc="vpc-default", zone="euw1-az1"),
        calls.Subnet(id="subnet-00000000000000002", vpc="vpc-default", zone="euw1-az2"),
    )
    default_subnets: tuple[str, ...] = ("subnet-00000000000000001", "subnet-00000000000000002")
    offers: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            name: ("euw1-az1", "euw1-az2")
            for name in ("c8g.large", "c8g.xlarge", "c7g.large", "t4g.small", "m7i.large")
        }
    )
    """The zones that offer each type."""
    spot_role: bool = False
    policies: set[str] = field(default_factory=set)
    hides_policies: bool = False
    invoked: list[str] = field(default_factory=list)
    launcher_answers: list[calls.Invoked] = field(default_factory=list)

    def take_effect(self, call: calls.Call[Any]) -> Any:
        if isinstance(call, IN_BUCKET) and self.bucket_owner != ACCOUNT:
            raise Vanished(f"{type(call).__name__}: no bucket", hint="dayfly deploy")
        return getattr(self, ACCOUNT_ANSWERS[type(call)])(call)

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

    # --- bucket --------------------------------------------------------------------------------------------------------

    def find_bucket(self, call: calls.FindBucket) -> calls.BucketState:
        if self.bucket_owner is None:
            return "absent"
        return "owned" if self.bucket_owner == (call.owner or ACCOUNT) else "denied"

    def make_bucket(self, _call: calls.CreateBucket) -> calls.BucketCreation:
        if self.bucket_owner is None and self.now < self.bucket_name_free:
            return "busy"
        self.bucket_owner = self.bucket_owner or ACCOUNT
        return "made" if self.bucket_owner == ACCOUNT else "taken"

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
        self.bucket_name_free = self.now + timedelta(seconds=BUCKET_NAME_BUSY_S)
        return True

    def object_url(self, call: calls.ObjectUrl) -> str:
        return f"https://model/{call.key}"

    def upload(self, call: calls.Upload) -> bool:
        is_there = call.key in self.objects
        if not is_there or self.written[call.key] < call.fresh:
            self.written[call.key] = self.now
        if is_there:
            return False
        self.objects[call.key] = call.path.encode()
        return True

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

    def find_offers(self, call: calls.FindOffers) -> tuple[calls.Offer, ...]:
        """As EC2 does with a filter, leave out types that do not exist."""
        return tuple(calls.Offer(type=one, zone=zone) for one in call.types for zone in self.offers.get(one, ()))

    def list_types(self, _call: calls.ListTypes) -> tuple[str, ...]:
        return tuple(self.offers)

    def find_parameter(self, call: calls.FindParameter) -> str | None:
        return self.parameters.get(call.name)

    def find_image(self, call: calls.FindImage) -> calls.Ec2Image | None:
        return self.images.get(call.ami)

    def has_policy(self, call: calls.HasPolicy) -> bool:
        if self.hides_policies:
            raise RightsError("AccessDenied: iam:GetPolicy", hint="ask")
        return call.arn in self.policies

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
            raise Unclear("Invoke: no clear answer (TooManyRequestsException)")
        self.invoked.append(call.body)
        return self.launcher_answers.pop(0)

    def stop_function(self, call: calls.StopFunction) -> None:
        if self.has_function(call.function):
            self.stopped.add(call.function)

    def is_stopped(self, call: calls.IsStopped) -> bool:
        return call.function in self.stopped

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


__all__ = ["ACCOUNT", "BUCKET", "PAGE", "STACK", "ModelAccount"]
