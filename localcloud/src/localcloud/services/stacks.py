"""Resource types that MiniStack's CloudFormation makes otherwise than AWS does, made right.

Only what a template's resource becomes; the engine (order, conditions, updates, change sets) is MiniStack's, and launch
templates are EC2's.
"""

import importlib
import re
from collections.abc import Callable
from typing import Any

from localcloud.ministack import seams
from localcloud.services.scheduler.api import Api, Refused

Made = tuple[str, dict[str, Any]]
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


_waiting: list[Callable[[], None]] = []


def install(schedules: Api) -> None:
    """Put the types below into MiniStack's table of resource types, when the first stack is asked for."""
    app = importlib.import_module("ministack.app")
    handler = app.SERVICE_HANDLERS["cloudformation"]

    async def handle(*request: Any) -> Any:
        while _waiting:
            _waiting.pop(0)()
        return await handler(*request)

    app.SERVICE_HANDLERS["cloudformation"] = handle
    before_first_stack(lambda: _replace(seams.provisioners(), schedules))


def before_first_stack(change: Callable[[], None]) -> None:
    """Call `change` before the first request about stacks is answered; it may touch the table of resource types."""
    _waiting.append(change)


def _replace(provisioners: Any, schedules: Api) -> None:
    table = provisioners._RESOURCE_HANDLERS
    table["AWS::Scheduler::Schedule"] = _schedule(provisioners, schedules)
    table["AWS::IAM::InstanceProfile"] = _instance_profile(provisioners)
    table["AWS::S3::Bucket"] = table["AWS::S3::Bucket"] | {"delete": _delete_bucket}
    for kind, after in (("AWS::IAM::Role", _bound), ("AWS::Lambda::Function", _complete)):
        table[kind] = table[kind] | {
            "create": _then(table[kind]["create"], after, props_at=1),
            "update": _then(table[kind]["update"], after, props_at=2),
        }


def _then(make: Callable[..., Made], after: Callable[[str, Props], None], props_at: int) -> Callable[..., Made]:
    """`make`, and then `after` with the resource's name and its properties."""

    def made(*arguments: Any, **named: Any) -> Made:
        name, attributes = make(*arguments, **named)
        after(name, arguments[props_at])
        return name, attributes

    return made


def _delete_bucket(physical_id: str, props: Props) -> None:
    """A bucket that holds something stays, and the stack's deletion fails."""
    del props
    status, _, body = seams.module("s3")._delete_bucket(physical_id)
    if status >= 400 and status != 404:
        found = re.search(rb"<Message>(.*?)</Message>", body)
        said = found[1].decode() if found else "The bucket cannot be deleted"
        raise ValueError(f"Resource handler returned message: {said} (Service: S3, Status Code: {status})")


def _bound(name: str, props: Props) -> None:
    """A role's permissions boundary, which MiniStack leaves out."""
    role = seams.module("iam")._roles[name]
    if props.get("PermissionsBoundary"):
        role["PermissionsBoundary"] = props["PermissionsBoundary"]
    else:
        role.pop("PermissionsBoundary", None)


def _complete(name: str, props: Props) -> None:
    """A function's queue for dead letters and its concurrency; a function without code or role is refused."""
    functions = seams.module("lambda_svc")
    record = functions._functions[name]
    code = props.get("Code") or {}
    reason = None
    if not record.get("code_zip") and not code.get("ImageUri"):
        reason = f"The code at {code.get('S3Bucket')}/{code.get('S3Key')} does not exist."
    elif seams.module("iam")._roles.get(str(props.get("Role", "")).rsplit("/", 1)[-1]) is None:
        reason = "The role defined for the function cannot be assumed by Lambda."
    if reason:
        functions._functions.pop(name, None)
        raise ValueError(f"Resource handler returned message: {reason} (Service: Lambda, Status Code: 400)")
    record["config"].pop("DeadLetterConfig", None)
    if props.get("DeadLetterConfig"):
        record["config"]["DeadLetterConfig"] = props["DeadLetterConfig"]
    reserved = props.get("ReservedConcurrentExecutions")
    record["concurrency"] = None if reserved is None else int(reserved)


def _instance_profile(provisioners: Any) -> dict[str, Any]:
    """Instance profiles by name: AWS's Ref is the name, MiniStack's the ARN."""
    iam = seams.module("iam")

    def roles(props: Props) -> list[str]:
        missing = [name for name in props.get("Roles", []) if name not in iam._roles]
        if missing:
            raise ValueError(f"The role with name {missing[0]} cannot be found. (Service: Iam, Status Code: 404)")
        return list(props.get("Roles", []))

    def create(logical_id: str, props: Props, stack: str) -> Made:
        name = props.get("InstanceProfileName") or provisioners._physical_name(stack, logical_id, max_len=128)
        wanted = roles(props)
        answer = iam._create_instance_profile({"InstanceProfileName": [name], "Path": [props.get("Path", "/")]})
        if answer[0] >= 400:
            raise ValueError(f"AWS::IAM::InstanceProfile create failed: {answer[2]!r}")
        iam._instance_profiles[name]["Roles"] = wanted
        return name, {"Arn": iam._instance_profiles[name]["Arn"]}

    def update(physical_id: str, old: Props, new: Props, stack: str, logical_id: str | None = None) -> Made:
        profile = iam._instance_profiles.get(physical_id)
        renamed = new.get("InstanceProfileName") not in (None, physical_id) or new.get("Path") != old.get("Path")
        if profile is None or renamed:
            made = create(logical_id or physical_id, new, stack)
            delete(physical_id, old)
            return made
        profile["Roles"] = roles(new)
        return physical_id, {"Arn": profile["Arn"]}

    def delete(physical_id: str, props: Props) -> None:
        del props
        iam._instance_profiles.pop(physical_id, None)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}


def _schedule(provisioners: Any, schedules: Api) -> dict[str, Any]:
    """Schedules through the API, so that what it refuses fails the stack."""
    store = seams.module("scheduler")

    def said(props: Props) -> Props:
        return {name: props[name] for name in _SCHEDULE if name in props}

    def create(logical_id: str, props: Props, stack: str) -> Made:
        name = props.get("Name") or provisioners._physical_name(stack, logical_id, max_len=64)
        try:
            return name, {"Arn": schedules.put(name, said(props))}
        except Refused as refused:
            raise ValueError(f"{refused} (Service: Scheduler, Status Code: {refused.status})") from refused

    def update(physical_id: str, old: Props, new: Props, stack: str, logical_id: str | None = None) -> Made:
        moved = new.get("Name") not in (None, physical_id) or new.get("GroupName") != old.get("GroupName")
        if moved:
            made = create(logical_id or physical_id, new, stack)
            delete(physical_id, old)
            return made
        try:
            return physical_id, {"Arn": schedules.replace(physical_id, said(new))}
        except Refused as refused:
            raise ValueError(f"{refused} (Service: Scheduler, Status Code: {refused.status})") from refused

    def delete(physical_id: str, props: Props) -> None:
        store._schedules.pop(f"{props.get('GroupName', 'default')}/{physical_id}", None)

    return {"create": create, "update": update, "update_with_logical_id": True, "delete": delete}
