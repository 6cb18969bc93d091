"""The stacks of MiniStack's CloudFormation: their records, their resource types, and the operations on single resources.

The module that has them takes half a second to import, so it is loaded when the first stack is asked for.
"""

import importlib
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from localcloud.cloud.facts import Response
from localcloud.ministack.names import LATE, check_names
from localcloud.ministack.requests import handler, replace_handler

Record = dict[str, Any]
Props = dict[str, Any]
Operation = Callable[[str, str, str, str, Props], None]
"""Called before an operation on a resource: "create", "update" or "delete", its type, stack, logical id and properties."""
ResourceType = dict[str, Any]
"""`create`, `update` and `delete` of a type, as MiniStack calls them."""

_waiting: list[Callable[[], None]] = []


def install() -> None:
    """Make the changes that `before_first_stack` collects when the first request about stacks arrives."""
    answer = handler("cloudformation")

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        while _waiting:
            _waiting.pop(0)()
        return await answer(method, path, headers, body, query)

    replace_handler("cloudformation", handle)


def before_first_stack(change: Callable[[], None]) -> None:
    """Call `change` before the first request about stacks is answered; it may use `resource_type` and `set_resource_type`."""
    _waiting.append(change)


def resource_type(name: str) -> ResourceType:
    """Return the handlers of a resource type, such as "AWS::S3::Bucket"."""
    found: ResourceType = _provisioners()._RESOURCE_HANDLERS[name]
    return found


def set_resource_type(name: str, handlers: ResourceType) -> None:
    """Create, update and delete resources of that type by `handlers` from now on."""
    _provisioners()._RESOURCE_HANDLERS[name] = handlers


def stack(name: str) -> Record | None:
    """Return MiniStack's own record of a stack by its name or ARN, also of a deleted one; or None."""
    found: Record | None = _part("handlers")._resolve_stack(name)
    return found


def error(code: str, message: str) -> Response:
    """Return CloudFormation's answer for an error of the caller."""
    found: Response = _part("helpers")._error(code, escape(message))
    return found


def before_operations(check: Operation) -> None:
    """Call `check` before each operation on a resource of a stack; what it raises fails the resource."""
    engine = _part("stacks")
    create, update, delete = engine._provision_resource, engine._update_resource, engine._delete_resource

    def created(kind: str, logical_id: str, props: Props, stack_name: str) -> Any:
        check("create", kind, stack_name, logical_id, props)
        return create(kind, logical_id, props, stack_name)

    def updated(kind: str, physical_id: str, old: Props, new: Props, stack_name: str, *more: Any) -> Any:
        if old != new:
            check("update", kind, stack_name, str(more[0]) if more else "", new)
        return update(kind, physical_id, old, new, stack_name, *more)

    def deleted(kind: str, physical_id: str, props: Props, stack_name: str = "", logical_id: str = "") -> Any:
        check("delete", kind, stack_name, logical_id, props)
        return delete(kind, physical_id, props, stack_name, logical_id)

    engine._provision_resource = created
    engine._update_resource = updated
    engine._delete_resource = deleted


def keep_what_a_rollback_leaves() -> None:
    """Let a stack keep the resources that its failed rollback could not delete, so that its deletion tries again."""
    engine = _part("stacks")
    roll_back = engine._roll_back_operation

    async def rolled_back(name: str, arn: str, record: Record, *arguments: Any, **more: Any) -> None:
        await roll_back(name, arn, record, *arguments, **more)
        if record["StackStatus"] != "ROLLBACK_FAILED":
            return
        for logical_id, left in record.get("_rollback_failed", {}).items():
            record["_resources"].setdefault(logical_id, left | {"ResourceStatus": "DELETE_FAILED"})

    engine._roll_back_operation = rolled_back
    _part("handlers")._roll_back_operation = rolled_back


def physical_name(stack: str, logical_id: str, longest: int = 128) -> str:
    """Return a name for a resource whose template gives none."""
    found: str = _provisioners()._physical_name(stack, logical_id, max_len=longest)
    return found


def _provisioners() -> Any:
    return _part("provisioners")


def _part(name: str) -> Any:
    """Return a module of MiniStack's CloudFormation. Raises CloudError when a private name of it is gone."""
    check_names(LATE)
    return importlib.import_module(f"ministack.services.cloudformation.{name}")
