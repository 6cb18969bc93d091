"""Wraps MiniStack's S3 handler where it answers differently than S3 does.

What a request may do is authorized in services.iam; objects and their files are MiniStack's.
"""

from pathlib import Path
from typing import Any

from localcloud.ministack import objects, requests
from localcloud.ministack.objects import Answer
from localcloud.ministack.requests import Handler
from localcloud.services.iam.authorization import authorize
from localcloud.services.s3 import disk, permissions, rules
from localcloud.services.s3.names import BucketNames
from localcloud.services.s3.races import Races, check_conflicts, place_of
from localcloud.services.s3.uploads import Uploads


def install(state: Path, names: BucketNames) -> Races:
    """Put everything below into MiniStack; once, before the first request. `state` is the cloud's directory."""
    permissions.install()
    objects.wrap_copy(_check_copy)
    objects.wrap_put(_return_checksums)
    objects.wrap_read(disk.map_parts)
    disk.Writer().install()
    races = Races()
    uploads = Uploads(state / "uploads")
    uploads.restore()
    # The wrapper that is added last sees a request first.
    handler = _hide_absent(_read_parts(_check_parts(permissions.check_bucket_policy(requests.handler("s3")))))
    handler = disk.undo_unstored(check_conflicts(races, handler))
    requests.replace_handler("s3", _refuse_malformed(names.watch(uploads.keep(handler))))
    return races


def _check_copy(copy: objects.Copy) -> objects.Copy:
    """Obey If-Match and If-None-Match in CopyObject as in PutObject."""

    def conditional(bucket: str, key: str, headers: dict[str, str]) -> Answer:
        refused = objects.failed_precondition(headers, objects.objects(bucket).get(key))
        return refused or copy(bucket, key, headers)

    return conditional


def _return_checksums(put: objects.Put) -> objects.Put:
    """Return the checksums that PutObject stored."""

    def put_with_checksums(bucket: str, key: str, body: bytes, headers: dict[str, str]) -> Answer:
        status, sent, content = put(bucket, key, body, headers)
        if status == 200:
            for algorithm, value in (objects.objects(bucket)[key].get("checksums") or {}).items():
                sent.setdefault(f"x-amz-checksum-{algorithm.lower()}", value)
        return status, sent, content

    return put_with_checksums


def _refuse_malformed(handler: Handler) -> Handler:
    """Refuse what S3 refuses without looking at its objects."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        refused = rules.refusal(method, path, headers, query)
        if refused:
            return objects.error(*refused, path)
        return await handler(method, path, headers, body, query)

    return handle


def _hide_absent(handler: Handler) -> Handler:
    """Answer 403 for an absent object when the caller may not list the bucket."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        answer = await handler(method, path, headers, body, query)
        bucket, key = place_of(path)
        absent = answer[0] == 404 and method in ("GET", "HEAD") and key and objects.bucket_exists(bucket)
        if absent and not _may_list(headers, query, bucket):
            return objects.error("AccessDenied", "Access Denied", 403, path)
        return answer

    return handle


def _may_list(headers: Any, query: Any, bucket: str) -> bool:
    key = requests.access_key(headers, query)
    return authorize(key, "s3:ListBucket", requests.region(), f"arn:aws:s3:::{bucket}") is None


def _read_parts(handler: Handler) -> Handler:
    """Read only the part of an object that a request asks for."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        token = disk.reads_part.set(method == "GET" and ("range" in headers or "partNumber" in query))
        try:
            return await handler(method, path, headers, body, query)
        finally:
            disk.reads_part.reset(token)

    return handle


def _check_parts(handler: Handler) -> Handler:
    """Refuse to complete an upload whose parts are out of order or too small."""

    async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        if method == "POST" and "uploadId" in query and (wrong := rules.wrong_parts(body, query)):
            return objects.error(*wrong, path)
        return await handler(method, path, headers, body, query)

    return handle
