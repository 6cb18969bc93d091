"""Create, update or delete the project's stack, in whatever state it is, and wait for CloudFormation.

The stack's content is built in template.py, and failures.py says why a change failed. Nothing here knows jobs. docs/stack-states.md
says what a deploy and a destroy do in each state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.core import names
from dayfly.errors import Refused, SupplyError, UnfinishedError
from dayfly.flows.calls import (
    ContinueRollback,
    CreateStack,
    DeleteStack,
    FindStack,
    Flow,
    Log,
    NoStack,
    ObjectUrl,
    Put,
    Stack,
    StackEvent,
    StackEvents,
    UpdateStack,
    ask,
)
from dayfly.project.stack import failures
from dayfly.project.waiting import ask_until

DIGEST_TAG = "dayfly:template"
"""The tag of a stack that holds the digest of its template."""
INLINE_BYTES = 51_200
"""CloudFormation's limit for a template in the request itself; it reads a larger one from the bucket."""
WITHIN_S = 900
"""How long to wait for CloudFormation."""
DELETE_TRIES = 2
"""How often the deletion of a stack is requested before it counts as failed."""
UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
_NEVER_RUN = "REVIEW_IN_PROGRESS"
"""A stack whose change set was never executed: it has no resources, and nothing is in progress."""
_ONLY_DELETABLE = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", _NEVER_RUN}
_ROLLBACK_FAILED = "UPDATE_ROLLBACK_FAILED"
_SUCCEEDED = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


@dataclass(frozen=True, kw_only=True)
class StackWanted:
    """The stack that a deploy wants: its template as text, the digest of what the file asks for, and the tags of all its resources.

    The template may also hold what only runs of before need.
    """

    name: str
    text: str
    digest: str
    tags: Mapping[str, str]


def is_busy(stack: Stack | NoStack) -> bool:
    """Return whether CloudFormation is changing the stack now."""
    return stack.status.endswith("_IN_PROGRESS") and stack.status != _NEVER_RUN


def must_be_made_again(stack: Stack | NoStack) -> bool:
    """Return whether CloudFormation accepts only the deletion of the stack: its creation or deletion failed. It has no working sweeper."""
    return stack.status in _ONLY_DELETABLE


def digest_of(stack: Stack | NoStack) -> str:
    """Return the digest of the template that a stack was created from; empty without a stack."""
    return stack.tags.get(DIGEST_TAG, "")


def is_current(stack: Stack | NoStack, digest: str) -> bool:
    """Return whether a stack is complete and was created from the template with this digest."""
    return stack.status in UPDATABLE and digest_of(stack) == digest


def apply_stack(wanted: StackWanted, poll_s: float) -> Flow[Stack]:
    """Create or update the stack, wait, and return it. Raises SupplyError with the first resource that failed and why,
    UnfinishedError when the stack is in a state that a deploy must not change.
    """
    stack = yield from ask(FindStack(wanted.name))
    match stack:
        case NoStack():
            return (yield from _create(wanted, poll_s))
        case Stack() if must_be_made_again(stack):
            yield from _clear_name(stack, poll_s)
            return (yield from _create(wanted, poll_s))
        case Stack(status=status) if status == _ROLLBACK_FAILED:
            stack = yield from _roll_back(stack, poll_s)
    if is_busy(stack) and digest_of(stack) == wanted.digest:
        # Another deploy is already making the stack like this.
        return (yield from _finished(wanted, poll_s))
    _require_updatable(stack)
    return (yield from _update(wanted, stack, poll_s))


def _create(wanted: StackWanted, poll_s: float) -> Flow[Stack]:
    request = yield from _request(wanted)
    # If the creation fails, the stack is kept, because its events say why. The next deploy deletes it first.
    if not (yield from ask(CreateStack({**request, "OnFailure": "ROLLBACK"}))):
        raise _busy(wanted.name, "being created by another deploy")
    return (yield from _finished(wanted, poll_s))


def _update(wanted: StackWanted, stack: Stack, poll_s: float) -> Flow[Stack]:
    request = yield from _request(wanted)
    try:
        is_changing = yield from ask(UpdateStack(request))
    except Refused:
        found = yield from ask(FindStack(wanted.name))
        if is_busy(found):
            raise _busy(wanted.name, found.status) from None
        raise
    if not is_changing:
        return stack
    return (yield from _finished(wanted, poll_s))


def _require_updatable(stack: Stack) -> None:
    if is_busy(stack):
        raise _busy(stack.name, stack.status)
    if stack.status not in UPDATABLE:
        raise UnfinishedError(
            f"stack {stack.name} is {stack.status}; dayfly changes no stack in this state",
            hint=f"aws cloudformation describe-stack-events --stack-name {stack.name}",
        )


def _busy(name: str, state: str) -> UnfinishedError:
    return UnfinishedError(f"stack {name} is {state}; wait until the change has ended", hint="dayfly deploy")


def _request(wanted: StackWanted) -> Flow[dict[str, Any]]:
    pairs = {**wanted.tags, DIGEST_TAG: wanted.digest}
    request: dict[str, Any] = {
        "StackName": wanted.name,
        "Capabilities": ["CAPABILITY_IAM"],
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(pairs.items())],
    }
    body = wanted.text.encode()
    if len(body) <= INLINE_BYTES:
        return {**request, "TemplateBody": wanted.text}
    key = f"{names.FUNCTIONS}template-{hashlib.sha256(body).hexdigest()[:16]}.json"
    yield from ask(Put(key, body))
    # Not a signed link: CloudFormation reads the template with the rights of whoever deploys, and may refuse a signature.
    return {**request, "TemplateURL": (yield from ask(ObjectUrl(key)))}


def _finished(wanted: StackWanted, poll_s: float) -> Flow[Stack]:
    """Wait for the end of a creation or an update, and return the stack.

    Raises SupplyError if it failed, UnfinishedError if it takes too long.
    """
    name = wanted.name

    def is_finished(found: Stack | NoStack) -> bool:
        # A complete stack with another digest is the one from before the change.
        return is_current(found, wanted.digest) or not (is_busy(found) or found.status in _SUCCEEDED)

    stack = yield from _wait(name, is_finished, poll_s)
    if isinstance(stack, NoStack):
        raise SupplyError(f"stack {name} was deleted during the deploy", hint="dayfly deploy")
    if not is_finished(stack):
        raise UnfinishedError(
            f"stack {name} is still {stack.status} after {WITHIN_S // 60} minutes", hint="dayfly deploy"
        )
    if stack.status not in _SUCCEEDED:
        raise failures.failed_change(name, (yield from ask(StackEvents(name))), wanted.text)
    return stack


def _roll_back(stack: Stack, poll_s: float) -> Flow[Stack]:
    """Let CloudFormation go on with a rollback that failed, and return the stack. Raises SupplyError if it fails again."""
    name = stack.name
    yield from ask(Log(f"stack was {stack.status}: its rollback goes on first", {}))
    yield from ask(ContinueRollback(name))
    found = yield from _wait(name, lambda found: not is_busy(found), poll_s)
    match found:
        case Stack(status=status) if status in UPDATABLE:
            return found
        case Stack(status=status) if status == _ROLLBACK_FAILED:
            why = failures.first_failure((yield from ask(StackEvents(name))))
            raise SupplyError(
                f"stack {name} could not be rolled back: {why}",
                hint=f"aws cloudformation continue-update-rollback --stack-name {name}"
                " --resources-to-skip RESOURCE, then dayfly deploy",
            )
    raise _busy(name, found.status)


def _clear_name(stack: Stack, poll_s: float) -> Flow[None]:
    """Delete a stack that has no use, so that one of this name can be created.

    What cannot be deleted is left behind if it has no name that the new stack needs: the user has been told, and can go on.
    Raises SupplyError otherwise.
    """
    yield from ask(Log(f"stack was {stack.status}: it is deleted first", {}))
    left = yield from _delete(stack, poll_s)
    retained: dict[str, StackEvent] = {}
    while left and failures.can_be_retained(left.values()) and not left.keys() <= retained.keys():
        retained |= left
        left = yield from _delete_once(stack, poll_s, retain=tuple(sorted(left)))
    if left:
        raise _undeletable(stack, left)
    if retained:
        yield from ask(Log(f"left behind, and no longer dayfly's: {failures.described(retained.values())}", {}))


def delete_stack(stack: Stack, poll_s: float) -> Flow[None]:
    """Delete the stack and wait until it is gone. Raises SupplyError if CloudFormation could not delete all of it,
    UnfinishedError when it takes too long.

    Nothing is left outside the stack, so that the next destroy finds it again.
    """
    left = yield from _delete(stack, poll_s)
    if left:
        raise _undeletable(stack, left)


def _undeletable(stack: Stack, left: Mapping[str, StackEvent]) -> SupplyError:
    return SupplyError(
        f"stack {stack.name} could not be deleted: {failures.described(left.values())}",
        hint="remove what uses it, then dayfly destroy",
    )


def _delete(stack: Stack, poll_s: float) -> Flow[dict[str, StackEvent]]:
    """Delete the stack, again if that fails: a network interface may outlive its server by a minute. Return what cannot be deleted."""
    left: dict[str, StackEvent] = {}
    for _ in range(DELETE_TRIES):
        left = yield from _delete_once(stack, poll_s)
        if not left:
            break
    return left


def _delete_once(stack: Stack, poll_s: float, retain: tuple[str, ...] = ()) -> Flow[dict[str, StackEvent]]:
    """Request the deletion and wait for its end. Return what could not be deleted. Raises UnfinishedError when it takes too long."""

    def is_gone(found: Stack | NoStack) -> bool:
        return found.id != stack.id

    def is_settled(found: Stack | NoStack) -> bool:
        return is_gone(found) or found.status == "DELETE_FAILED"

    yield from _wait(stack.name, lambda found: is_gone(found) or _is_deletable(found), poll_s)
    yield from ask(DeleteStack(stack.name, retain))
    found = yield from _wait(stack.name, is_settled, poll_s)
    if is_gone(found):
        return {}
    if found.status != "DELETE_FAILED":
        raise UnfinishedError(
            f"stack {stack.name} is still {found.status} after {WITHIN_S // 60} minutes", hint="dayfly destroy"
        )
    left = failures.undeleted((yield from ask(StackEvents(stack.name))))
    return left or {stack.name: StackEvent(resource=stack.name, status=found.status, reason="no event says why")}


def _is_deletable(stack: Stack | NoStack) -> bool:
    """Return whether CloudFormation accepts a deletion now. It refuses while it updates the stack or rolls it back."""
    return not is_busy(stack) or stack.status in ("CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS")


def _wait(name: str, done: Callable[[Stack | NoStack], bool], poll_s: float) -> Flow[Stack | NoStack]:
    def look() -> Flow[Stack | NoStack]:
        return (yield from ask(FindStack(name)))

    return (yield from ask_until(done, look, every_s=poll_s, within_s=WITHIN_S))
