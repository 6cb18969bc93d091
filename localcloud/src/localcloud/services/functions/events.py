"""The queue of asynchronous invocations: every accepted event is a file until it ran, was sent on, or was given up.

    DIR/functions/events/ID.json    one event

So an event that was answered with 202 survives a crash. Retries follow Lambda's: one minute after the first failure, two
after the second, within the function's own limits, on the cloud's clock. How a function runs is in execution.py; what is
sent at the end of an event is in destinations.py.
"""

import asyncio
import json
import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.cloud.files import write_atomically
from localcloud.errors import CloudError
from localcloud.ministack import functions, requests
from localcloud.ministack.functions import Function
from localcloud.services.functions.destinations import SUCCESS, Destinations, Ending, Limits

_log = logging.getLogger("localcloud.functions")
_RETRIES = 2
_MAX_AGE = 21600
"""Seconds; Lambda's default."""
_WAITS = (60.0, 120.0)
"""Seconds before the first and before every further retry of a failed event."""
_THROTTLED_FIRST = 1.0
_THROTTLED_MOST = 300.0


@dataclass
class Queued:
    """An event that is not finished; times are seconds of the epoch on the cloud's clock.

    `attempts` counts the runs, `throttled` the attempts that no free environment took; `last` is the last error.
    """

    function: str
    event: Any
    accepted: float
    due: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempts: int = 0
    throttled: int = 0
    last: Any = None


class EventQueue:
    """The queue of asynchronous events. It replaces MiniStack's, which keeps events in memory only."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._home = cloud.state / "functions" / "events"
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._unfinished = [_not_later(_read(path), self._now()) for path in sorted(self._home.glob("*.json"))]
        self._running: dict[str, Queued] = {}
        self._loop = asyncio.get_running_loop()
        self._destinations = Destinations(cloud)
        functions.replace_queue(self.accept)
        self._closed = threading.Event()

    def resume(self) -> None:
        """Continue with the events that an earlier cloud accepted and did not finish."""
        for queued in self._unfinished:
            self._cloud.clock.work(self._process(queued))
        self._unfinished = []

    def set_back(self, moved: float) -> None:
        """Move all times by `moved` (negative) seconds with the clock, so that every wait stays as long as it was."""
        for queued in [*self._running.values(), *self._unfinished]:
            queued.accepted += moved
            queued.due += moved
            self._save(queued)

    def close(self) -> None:
        """Start no further attempt. Unfinished events stay on disk."""
        self._closed.set()

    def accept(self, record: dict[str, Any], event: Any) -> None:
        """Store an event and start its first attempt; returns at once. Called from any thread."""
        config = record.get("config") or record
        now = self._now()
        queued = Queued(function=config["FunctionArn"], event=event, accepted=now, due=now)
        self._save(queued)
        self._loop.call_soon_threadsafe(lambda: self._cloud.clock.work(self._process(queued)))

    async def _process(self, queued: Queued) -> None:
        """Attempt until the event is finished or the cloud ends."""
        self._running[queued.id] = queued
        _, _, _, region, account, *_ = queued.function.split(":")
        while not self._closed.is_set():
            wait = queued.due - self._now()
            if wait > 0:
                await self._cloud.clock.sleep(wait)
                continue
            try:
                finished = await _in_thread(lambda: requests.within(account, region, lambda: self._attempt(queued)))
            except Exception:
                _log.exception("an event of %s failed inside the local cloud and is given up", queued.function)
                finished = True
            if finished:
                del self._running[queued.id]
                self._path(queued).unlink(missing_ok=True)
                return

    def _attempt(self, queued: Queued) -> bool:
        """Run once; True when the event is finished, otherwise `due` says when to try again."""
        function = functions.find(queued.function)
        if function is None:
            return True
        limits = _limits(function.base, queued.function)
        age, longest = self._now() - queued.accepted, limits["MaximumEventAgeInSeconds"]
        if (queued.attempts or queued.throttled) and age > longest:
            return self._end(queued, function, limits, "EventAgeExceeded")
        if function.base.get("concurrency") == 0:
            # Lambda gives such an event up without an attempt.
            return self._end(queued, function, limits, "ZeroReservedConcurrency")
        result = functions.run(function, queued.event)
        if self._closed.is_set():
            return False
        if result.get("throttle"):
            queued.throttled += 1
            return self._retry(queued, min(_THROTTLED_FIRST * 2.0 ** (queued.throttled - 1), _THROTTLED_MOST))
        queued.attempts += 1
        queued.last = result.get("body")
        if not result.get("error"):
            return self._end(queued, function, limits, SUCCESS)
        if queued.attempts > limits["MaximumRetryAttempts"]:
            return self._end(queued, function, limits, "RetriesExhausted")
        wait = _WAITS[min(queued.attempts, len(_WAITS)) - 1]
        if age + wait > longest:
            return self._end(queued, function, limits, "EventAgeExceeded")
        return self._retry(queued, wait)

    def _retry(self, queued: Queued, wait: float) -> bool:
        queued.due = self._now() + wait
        self._save(queued)
        return False

    def _end(self, queued: Queued, function: Function, limits: Limits, condition: str) -> bool:
        ending = Ending(queued.id, queued.event, queued.attempts, condition, queued.last, self._cloud.clock.now())
        self._destinations.send(function.config, limits, ending)
        return True

    def _save(self, queued: Queued) -> None:
        write_atomically(self._path(queued), json.dumps(asdict(queued)).encode())

    def _path(self, queued: Queued) -> Path:
        return self._home / f"{queued.id}.json"

    def _now(self) -> float:
        return self._cloud.clock.now().timestamp()


def _not_later(queued: Queued, now: float) -> Queued:
    """Limit the times of an event to what they could be now: the earlier cloud's clock may have been ahead."""
    longest = max(_WAITS)
    if queued.throttled:
        longest = _THROTTLED_MOST
    queued.accepted = min(queued.accepted, now)
    queued.due = min(queued.due, now + longest)
    return queued


def _read(path: Path) -> Queued:
    try:
        return Queued(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise CloudError(
            f"{path} is damaged: {error}.", "It contains one event of a function; remove the file to lose only that."
        ) from error


def _limits(record: dict[str, Any], function: str) -> Limits:
    """Return the function's own limits for asynchronous events, with Lambda's defaults."""
    qualifier = function.split(":")[7] if function.count(":") == 7 else "$LATEST"
    configs = record.get("event_invoke_configs") or {}
    own = configs.get(qualifier) or configs.get("") or record.get("event_invoke_config") or {}
    limits = {"MaximumRetryAttempts": _RETRIES, "MaximumEventAgeInSeconds": _MAX_AGE, "DestinationConfig": None}
    return limits | {name: own[name] for name in limits if own.get(name) is not None}


async def _in_thread(call: Callable[[], bool]) -> bool:
    """Return what `call` returns in a thread of its own: a slow function must not delay other functions."""
    loop = asyncio.get_running_loop()
    promise: asyncio.Future[bool] = loop.create_future()

    def settle(result: bool, error: BaseException | None) -> None:
        if promise.done():
            return
        if error is not None:
            promise.set_exception(error)
        else:
            promise.set_result(result)

    def run() -> None:
        result, error = False, None
        try:
            result = call()
        except BaseException as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="function-event", daemon=True).start()
    return await promise
