"""Changes the project's stack and waits for CloudFormation: create, update, delete; why a change failed.

What the stack holds is template.py's. Nothing here knows jobs.
"""

from __future__ import annotations

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
    PutNew,
    SignGet,
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
_GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
_NEVER_MADE = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}
_DONE = {"CREATE_COMPLETE", "UPDATE_COMPLETE"}


@dataclass(frozen=True, kw_only=True)
class StackWanted:
    """The stack that a deploy wants: its template as text, the digest of it, and the tags of all its resources."""

    name: str
    text: str
    digest: str
    tags: Mapping[str, str]


def is_busy(stack: Stack) -> bool:
    """Whether CloudFormation is changing it now."""
    return stack.status.endswith("_IN_PROGRESS")


def digest_of(stack: Stack | None) -> str:
    """The digest of the template that a stack was made from; empty without a stack."""
    return stack.tags.get(DIGEST_TAG, "") if stack else ""


def stands(stack: Stack | None, digest: str) -> bool:
    """Whether a stack is complete and made from the template of this digest."""
    return stack is not None and stack.status in _GOOD and digest_of(stack) == digest


def apply_stack(wanted: StackWanted, poll_s: float) -> Flow[Stack]:
    """Creates or updates the stack, waits, and returns it. Raises SupplyError with the first resource that failed and why,
    UnfinishedError when the stack is in a state that a deploy must not change.
    """
    stack = yield from ask(FindStack(wanted.name))
    if stack is not None and stack.status in _NEVER_MADE:
        # A stack whose creation failed can only be deleted; it never started a server.
        yield from delete_stack(stack, poll_s)
        stack = None
    if stack is None:
        return (yield from _create(wanted, poll_s))
    if is_busy(stack) and digest_of(stack) == wanted.digest:
        # An earlier deploy, or one at the same time, makes exactly this stack.
        return (yield from _finished(wanted, poll_s))
    _refuse_unfit(stack)
    return (yield from _update(wanted, stack, poll_s))


def _create(wanted: StackWanted, poll_s: float) -> Flow[Stack]:
    request = yield from _request(wanted)
    # A stack that fails is kept, so that its events say why; the next deploy deletes it first.
    if not (yield from ask(CreateStack({**request, "OnFailure": "ROLLBACK"}))):
        raise _busy(wanted.name, "being created by another deploy")
    return (yield from _finished(wanted, poll_s))


def _update(wanted: StackWanted, stack: Stack, poll_s: float) -> Flow[Stack]:
    request = yield from _request(wanted)
    try:
        is_changing = yield from ask(UpdateStack(request))
    except Refused:
        found = yield from ask(FindStack(wanted.name))
        if found is not None and is_busy(found):
            raise _busy(wanted.name, found.status) from None
        raise
    if not is_changing:
        return stack
    return (yield from _finished(wanted, poll_s))


def _refuse_unfit(stack: Stack) -> None:
    if is_busy(stack):
        raise _busy(stack.name, stack.status)
    if stack.status not in _GOOD:
        raise UnfinishedError(
            f"stack {stack.name} is {stack.status}; its sweeper may still be working, so dayfly does not delete it",
            hint=f"aws cloudformation describe-stack-events --stack-name {stack.name}",
        )


def _busy(name: str, state: str) -> UnfinishedError:
    return UnfinishedError(f"stack {name} is {state}; wait until it has settled", hint="dayfly deploy")


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
    key = f"{names.FUNCTIONS}template-{wanted.digest[:16]}.json"
    yield from ask(PutNew(key, body))
    link = yield from ask(SignGet(key, 3600))
    return {**request, "TemplateURL": link}


def _finished(wanted: StackWanted, poll_s: float) -> Flow[Stack]:
    """Waits for the end of a creation or an update. Raises SupplyError when it failed, UnfinishedError when it takes too long."""
    name = wanted.name

    def is_finished(found: Stack | None) -> bool:
        # A complete stack with another digest is the one from before the change.
        return found is None or stands(found, wanted.digest) or not (is_busy(found) or found.status in _DONE)

    stack = yield from _wait(name, is_finished, poll_s)
    if stack is None:
        raise SupplyError(f"stack {name} was deleted while it was deployed", hint="dayfly deploy")
    if not is_finished(stack):
        raise UnfinishedError(
            f"stack {name} is still {stack.status} after {WITHIN_S // 60} minutes", hint="dayfly deploy"
        )
    if stack.status not in _DONE:
        raise SupplyError(
            f"stack {name} failed at {(yield from why_failed(name))}",
            hint=f"aws cloudformation describe-stack-events --stack-name {name}",
        )
    return stack


def delete_stack(stack: Stack, poll_s: float) -> Flow[None]:
    """Deletes the stack and waits until it is gone. Raises SupplyError when CloudFormation could not delete all of it,
    UnfinishedError when it takes too long.
    """

    def is_gone(found: Stack | None) -> bool:
        return found is None or found.id != stack.id

    def is_settled(found: Stack | None) -> bool:
        return is_gone(found) or (found is not None and found.status == "DELETE_FAILED")

    yield from _wait(stack.name, lambda found: is_gone(found) or _is_deletable(found), poll_s)
    yield from ask(DeleteStack(stack.name))
    found = yield from _wait(stack.name, is_settled, poll_s)
    if found is None or is_gone(found):
        return
    if found.status == "DELETE_FAILED":
        raise SupplyError(
            f"stack {stack.name} could not be deleted: {(yield from why_failed(stack.name))}",
            hint=f"aws cloudformation describe-stack-events --stack-name {stack.name}",
        )
    raise UnfinishedError(
        f"stack {stack.name} is still {found.status} after {WITHIN_S // 60} minutes", hint="dayfly destroy"
    )


def _is_deletable(stack: Stack | None) -> bool:
    """Whether CloudFormation takes a deletion now. It refuses one while it updates a stack or rolls it back."""
    return stack is None or not is_busy(stack) or stack.status in ("CREATE_IN_PROGRESS", "DELETE_IN_PROGRESS")


def _wait(name: str, done: Callable[[Stack | None], bool], poll_s: float) -> Flow[Stack | None]:
    def look() -> Flow[Stack | None]:
        return (yield from ask(FindStack(name)))

    return (yield from ask_until(done, look, every_s=poll_s, within_s=WITHIN_S))


def why_failed(name: str) -> Flow[str]:
    """The first resource that failed in the stack's newest change, and its reason."""
    return first_failure(name, (yield from ask(StackEvents(name))))


def first_failure(name: str, events: tuple[StackEvent, ...]) -> str:
    """`RESOURCE: REASON` out of a stack's events, newest first. Events of earlier changes of the stack do not count."""
    failed = ""
    for event in events:
        if event.status.endswith("FAILED") and event.resource != name:
            failed = f"{event.resource}: {event.reason or 'no reason given'}"
        if event.resource == name and event.reason == "User Initiated":
            break
    return failed or "an unknown resource: no event says why"
