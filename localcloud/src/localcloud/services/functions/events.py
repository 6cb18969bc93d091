"""The queue of asynchronous invocations: every accepted event is a file until it ran, was sent on, or was given up.

So an event that was answered with 202 is not lost by a crash. Retries follow Lambda's: one minute after the first
failure, two after the second, within the function's own limits, on the cloud's clock. Running is execution.py's; what is
told to whom at the end of an event is destinations.py's.
"""

import asyncio
import json
import logging
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud.cloud.facts import Cloud
from localcloud.cloud.files import write_whole
from localcloud.errors import CloudError
from localcloud.ministack import functions, requests
from localcloud.services.functions.destinations import Destinations, Ending

_log = logging.getLogger("localcloud.functions")
_RETRIES = 2
_MAX_AGE = 21600
_WAITS = (60.0, 120.0)
_THROTTLED_FIRST = 1.0
_THROTTLED_MOST = 300.0

Item = dict[str, Any]


class Events:
    """Takes the place of MiniStack's asynchronous invocation, whose events live in memory only."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._home = cloud.state / "functions" / "events"
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = cloud.clock.now().timestamp()
        self._left = [_dated_back(_read(path), now) for path in sorted(self._home.glob("*.json"))]
        self._lives: dict[str, Item] = {}
        self._loop = asyncio.get_running_loop()
        self._destinations = Destinations(cloud)
        functions.replace_queue(self.accept)
        self._closed = threading.Event()

    def resume(self) -> None:
        """Go on with the events that an earlier cloud of this directory accepted and did not finish."""
        for item in self._left:
            self._cloud.clock.work(self._live(item))
        self._left = []

    def turned_back(self, moved: float) -> None:
        """The clock moved by `moved` (negative) seconds: what was waited and is to be waited stays as long as it was."""
        for item in [*self._lives.values(), *self._left]:
            item["accepted"] += moved
            item["due"] += moved
            self._save(item)

    def close(self) -> None:
        """Start no further attempt; what is unfinished stays on disk."""
        self._closed.set()

    def accept(self, record: dict[str, Any], event: Any) -> None:
        """Store an event and begin its first attempt; returns at once. Called from any thread."""
        config = record.get("config") or record
        now = self._cloud.clock.now().timestamp()
        item = {
            "id": str(uuid.uuid4()),
            "function": config["FunctionArn"],
            "event": event,
            "accepted": now,
            "attempts": 0,
            "throttled": 0,
            "due": now,
        }
        self._save(item)
        self._loop.call_soon_threadsafe(lambda: self._cloud.clock.work(self._live(item)))

    async def _live(self, item: Item) -> None:
        """Attempt after attempt until the event is finished or the cloud ends."""
        self._lives[item["id"]] = item
        account, region = item["function"].split(":")[4], item["function"].split(":")[3]
        while not self._closed.is_set():
            wait = item["due"] - self._cloud.clock.now().timestamp()
            if wait > 0:
                await self._cloud.clock.sleep(wait)
                continue
            try:
                finished = await _in_thread(lambda: requests.within(account, region, lambda: self._attempt(item)))
            except Exception:
                _log.exception("an event of %s stumbled", item["function"])
                finished = True
            if finished:
                del self._lives[item["id"]]
                (self._home / f"{item['id']}.json").unlink(missing_ok=True)
                return

    def _attempt(self, item: Item) -> bool:
        """Run once; True when the event is finished, else `due` says when to try again."""
        function = functions.find(item["function"])
        if function is None:
            return True
        config, limits = function.config, _limits(function.base, item["function"])
        age = self._cloud.clock.now().timestamp() - item["accepted"]
        if (item["attempts"] or item["throttled"]) and age > limits["MaximumEventAgeInSeconds"]:
            return self._end(item, config, limits, "EventAgeExceeded")
        if function.base.get("concurrency") == 0:
            # Nothing will ever run: Lambda gives the event up without a try.
            return self._end(item, config, limits, "ZeroReservedConcurrency")
        result = functions.run(function, item["event"])
        if self._closed.is_set():
            return False
        if result.get("throttle"):
            item["throttled"] += 1
            return self._again(item, min(_THROTTLED_FIRST * 2.0 ** (item["throttled"] - 1), _THROTTLED_MOST))
        item["attempts"] += 1
        if not result.get("error"):
            self._destinations.tell(config, limits, self._ending(item, result.get("body"), "Success"))
            return True
        item["last"] = result.get("body")
        if item["attempts"] > limits["MaximumRetryAttempts"]:
            return self._end(item, config, limits, "RetriesExhausted")
        wait = _WAITS[min(item["attempts"], len(_WAITS)) - 1]
        if age + wait > limits["MaximumEventAgeInSeconds"]:
            return self._end(item, config, limits, "EventAgeExceeded")
        return self._again(item, wait)

    def _again(self, item: Item, wait: float) -> bool:
        item["due"] = self._cloud.clock.now().timestamp() + wait
        self._save(item)
        return False

    def _end(self, item: Item, config: Item, limits: Item, why: str) -> bool:
        self._destinations.tell(config, limits, self._ending(item, item.get("last"), why))
        return True

    def _ending(self, item: Item, answer: Any, condition: str) -> Ending:
        return Ending(item["id"], item["event"], item["attempts"], condition, answer, self._cloud.clock.now())

    def _save(self, item: Item) -> None:
        write_whole(self._home / f"{item['id']}.json", json.dumps(item).encode())


def _dated_back(item: Item, now: float) -> Item:
    """An event of an earlier cloud whose clock was turned on: it waits no longer than its next attempt ever does."""
    item["accepted"] = min(item["accepted"], now)
    item["due"] = min(item["due"], now + max(*_WAITS, _THROTTLED_MOST if item["throttled"] else 0.0))
    return item


def _read(path: Path) -> Item:
    try:
        item: Item = json.loads(path.read_text())
        return {"throttled": 0} | item
    except ValueError as error:
        raise CloudError(
            f"{path} is damaged: {error}.", "It holds one event of a function: remove that file to go on without it."
        ) from error


def _limits(record: dict[str, Any], function: str) -> Item:
    """The function's own limits for asynchronous events, Lambda's defaults where it has none."""
    qualifier = function.split(":")[7] if function.count(":") == 7 else "$LATEST"
    every = record.get("event_invoke_configs") or {}
    own = every.get(qualifier) or every.get("") or record.get("event_invoke_config") or {}
    retries, age = own.get("MaximumRetryAttempts"), own.get("MaximumEventAgeInSeconds")
    return {
        "MaximumRetryAttempts": _RETRIES if retries is None else int(retries),
        "MaximumEventAgeInSeconds": _MAX_AGE if age is None else int(age),
        "DestinationConfig": own.get("DestinationConfig"),
    }


async def _in_thread(call: Callable[[], bool]) -> bool:
    """Run `call` in a thread of its own: a function may take its time, and must not hold up another's."""
    loop = asyncio.get_running_loop()
    promise: asyncio.Future[bool] = loop.create_future()

    def settle(result: bool, error: BaseException | None) -> None:
        if promise.done():
            return
        if error is not None:
            promise.set_exception(error)
        else:
            promise.set_result(result)

    def live() -> None:
        result, error = False, None
        try:
            result = call()
        except BaseException as raised:
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=live, name="function-event", daemon=True).start()
    return await promise
