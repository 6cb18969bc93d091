"""Create and set up the project's bucket, unless it exists, and delete it with all its objects."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from dayfly.core import resource_policies
from dayfly.errors import FileError, RightsError, Unclear, UnfinishedError, Vanished
from dayfly.flows.calls import (
    AbortSomeUploads,
    BucketCreation,
    BucketSize,
    BucketState,
    CreateBucket,
    DeleteBucket,
    DeleteSomeObjects,
    FindBucket,
    Flow,
    Log,
    MeasureBucket,
    SetUpBucket,
    ask,
)
from dayfly.project.deploy.scope import Scope
from dayfly.project.stack.given import all_tags
from dayfly.project.waiting import ask_until

ABORT_UPLOADS_AFTER_DAYS = 2
MADE_WITHIN_S = 120
"""How long to ask again for a bucket that was deleted a moment ago: S3 refuses its name until the deletion is complete."""
_VISIBLE_WITHIN_S = _SET_UP_WITHIN_S = 30
_DELETE_TRIES = 3


def bucket_exists(scope: Scope) -> Flow[bool]:
    """Return whether the project's bucket exists. Raises FileError when another account has a bucket of its name.

    Anybody can guess the name. If another account owned the bucket, it could make the project's functions run its code.
    """
    state = yield from ask(FindBucket(scope.account))
    if state == "denied":
        raise FileError(f"bucket {scope.bucket} belongs to another account, or these credentials may not read it")
    return state == "owned"


def make_bucket(scope: Scope, tags: Mapping[str, str]) -> Flow[None]:
    """Create the bucket unless it exists, and set it up in either case."""
    if not (yield from bucket_exists(scope)):
        yield from _create(scope)
        yield from _wait_until_visible(scope)
    settings = SetUpBucket(
        policy=resource_policies.bucket_policy(scope.bucket),
        tags=all_tags(scope.project, tags),
        abort_uploads_after_days=ABORT_UPLOADS_AFTER_DAYS,
    )

    def set_up() -> Flow[bool]:
        yield from ask(settings)
        return True

    # S3 refuses a setting while another command changes the bucket.
    yield from ask_until(bool, set_up, every_s=max(scope.poll_s, 1), within_s=_SET_UP_WITHIN_S)


def _create(scope: Scope) -> Flow[None]:
    """Create the bucket. Raises FileError when its name is taken, UnfinishedError when S3 does not give it back in time."""
    told: list[str] = []

    def create() -> Flow[BucketCreation]:
        made = yield from ask(CreateBucket())
        if made == "busy" and not told:
            told.append(f"bucket: S3 is not done with the last one of this name; asking again for {MADE_WITHIN_S} s")
            yield from ask(Log(told[0], {}))
        return made

    made = yield from ask_until(
        lambda made: made != "busy", create, every_s=max(scope.poll_s, 1), within_s=MADE_WITHIN_S
    )
    if made == "taken":
        raise FileError(f"bucket {scope.bucket} belongs to another account", hint="rename the project")
    if made == "busy":
        raise UnfinishedError(
            f"S3 has not completed the deletion of the last bucket {scope.bucket}; that can take an hour",
            hint="dayfly deploy, later",
        )


def _wait_until_visible(scope: Scope) -> Flow[None]:
    def look() -> Flow[BucketState]:
        return (yield from ask(FindBucket(scope.account)))

    state = yield from ask_until(
        lambda state: state == "owned", look, every_s=min(1, scope.poll_s), within_s=_VISIBLE_WITHIN_S
    )
    if state != "owned":
        raise Unclear(f"bucket {scope.bucket} was created, but S3 does not show it yet", hint="dayfly deploy")


def delete_bucket(scope: Scope) -> Flow[None]:
    """Delete all objects and unfinished uploads, then the bucket. Raises UnfinishedError if new objects keep appearing."""
    with suppress(Vanished):  # another destroy was faster
        yield from _empty_and_delete(scope)


def measure_bucket(scope: Scope) -> Flow[BucketSize | None]:
    """Return how much the bucket holds; None if there is no bucket."""
    if not (yield from bucket_exists(scope)):
        return None
    try:
        return (yield from ask(MeasureBucket()))
    except Vanished:
        return None


def _empty_and_delete(scope: Scope) -> Flow[None]:
    for _ in range(_DELETE_TRIES):
        while (yield from ask(DeleteSomeObjects())):
            pass
        while (yield from ask(AbortSomeUploads())):
            pass
        if (yield from ask(DeleteBucket())):
            return
    raise UnfinishedError(f"bucket {scope.bucket} is not empty: something still writes to it", hint="dayfly destroy")


def was_deployed(scope: Scope) -> Flow[bool]:
    """Return whether the project's bucket exists; without it nothing was deployed. Raises RightsError if it may not be read."""
    state = yield from ask(FindBucket())
    if state == "denied":
        raise RightsError(f"these credentials may not read {scope.bucket}", hint="use the profile of its account")
    return state == "owned"
