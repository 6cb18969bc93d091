"""Where MiniStack's S3 answers otherwise than S3 does, on the paths we need.

What a request may do is judged in iam.py; where objects lie on disk is MiniStack's and store.py's.
"""

import contextvars
import importlib
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud import seams

_MAPPED_FROM = 1 << 20
_partial: contextvars.ContextVar[bool] = contextvars.ContextVar("localcloud_partial_read", default=False)

Answer = tuple[int, dict[str, str], Any]


def install() -> None:
    """Put everything below into MiniStack; once, before the first request."""
    app, s3 = importlib.import_module("ministack.app"), seams.module("s3")
    seams.put(s3, "_copy_object", _conditional_copy(s3))
    seams.put(s3, "_put_object", _told_checksums(s3))
    seams.put(s3, "_read_body", _mapped(s3))
    app.SERVICE_HANDLERS["s3"] = _handler(s3, app.SERVICE_HANDLERS["s3"])


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
    """Objects that do not exist are hidden from who may not list; parts of objects are read as parts."""
    evaluator = seams.evaluator()
    router = importlib.import_module("ministack.core.router")
    responses = importlib.import_module("ministack.core.responses")

    def may_list(headers: Any, query: Any, bucket: str) -> bool:
        key = router.extract_access_key_id(headers, query)
        arn = f"arn:aws:s3:::{bucket}"
        return evaluator.enforce(key, "s3:ListBucket", "s3", responses.get_region(), resource_arn=arn) is None

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
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
