"""Where MiniStack's S3 answers otherwise than S3 does, on the paths we need.

What a request may do is judged in iam.py; where objects lie on disk is MiniStack's and store.py's.
"""

import contextlib
import contextvars
import fnmatch
import importlib
import itertools
import logging
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from localcloud.ministack import seams
from localcloud.services.s3 import rules as s3rules
from localcloud.services.s3.uploads import Uploads

_log = logging.getLogger("localcloud.s3")
_MAPPED_FROM = 1 << 20
_CONFLICT = "The conditional request cannot succeed due to a conflicting operation against this resource."
_NOT_STORED = "We encountered an internal error. The machine's disk did not take the object: {}."
_partial: contextvars.ContextVar[bool] = contextvars.ContextVar("localcloud_partial_read", default=False)

_began: contextvars.ContextVar[int] = contextvars.ContextVar("localcloud_request_began", default=0)

Answer = tuple[int, dict[str, str], Any]
Place = tuple[str, str]


class NotStored(Exception):
    """The disk did not take an object."""


class Races:
    """Which conditional writes overlapped a change of the same key, and those that a test wants to be told so.

    AWS: a conflicting operation during the upload is answered 409 ConditionalRequestConflict, to be tried again; a
    write that begins after the winner ended is answered 412 (API reference of PutObject and CompleteMultipartUpload,
    If-None-Match and If-Match; User Guide, "How to prevent object overwrites with conditional writes").
    """

    def __init__(self) -> None:
        self._turn = itertools.count(1)
        self._under_way: set[int] = set()
        self._changed: dict[Place, int] = {}
        self._orders: list[tuple[str, int]] = []

    @property
    def ordered(self) -> list[tuple[str, int]]:
        """(pattern of keys, how many conditional writes of such a key are still to be told 409)."""
        return list(self._orders)

    def order(self, count: int, pattern: str) -> None:
        """Answer the next `count` conditional writes of keys that match with 409."""
        self._orders.append((pattern, count))

    def forget_orders(self) -> None:
        """Order nothing any more."""
        self._orders.clear()

    @contextlib.contextmanager
    def under_way(self) -> Iterator[None]:
        """One request, from its head on: its body is still to come."""
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
        """A write or delete of that key succeeded now."""
        if len(self._under_way) > 1:
            self._changed[place] = next(self._turn)

    def lost(self, place: Place) -> bool:
        """Whether this conditional write is to be told 409."""
        for index, (pattern, count) in enumerate(self._orders):
            if fnmatch.fnmatchcase(place[1], pattern):
                self._orders[index : index + 1] = [(pattern, count - 1)] if count > 1 else []
                return True
        return self._changed.get(place, 0) > _began.get()


def install(state: Path) -> Races:
    """Put everything below into MiniStack; once, before the first request. `state` is the cloud's directory."""
    app, s3 = importlib.import_module("ministack.app"), seams.module("s3")
    seams.put(s3, "_copy_object", _conditional_copy(s3))
    seams.put(s3, "_put_object", _told_checksums(s3))
    seams.put(s3, "_read_body", _mapped(s3))
    _install_writing(s3)
    races = Races()
    uploads = Uploads(s3, state / "uploads", importlib.import_module("ministack.core.responses").get_account_id)
    uploads.restore()
    handler = uploads.handler(_stored(s3, _raced(s3, races, _handler(s3, app.SERVICE_HANDLERS["s3"]))))
    app.SERVICE_HANDLERS["s3"] = _ruled(s3, handler)
    return races


def _conditional_copy(s3: Any) -> Callable[..., Answer]:
    """CopyObject under If-Match and If-None-Match, as PutObject."""
    copy = s3._copy_object

    def conditional(bucket: str, key: str, headers: dict[str, str]) -> Answer:
        known = s3._buckets.get(bucket) or {}
        refused: Answer | None = s3._check_put_preconditions(headers, known.get("objects", {}).get(key))
        answer: Answer = refused or copy(bucket, key, headers)
        return answer

    return conditional


def _told_checksums(s3: Any) -> Callable[..., Answer]:
    """PutObject says the checksums it stored."""
    put = s3._put_object

    def told(bucket: str, key: str, body: bytes, headers: dict[str, str]) -> Answer:
        status, said, content = put(bucket, key, body, headers)
        if status == 200:
            for algorithm, value in (s3._buckets[bucket]["objects"][key].get("checksums") or {}).items():
                said.setdefault(f"x-amz-checksum-{algorithm.lower()}", value)
        return status, said, content

    return told


def _mapped(s3: Any) -> Callable[..., Any]:
    """Read a part of a large object without the rest: its file is mapped, and only sliced."""
    read = s3._read_body

    def mapped(bucket: str, key: str, record: dict[str, Any]) -> Any:
        if not _partial.get() or record.get("body") is not None or record.get("size", 0) < _MAPPED_FROM:
            return read(bucket, key, record)
        with Path(s3._object_disk_path(bucket, key)).open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    return mapped


def _handler(s3: Any, handler: Any) -> Any:
    """Objects that do not exist are hidden from who may not list; parts are read as parts, and uploaded as large ones."""
    evaluator = seams.evaluator()
    router = importlib.import_module("ministack.core.router")
    responses = importlib.import_module("ministack.core.responses")

    def may_list(headers: Any, query: Any, bucket: str) -> bool:
        key = router.extract_access_key_id(headers, query)
        arn = f"arn:aws:s3:::{bucket}"
        return evaluator.enforce(key, "s3:ListBucket", "s3", responses.get_region(), resource_arn=arn) is None

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if method == "POST" and "uploadId" in query and (wrong := s3rules.wrong_parts(s3, body, query)):
            return s3._error(*wrong, path)
        token = _partial.set(method == "GET" and ("range" in headers or "partNumber" in query))
        try:
            answer = await handler(method, path, headers, body, query)
        finally:
            _partial.reset(token)
        bucket, _, key = path.lstrip("/").partition("/")
        absent = answer[0] == 404 and method in ("GET", "HEAD") and key and s3._buckets.get(bucket) is not None
        if absent and not may_list(headers, query, bucket):
            return s3._error("AccessDenied", "Access Denied", 403, path)
        return answer

    return handle


def _install_writing(s3: Any) -> None:
    """An object's content and description go to disk both or not at all; what the disk refuses is an error of the request."""
    persist = s3._persist_object
    waiting: list[tuple[str, str]] = []
    refused: list[OSError] = []
    together = [False]

    def write(path: str, data: Any, *, text: bool = False) -> None:
        beside = f"{path}.tmp"
        try:
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(data.encode() if text else data)
        except OSError as error:
            # MiniStack would only write it to its log.
            refused.append(error)
            Path(beside).unlink(missing_ok=True)
            raise
        if together[0]:
            waiting.append((beside, path))
        else:
            os.replace(beside, path)

    def kept(bucket: str, key: str, record: Any) -> None:
        waiting.clear()
        refused.clear()
        together[0] = True
        try:
            persist(bucket, key, record)
        finally:
            together[0] = False
        # MiniStack lets go of the body once it is on disk.
        if refused or (isinstance(record, dict) and record.get("body") is not None):
            for beside, _ in waiting:
                Path(beside).unlink(missing_ok=True)
            why = refused[0].strerror if refused else "it cannot be written"
            raise NotStored(f"{bucket}/{key}: {why}")
        for beside, path in waiting:
            os.replace(beside, path)

    seams.put(s3, "_atomic_write", write)
    seams.put(s3, "_persist_object", kept)


def _stored(s3: Any, handler: Any) -> Any:
    """A write that the disk refused is answered 500, and the object is what it was before."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        bucket, key = _place(path)
        objects = (s3._buckets.get(bucket) or {}).get("objects", {})
        before = objects.get(key)
        try:
            return await handler(method, path, headers, body, query)
        except NotStored as refused:
            _log.error("not stored, for want of room or of right: %s", refused)
            if before is None:
                objects.pop(key, None)
            else:
                objects[key] = before
            return s3._error("InternalError", _NOT_STORED.format(refused), 500, path)

    return handle


def _ruled(s3: Any, handler: Any) -> Any:
    """What S3 refuses without looking at its objects goes no further."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        refused = s3rules.refusal(method, path, headers, query)
        return s3._error(*refused, path) if refused else await handler(method, path, headers, body, query)

    return handle


def _raced(s3: Any, races: Races, handler: Any) -> Any:
    """409 for a conditional write during which its key was changed, or for which a test ordered it."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        place = _place(path)
        writes = bool(place[1]) and s3rules.writes_object(method, query)
        if writes and ("if-none-match" in headers or "if-match" in headers) and races.lost(place):
            if method == "POST":
                # "S3 API Reference", CompleteMultipartUpload: after a 409 the upload is to be initiated anew.
                s3._multipart_uploads.pop(query["uploadId"][0], None)
            return s3._error("ConditionalRequestConflict", _CONFLICT, 409, path)
        answer = await handler(method, path, headers, body, query)
        if answer[0] < 300:
            if place[1] and (writes or (method == "DELETE" and "uploadId" not in query)):
                races.changed(place)
            elif not place[1] and method == "POST" and "delete" in query:
                for key in s3rules.deleted_keys(body):
                    races.changed((place[0], key))
        return answer

    return handle


def _place(path: str) -> Place:
    bucket, _, key = path.lstrip("/").partition("/")
    return bucket, key
