"""Names of buckets that were deleted a moment ago: S3 does not give them out again at once, if a test says so.

AWS: "S3 API Reference", Error responses, OperationAborted: a conflicting conditional operation is in progress against the
resource. How long that lasts is nowhere stated, so it is 0 s unless a test sets it.
"""

from typing import Any

from localcloud.cloud.clock import Clock
from localcloud.ministack import objects
from localcloud.ministack.requests import Handler
from localcloud.services.s3.races import place_of

_MESSAGE = "A conflicting conditional operation is currently in progress against this resource. Please try again."


class BucketNames:
    """When each bucket was deleted, and for how long its name is not given out again."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = 0.0
        self._clock = clock
        self._deleted: dict[str, float] = {}

    def deleted(self, bucket: str) -> None:
        """Note that a bucket was deleted now."""
        self._deleted[bucket] = self._now()

    def refusal(self, bucket: str) -> str:
        """Return why a bucket cannot be created yet; "" when it can."""
        since = self._now() - self._deleted.get(bucket, float("-inf"))
        return _MESSAGE if since < self.seconds else ""

    def watch(self, handler: Handler) -> Handler:
        """Return a handler of S3 that obeys this for CreateBucket and learns of each DeleteBucket."""

        async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            bucket, key = place_of(path)
            whole = bool(bucket) and not key and not query
            if whole and method == "PUT" and self.refusal(bucket):
                return objects.error("OperationAborted", _MESSAGE, 409, path)
            answer = await handler(method, path, headers, body, query)
            if whole and method == "DELETE" and answer[0] < 300:
                self.deleted(bucket)
            return answer

        return handle

    def _now(self) -> float:
        return self._clock.now().timestamp()
