"""The resource types of MiniStack's CloudFormation.

The module that has them takes half a second to import, so it is loaded when the first stack is asked for.
"""

import importlib
from collections.abc import Callable
from typing import Any

from localcloud.ministack.names import LATE, check_names
from localcloud.ministack.requests import handler, replace_handler

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


def physical_name(stack: str, logical_id: str, longest: int = 128) -> str:
    """Return a name for a resource whose template gives none."""
    found: str = _provisioners()._physical_name(stack, logical_id, max_len=longest)
    return found


def _provisioners() -> Any:
    """Return MiniStack's module of resource types. Raises CloudError when a private name of it is gone."""
    check_names(LATE)
    return importlib.import_module("ministack.services.cloudformation.provisioners")
