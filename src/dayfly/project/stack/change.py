"""Create, update or delete the project's stack, wait for CloudFormation, and find out why a change failed.

The stack's content is built in template.py. Nothing here knows jobs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.core import names
from dayfly.errors import Refused, SupplyError, UnfinishedError
from dayfly.flows.calls import (
    CreateStack,
    DeleteStack,
    FindStack,
    Flow,
    NoStack,
    ObjectUrl,
    PutNew,
    Stack,
    StackEvent,
    StackEvents,
    UpdateStack,
    ask,
)
from dayfly.project.waiting import ask_until

DIGEST_TAG = "dayfly:template"
"""The tag of a stack that holds the digest of its template."""
INLINE_BYTES = 51_200
"""CloudFormation's limit for a template in the request itself; it reads a larger one from the bucket."""
WITHIN_S = 900
"""How long to wait for CloudFormation."""
_UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
_ONLY_DELETABLE = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}
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
    return stack.status.endswith("_IN_PROGRESS")


def digest_of(stack: Stack | NoStack) -> str:
    """Return the digest of the template that a stack was created from; empty without a stack."""
    return stack.tags.get(DIGEST_TAG, "")


def is_current(stack: Stack | NoStack, digest: str) -> bool:
    """Return whether a stack is complete and was created from the template with this digest."""
    return stack.status in _UPDATABLE and digest_of(stack) == digest


def apply_stack(wanted: StackWanted, poll_s: float) -> Flow[Stack]:
    """Create or update the stack, wait, and return it. Raises SupplyError with the first resource that failed and why,
    UnfinishedError when the stack is in a state that a deploy must not change.
    """
    stack = yield from ask(FindStack(wanted.name))
    match stack:
        case NoStack():
            return (yield from _create(wanted, poll_s))
        case Stack(status=status) if status in _ONLY_DELETABLE:
            # Its creation or deletion failed, so CloudFormation only accepts a deletion. It has no working sweeper.
            yield from delete_stack(stack, poll_s)
            return (yield from _create(wanted, poll_s))
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
    if stack.status not in _UPDATABLE:
        raise UnfinishedError(
            f"stack {stack.name} is {stack.status}; its sweeper may still be working, so dayfly does not delete it",
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
    yield from ask(PutNew(key, body))
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
        raise SupplyError(
            f"stack {name} failed at {(yield from why_failed(name))}",
            hint=f"aws cloudformation describe-stack-events --stack-name {name}",
        )
    return stack


def delete_stack(stack: Stack, poll_s: float) -> Flow[None]:
    """Delete the stack and wait until it is gone. Raises SupplyError if CloudFormation could not delete all of it,
    UnfinishedError when it takes too long.
    """

    def is_gone(found: Stack | NoStack) -> bool:
        return found.id != stack.id

    def is_settled(found: Stack | NoStack) -> bool:
        return is_gone(found) or found.status == "DELETE_FAILED"

    yield from _wait(stack.name, lambda found: is_gone(found) or _is_deletable(found), poll_s)
    yield from ask(DeleteStack(stack.name))
    found = yield from _wait(stack.name, is_settled, poll_s)
    if is_gone(found):
        return
    if found.status == "DELETE_FAILED":
        raise SupplyError(
            f"stack {stack.name} could not be deleted: {(yield from why_failed(stack.name))}",
            hint=f"aws cloudformation describe-stack-events --stack-name {stack.name}",
        )
    raise UnfinishedError(
        f"stack {stack.name} is still {found.status} after {WITHIN_S // 60} minutes", hint="dayfly destroy"
    )


def _is_deletable(stack: Stack | NoStack) -> bool:
    """Return whether CloudFormation accepts a deletion now. It refuses while it updates the stack or rolls it back."""
    return not is_busy(stack) or stack.status in ("CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS")


def _wait(name: str, done: Callable[[Stack | NoStack], bool], poll_s: float) -> Flow[Stack | NoStack]:
    def look() -> Flow[Stack | NoStack]:
        return (yield from ask(FindStack(name)))

    return (yield from ask_until(done, look, every_s=poll_s, within_s=WITHIN_S))


def why_failed(name: str) -> Flow[str]:
    """Return the first resource that failed in the stack's newest change, and its reason."""
    return first_failure(name, (yield from ask(StackEvents(name))))


def first_failure(name: str, events: tuple[StackEvent, ...]) -> str:
    """Return `RESOURCE: REASON` of the first failure in the newest change. `events`: the stack's, newest first."""
    failed = ""
    for event in events:
        if event.status.endswith("FAILED") and event.resource != name:
            failed = f"{event.resource}: {event.reason or 'no reason given'}"
        if event.resource == name and event.reason == "User Initiated":
            break
    return failed or "an unknown resource: no event says why"
