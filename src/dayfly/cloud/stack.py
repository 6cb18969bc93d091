"""Answer the calls about CloudFormation stacks. project/stack decides which stack is wanted and what its states mean."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of, message_of
from dayfly.cloud.context import Context
from dayfly.errors import Vanished
from dayfly.flows import calls


def find(context: Context, call: calls.FindStack) -> calls.Stack | calls.NoStack:
    """Return the stack of this name. A deleted stack counts as none."""
    try:
        answer = _client(context).describe_stacks(StackName=call.name)
    except ClientError as error:
        if _no_such_stack(error):
            return calls.NoStack()
        raise
    for one in answer["Stacks"]:
        if one["StackStatus"] != "DELETE_COMPLETE":
            return _stack(one)
    return calls.NoStack()


def create(context: Context, call: calls.CreateStack) -> bool:
    """Request the creation of a stack. Returns False if one of this name exists."""
    try:
        _client(context).create_stack(**call.request)
    except ClientError as error:
        if code_of(error) == "AlreadyExistsException":
            return False
        raise
    return True


def update(context: Context, call: calls.UpdateStack) -> bool:
    """Request an update of a stack. Returns False if CloudFormation finds no difference. Raises Vanished if there is no such stack."""
    try:
        _client(context).update_stack(**call.request)
    except ClientError as error:
        # CloudFormation has no error code for this: it is a ValidationError like any other.
        if "No updates" in message_of(error):
            return False
        if _no_such_stack(error):
            raise Vanished("UpdateStack: the stack does not exist any more", hint="dayfly deploy") from error
        raise
    return True


def delete(context: Context, call: calls.DeleteStack) -> None:
    """Request the deletion of a stack. An unknown name is not an error."""
    request: dict[str, Any] = {"StackName": call.name}
    if call.retain:
        request["RetainResources"] = list(call.retain)
    _client(context).delete_stack(**request)


def continue_rollback(context: Context, call: calls.ContinueRollback) -> None:
    """Request that the rollback of an update goes on, after it failed."""
    _client(context).continue_update_rollback(StackName=call.name)


def events(context: Context, call: calls.StackEvents) -> tuple[calls.StackEvent, ...]:
    """Return the events of the stack's newest change, newest first."""
    found: list[calls.StackEvent] = []
    try:
        for page in _client(context).get_paginator("describe_stack_events").paginate(StackName=call.name):
            found += [_event(each) for each in page["StackEvents"]]
            if any(each.begins_change for each in found):
                break
    except ClientError as error:
        if not _no_such_stack(error):
            raise
    return calls.newest_change(found)


def _event(each: dict[str, Any]) -> calls.StackEvent:
    return calls.StackEvent(
        resource=each.get("LogicalResourceId", ""),
        status=each.get("ResourceStatus", ""),
        reason=each.get("ResourceStatusReason", ""),
        kind=each.get("ResourceType", ""),
        physical=each.get("PhysicalResourceId", ""),
    )


def _client(context: Context) -> Any:
    return context.aws.client("cloudformation")


def _no_such_stack(error: ClientError) -> bool:
    return code_of(error) == "ValidationError" and "does not exist" in message_of(error)


def _stack(one: dict[str, Any]) -> calls.Stack:
    return calls.Stack(
        id=one["StackId"],
        name=one["StackName"],
        status=one["StackStatus"],
        outputs={each["OutputKey"]: each["OutputValue"] for each in one.get("Outputs", [])},
        tags={tag["Key"]: tag["Value"] for tag in one.get("Tags", [])},
    )
