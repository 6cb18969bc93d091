"""Resource types that MiniStack's CloudFormation creates differently than AWS does.

Only what a template's resource becomes; the engine (order, conditions, updates, change sets) is MiniStack's, and launch
templates are EC2's.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from localcloud.ministack import functions, identities, objects, stacks
from localcloud.services.s3.names import BucketNames
from localcloud.services.scheduler.api import Api
from localcloud.services.scheduler.checks import Refused
from localcloud.services.scheduler.store import DEFAULT_GROUP
from localcloud.services.stacks.failures import Failures
from localcloud.services.stacks.refusals import check, check_new, failure, reason_of
from localcloud.services.topics import Mailbox

Made = tuple[str, dict[str, Any]]
"""The physical id and the attributes of a resource."""
Props = dict[str, Any]

_SCHEDULE = (
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "FlexibleTimeWindow",
    "Target",
    "GroupName",
    "State",
    "Description",
    "StartDate",
    "EndDate",
    "KmsKeyArn",
)


def install(schedules: Api, buckets: BucketNames, failures: Failures, mailbox: Mailbox) -> None:
    """Put the types below into MiniStack's table of resource types, when the first stack is asked for."""
    stacks.install()
    stacks.before_first_stack(lambda: _replace(schedules, buckets, mailbox))
    stacks.before_first_stack(lambda: stacks.before_operations(_checks(buckets, failures)))
    stacks.before_first_stack(stacks.keep_what_a_rollback_leaves)


def _checks(buckets: BucketNames, failures: Failures) -> stacks.Operation:
    """Return the check before each operation on a resource: what a test lets fail, then what AWS refuses."""

    def checked(operation: str, kind: str, stack: str, logical_id: str, props: Props) -> None:
        failures.check(operation, stack, logical_id)
        if operation == "create":
            check_new(kind, props, buckets)
        elif operation == "update":
            check(kind, props)

    return checked


def _replace(schedules: Api, buckets: BucketNames, mailbox: Mailbox) -> None:
    stacks.set_resource_type("AWS::Scheduler::Schedule", _schedule(schedules))
    stacks.set_resource_type("AWS::Scheduler::ScheduleGroup", _schedule_group(schedules))
    stacks.set_resource_type("AWS::IAM::InstanceProfile", _instance_profile())
    stacks.set_resource_type(
        "AWS::S3::Bucket", stacks.resource_type("AWS::S3::Bucket") | {"delete": _delete_bucket(buckets)}
    )
    _after("AWS::IAM::Role", _set_boundary)
    _after("AWS::Lambda::Function", _complete_function)
    _after("AWS::SNS::Subscription", lambda _, props: mailbox.ask(props["TopicArn"]))


def _after(kind: str, finish: Callable[[str, Props], None]) -> None:
    """Call `finish` with the name and properties of each resource of that type once it is created or updated."""
    handlers = stacks.resource_type(kind)
    stacks.set_resource_type(
        kind,
        handlers
        | {
            "create": _then(handlers["create"], finish, props_at=1),
            "update": _then(handlers["update"], finish, props_at=2),
        },
    )


def _then(act: Callable[..., Made], finish: Callable[[str, Props], None], props_at: int) -> Callable[..., Made]:
    """Return `act` followed by `finish`; `props_at` is the position of the properties among the arguments of `act`."""

    def acted(*arguments: Any, **named: Any) -> Made:
        name, attributes = act(*arguments, **named)
        finish(name, arguments[props_at])
        return name, attributes

    return acted


def _delete_bucket(buckets: BucketNames) -> Callable[[str, Props], None]:
    def delete(physical_id: str, props: Props) -> None:
        """Fail the stack's deletion when the bucket holds objects."""
        del props
        status, _, body = objects.delete_bucket(physical_id)
        if status >= 400 and status != 404:
            raise failure(reason_of(body) or "The bucket cannot be deleted", "S3", status)
        buckets.deleted(physical_id)

    return delete


def _set_boundary(name: str, props: Props) -> None:
    """Set a role's permissions boundary, which MiniStack leaves out."""
    role = identities.role(name) or {}
    if props.get("PermissionsBoundary"):
        role["PermissionsBoundary"] = props["PermissionsBoundary"]
    else:
        role.pop("PermissionsBoundary", None)


def _complete_function(name: str, props: Props) -> None:
    """Set a function's dead-letter queue and concurrency; refuse a function without code or role."""
    record = functions.named(name)
    if reason := _unusable(record, props):
        functions.forget(name)
        raise failure(reason, "Lambda", 400)
    record["config"].pop("DeadLetterConfig", None)
    if props.get("DeadLetterConfig"):
        record["config"]["DeadLetterConfig"] = props["DeadLetterConfig"]
    reserved = props.get("ReservedConcurrentExecutions")
    record["concurrency"] = None if reserved is None else int(reserved)


def _unusable(record: dict[str, Any], props: Props) -> str:
    """Return why AWS would not create a function; "" when it would."""
    code = props.get("Code") or {}
    if not record.get("code_zip") and not code.get("ImageUri"):
        return f"The code at {code.get('S3Bucket')}/{code.get('S3Key')} does not exist."
    if identities.role(str(props.get("Role", "")).rpartition("/")[2]) is None:
        return "The role defined for the function cannot be assumed by Lambda."
    return ""


def _instance_profile() -> stacks.ResourceType:
    """Return the resource type of instance profiles. Ref is the name, as on AWS; MiniStack's is the ARN."""

    def create(logical_id: str, props: Props, stack: str) -> Made:
        name = props.get("InstanceProfileName") or stacks.physical_name(stack, logical_id)
        wanted = _roles(props)
        try:
            profile = identities.create_instance_profile(name, props.get("Path", "/"))
        except ValueError as error:
            raise ValueError(f"AWS::IAM::InstanceProfile create failed: {error}") from error
        profile["Roles"] = wanted
        return name, {"Arn": profile["Arn"]}

    def update(physical_id: str, old: Props, new: Props, stack: str, logical_id: str | None = None) -> Made:
        profile = identities.instance_profile(physical_id)
        renamed = new.get("InstanceProfileName") not in (None, physical_id) or new.get("Path") != old.get("Path")
        if profile is None or renamed:
            created = create(logical_id or physical_id, new, stack)
            delete(physical_id, old)
            return created
        profile["Roles"] = _roles(new)
        return physical_id, {"Arn": profile["Arn"]}

    def delete(physical_id: str, props: Props) -> None:
        del props
        identities.delete_instance_profile(physical_id)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _roles(props: Props) -> list[str]:
    """Return the roles of an instance profile. Raises ValueError for one that does not exist."""
    names = list(props.get("Roles", []))
    for name in names:
        if identities.role(name) is None:
            raise ValueError(f"The role with name {name} cannot be found. (Service: Iam, Status Code: 404)")
    return names


def _schedule(schedules: Api) -> stacks.ResourceType:
    """Return the resource type of schedules. It uses the API, so what the API refuses fails the stack."""

    def request(props: Props) -> Props:
        return {name: props[name] for name in _SCHEDULE if name in props}

    def create(logical_id: str, props: Props, stack: str) -> Made:
        name = props.get("Name") or stacks.physical_name(stack, logical_id, longest=64)
        with _refusals_fail():
            return name, {"Arn": schedules.create(name, request(props))}

    def update(physical_id: str, old: Props, new: Props, stack: str, logical_id: str | None = None) -> Made:
        moved = new.get("Name") not in (None, physical_id) or new.get("GroupName") != old.get("GroupName")
        if moved:
            created = create(logical_id or physical_id, new, stack)
            delete(physical_id, old)
            return created
        with _refusals_fail():
            return physical_id, {"Arn": schedules.replace(physical_id, request(new))}

    def delete(physical_id: str, props: Props) -> None:
        schedules.delete(props.get("GroupName", DEFAULT_GROUP), physical_id)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _schedule_group(schedules: Api) -> stacks.ResourceType:
    """Return the resource type of schedule groups. A change of the name makes a new group."""

    def create(logical_id: str, props: Props, stack: str) -> Made:
        name = props.get("Name") or stacks.physical_name(stack, logical_id, longest=64)
        with _refusals_fail():
            return name, {"Arn": schedules.create_group(name, props.get("Tags") or ())}

    def update(physical_id: str, old: Props, new: Props, stack: str, logical_id: str | None = None) -> Made:
        if new.get("Name") not in (None, physical_id):
            created = create(logical_id or physical_id, new, stack)
            delete(physical_id, old)
            return created
        removed = {tag["Key"] for tag in old.get("Tags") or ()}
        with _refusals_fail():
            return physical_id, {"Arn": schedules.change_group_tags(physical_id, removed, new.get("Tags") or ())}

    def delete(physical_id: str, props: Props) -> None:
        del props
        with _refusals_fail():
            schedules.delete_group(physical_id)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


@contextlib.contextmanager
def _refusals_fail() -> Iterator[None]:
    """Raise a refusal of the Scheduler API as the ValueError that fails a resource."""
    try:
        yield
    except Refused as refused:
        raise ValueError(f"{refused} (Service: Scheduler, Status Code: {refused.status})") from refused
