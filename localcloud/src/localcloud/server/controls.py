"""The cloud's control paths under /_localcloud/, for tests and for the person who runs it, not for guests and functions.

    GET    clock           {"now": "2026-11-24T02:30:00.000000+00:00", "offset": seconds}
    POST   clock           {"advance": seconds} -> the same, and "moments", "settled" (see clock.Advanced)
    DELETE clock           returns to the machine's time
    GET    s3/conflicts    {"left": [{"count": n, "key": pattern}, ...]}
    POST   s3/conflicts    {"count": n, "key": pattern (`*` and `?`; every key without one)}
    DELETE s3/conflicts    drops all
    GET    s3/bucket-names {"seconds": n}: for so long after its deletion a bucket's name is refused (OperationAborted)
    POST   s3/bucket-names {"seconds": n}
    DELETE s3/bucket-names back to 0
    GET    cloudformation/failures  {"left": [{"logical_id": ..., "operation": ..., "stack": ..., "count": n, "reason": ...}]}
    POST   cloudformation/failures  {"logical_id": id, "operation": "create", "update" or "delete", "stack": pattern of
                                    names (every stack without one), "skip": number of operations that succeed first,
                                    "count": number that then fail (1 without), "reason": text}
    DELETE cloudformation/failures  drops all
    GET    sns/mails       {"mails": [{"topic": ARN, "to": address, "subject": ..., "message": ..., "token": ...}, ...]}
    DELETE sns/mails       drops all

The server checks who may use them; it answers `status` and the control paths of EC2 itself.
"""

import json
from dataclasses import asdict
from dataclasses import fields as dataclass_fields
from typing import Any

from localcloud.cloud.clock import AdjustableClock
from localcloud.cloud.facts import Response
from localcloud.services.s3.names import BucketNames
from localcloud.services.s3.races import Races
from localcloud.services.stacks.failures import OPERATIONS, Failure, Failures
from localcloud.services.topics import Mailbox

_MOST_SECONDS = 400 * 86400.0
_MOST_CONFLICTS = 1_000_000
_MOST_FAILURES = 1_000


class Controls:
    """Answers the paths above."""

    def __init__(
        self, clock: AdjustableClock, races: Races, names: BucketNames, failures: Failures, mailbox: Mailbox
    ) -> None:
        self._clock = clock
        self._races = races
        self._names = names
        self._failures = failures
        self._mailbox = mailbox

    async def handle(self, method: str, path: str, body: bytes) -> Response | None:
        """Answer a request for `path` below /_localcloud/; None for another path."""
        try:
            document = json.loads(body) if body else {}
        except ValueError:
            return _error(400, "the body is not JSON")
        if path not in ("clock", "s3/conflicts", "s3/bucket-names", "cloudformation/failures", "sns/mails"):
            return None
        if method not in ("GET", "POST", "DELETE"):
            return _error(405, "the method must be GET, POST or DELETE")
        fields = document if isinstance(document, dict) else {}
        if path == "clock":
            return await self._clock_path(method, fields)
        paths = {
            "s3/conflicts": self._conflicts_path,
            "s3/bucket-names": self._bucket_names_path,
            "cloudformation/failures": self._failures_path,
            "sns/mails": self._mails_path,
        }
        return paths[path](method, fields)

    async def _clock_path(self, method: str, fields: dict[str, Any]) -> Response:
        more: dict[str, Any] = {}
        if method == "POST":
            seconds: Any = fields.get("advance")
            if type(seconds) not in (int, float) or not 0 < seconds <= _MOST_SECONDS:
                return _error(400, f"`advance` must be a number of seconds above 0 and at most {_MOST_SECONDS:g}")
            advanced = await self._clock.advance(float(seconds))
            more = {"moments": advanced.moments, "settled": advanced.settled}
        elif method == "DELETE":
            self._clock.reset()
        return _answer(200, {"now": self._clock.now().isoformat(), "offset": self._clock.offset} | more)

    def _conflicts_path(self, method: str, fields: dict[str, Any]) -> Response:
        if method == "POST":
            count: Any = fields.get("count")
            key: Any = fields.get("key", "*")
            if type(count) is not int or not 0 < count <= _MOST_CONFLICTS or not isinstance(key, str):
                return _error(400, "`count` must be a whole number above 0, `key` a pattern of keys")
            self._races.inject(count, key)
        elif method == "DELETE":
            self._races.clear_injected()
        return _answer(200, {"left": [{"count": count, "key": key} for key, count in self._races.injected]})

    def _bucket_names_path(self, method: str, fields: dict[str, Any]) -> Response:
        if method == "POST":
            seconds: Any = fields.get("seconds")
            if type(seconds) not in (int, float) or not 0 <= seconds <= _MOST_SECONDS:
                return _error(400, f"`seconds` must be a number from 0 to {_MOST_SECONDS:g}")
            self._names.seconds = float(seconds)
        elif method == "DELETE":
            self._names.seconds = 0.0
        return _answer(200, {"seconds": self._names.seconds})

    def _failures_path(self, method: str, fields: dict[str, Any]) -> Response:
        if method == "POST":
            failure = _failure(fields)
            if failure is None:
                return _error(
                    400,
                    "`logical_id` must be a text, `operation` one of create, update, delete, "
                    f"`count` a whole number from 1 to {_MOST_FAILURES}, `skip` one from 0, `stack` and `reason` texts",
                )
            self._failures.add(failure)
        elif method == "DELETE":
            self._failures.clear()
        return _answer(200, {"left": [asdict(one) for one in self._failures.left]})

    def _mails_path(self, method: str, fields: dict[str, Any]) -> Response:
        del fields
        if method == "POST":
            return _error(405, "the method must be GET or DELETE")
        if method == "DELETE":
            self._mailbox.mails.clear()
        return _answer(200, {"mails": [asdict(one) for one in self._mailbox.mails]})


def _failure(fields: dict[str, Any]) -> Failure | None:
    """Return the failure that a test asks for; None when a field is missing or wrong."""
    unknown = fields.keys() - {one.name for one in dataclass_fields(Failure)}
    count, skip = fields.get("count", 1), fields.get("skip", 0)
    texts = [value for name, value in fields.items() if name not in ("count", "skip")]
    wrong = (
        unknown or not all(isinstance(value, str) for value in texts) or type(count) is not int or type(skip) is not int
    )
    if wrong or fields.get("operation") not in OPERATIONS or not fields.get("logical_id"):
        return None
    return Failure(**fields) if 0 < count <= _MOST_FAILURES and skip >= 0 else None


def _error(status: int, text: str) -> Response:
    return _answer(status, {"error": text})


def _answer(status: int, document: dict[str, Any]) -> Response:
    return status, {"Content-Type": "application/json"}, json.dumps(document).encode()
