"""Conditional writes that overlap a change of the same key, which S3 answers with 409.

AWS: a conflicting operation during the upload is answered 409 ConditionalRequestConflict, and the client tries again; a
write that begins after the winner ended is answered 412 (API reference of PutObject and CompleteMultipartUpload,
If-None-Match and If-Match; User Guide, "How to prevent object overwrites with conditional writes"). MiniStack answers the
412. A test can also inject a 409.
"""

import contextlib
import contextvars
import fnmatch
import itertools
from collections.abc import Iterator
from typing import Any

from localcloud.ministack import objects
from localcloud.ministack.requests import Handler
from localcloud.services.s3 import rules

_CONFLICT = "The conditional request cannot succeed due to a conflicting operation against this resource."
_began: contextvars.ContextVar[int] = contextvars.ContextVar("localcloud_request_began", default=0)

Place = tuple[str, str]
"""Bucket and key."""


class Races:
    """The requests that are under way, the keys that changed meanwhile, and the conflicts that a test injected."""

    def __init__(self) -> None:
        self._turn = itertools.count(1)
        self._under_way: set[int] = set()
        self._changed: dict[Place, int] = {}
        self._injected: list[tuple[str, int]] = []

    @property
    def injected(self) -> list[tuple[str, int]]:
        """(pattern of keys, number of conditional writes of such a key that are still to be answered 409)."""
        return list(self._injected)

    def inject(self, count: int, pattern: str) -> None:
        """Answer 409 to the next `count` conditional writes of keys that match the pattern."""
        self._injected.append((pattern, count))

    def clear_injected(self) -> None:
        """Drop all conflicts that were injected and not answered yet."""
        self._injected.clear()

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """Count a request as under way inside. It begins with the request's head, before its body has arrived."""
        number = next(self._turn)
        token = _began.set(number)
        self._under_way.add(number)
        try:
            yield
        finally:
            _began.reset(token)
            self._under_way.discard(number)
            if not self._under_way:
                self._changed.clear()

    def changed(self, place: Place) -> None:
        """Note that a write or delete of that key succeeded now."""
        if len(self._under_way) > 1:
            self._changed[place] = next(self._turn)

    def conflicts(self, place: Place) -> bool:
        """Return whether the current conditional write is answered 409."""
        for index, (pattern, count) in enumerate(self._injected):
            if fnmatch.fnmatchcase(place[1], pattern):
                self._injected[index : index + 1] = [(pattern, count - 1)] if count > 1 else []
                return True
        return self._changed.get(place, 0) > _began.get()


def place_of(path: str) -> Place:
    """Return the bucket and the key of a request's path; either may be ""."""
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key


def check_conflicts(races: Races, handler: Handler) -> Handler:
    """Answer conditional writes that `races` lets conflict, and note what other requests change."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        place = place_of(path)
        writes = bool(place[1]) and rules.writes_object(method, query)
        conditional = "if-none-match" in headers or "if-match" in headers
        if writes and conditional and races.conflicts(place):
            if method == "POST":
                # "S3 API Reference", CompleteMultipartUpload: after a 409 the upload must be initiated again.
                objects.uploads().pop(query["uploadId"][0], None)
            return objects.error("ConditionalRequestConflict", _CONFLICT, 409, path)
        answer = await handler(method, path, headers, body, query)
        if answer[0] < 300:
            for key in _changed_keys(method, place, body, query):
                races.changed((place[0], key))
        return answer

    return handle


def _changed_keys(method: str, place: Place, body: bytes, query: Any) -> list[str]:
    """Return the keys that a request changed when it succeeded."""
    _, key = place
    if not key:
        return rules.deleted_keys(body) if method == "POST" and "delete" in query else []
    deletes = method == "DELETE" and "uploadId" not in query
    return [key] if deletes or rules.writes_object(method, query) else []
