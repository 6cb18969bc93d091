"""The state of all services on disk, so that a cloud that is killed continues as it was.

    DIR/services/NAME.json    one service's state, written atomically
    DIR/s3/                   objects: written by MiniStack at each PutObject, before it answers

A request that changes something is answered when its service's file is written. What services change by themselves
(logs, queues, stacks in progress) is written within half a second, or less often where that would take more than a
twentieth of the time. Nothing is forced through the machine's disk cache: a killed process loses nothing that it
answered, a power cut may.
"""

import asyncio
import contextlib
import errno
import hashlib
import importlib
import json
import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from localcloud.cloud.files import write_atomically
from localcloud.errors import CloudError
from localcloud.ministack import functions
from localcloud.ministack.requests import Handler, app, handler, replace_handler, service

_log = logging.getLogger("localcloud.store")
_STEP = 0.25
"""Seconds between two turns of the loop."""
_SLOW = 20
"""The loop writes at each turn for _BUSY_SECONDS after a request, then only at each turn of this number."""
_BUSY_SECONDS = 10.0
_SHARE = 20
"""A service is not written again for this many times as long as its last write took."""
_TRIES = 50
_PAUSE = 0.02
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/(?=\d{12}/)")
_FORMAT = "__ministack_format__"
_OWN_FORMAT = 1
_READING = ("Get", "Describe", "List", "Head", "BatchGet", "Lookup", "Search", "Query", "Scan", "Filter")


class State(Protocol):
    """The state of a service that localcloud keeps itself."""

    def read(self) -> Any:
        """Return the state in values that JSON has."""
        ...

    def load(self, state: Any) -> None:
        """Take what an earlier cloud's `read` returned; anything else raises an exception."""
        ...


class Store:
    """Writes the state of all services; `restore` loads it before the first request.

    `own` are the services that localcloud keeps itself, by the name of their file.
    """

    def __init__(self, directory: Path, port: int, own: dict[str, State]) -> None:
        self._port = port
        self._own = own
        self._home = directory / "services"
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._written: dict[str, bytes] = {}
        self._free_at: dict[str, float] = {}
        self._quiet_at = 0.0
        self._trouble: dict[str, str] = {}

    @property
    def trouble(self) -> str | None:
        """The current write error, as a sentence; None when there is none."""
        return next(iter(self._trouble.values()), None)

    def restore(self) -> None:
        """Load what an earlier cloud wrote, and mark stacks that it left unfinished as failed. MiniStack writes no more state.

        Raises CloudError for a file that is damaged or of a later format.
        """
        application = app()
        with functions.restoring():
            for key, name in application._state_map.items():
                self._load(key, name)
        if (self._home / "cloudformation.json").exists():
            _settle_stacks(service("cloudformation"))
        application.PERSIST_STATE = False

    def _load(self, key: str, name: str) -> None:
        """Load the state that a service's file holds; `name` is its module in MiniStack."""
        path = self._home / f"{key}.json"
        remedy = f"Restore the file from a copy, or remove it; the state of {key} is lost then."
        try:
            # Addresses of queues contain the port, which may have changed.
            text = _ADDRESS.sub(f"http://127.0.0.1:{self._port}/", path.read_text())
            whole = json.loads(text, object_hook=_persistence()._json_object_hook)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise CloudError(f"{path} is damaged: {error}.", remedy) from error
        known = self._format(key)
        found = whole.get(_FORMAT) if isinstance(whole, dict) else None
        if not isinstance(found, int) or found > known:
            raise CloudError(f"{path} has format {found}; this localcloud reads formats up to {known}.", remedy)
        try:
            if key in self._own:
                self._own[key].load(whole["payload"])
            elif whole["payload"]:
                service(name).load_persisted_state(whole["payload"])
        except Exception as error:
            raise CloudError(f"{path} cannot be understood: {type(error).__name__} {error}.", remedy) from error

    def watch(self) -> None:
        """From now on write a service's state before a request that changed it is answered."""
        keys = {module: key for key, module in app()._state_map.items()}
        for name, config in app().SERVICE_REGISTRY.items():
            replace_handler(name, self._write_before_answer(keys[config["module"]], handler(name)))

    async def run(self) -> None:
        """Write what changed without a request, until the task is canceled."""
        turn = 0
        while True:
            await asyncio.sleep(_STEP)
            turn += 1
            # Little changes long after the last request; the rest is written a bit later.
            if time.monotonic() < self._quiet_at or turn % _SLOW == 0:
                self.write()

    def write(self, everything: bool = False) -> None:
        """Write every service whose state differs from its file; `everything` also those written a moment ago."""
        now = time.monotonic()
        for key, read in self._readers().items():
            if everything or self._free_at.get(key, 0.0) <= now:
                # What a thread changed meanwhile is read again at the next turn.
                with contextlib.suppress(OSError, RuntimeError):
                    self._write(key, read)

    def _write_all(self) -> None:
        """Write every service whose state differs from its file. Raises OSError, and RuntimeError as `_write` does."""
        for key, read in self._readers().items():
            with contextlib.suppress(OSError):
                self._write(key, read)
        if self._trouble:
            raise OSError(errno.EIO, self.trouble)

    def _write_before_answer(self, key: str, inner: Handler) -> Handler:
        async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            answer = await inner(method, path, headers, body, query)
            self._quiet_at = time.monotonic() + _BUSY_SECONDS
            try:
                if key == "cloudformation":
                    # A stack changes many services in the background. What the answer shows of it must be on disk.
                    await retry_until_stable(self._write_all)
                elif _changes(key, method, path, headers, body, query):
                    read = self._readers().get(key)
                    if read is not None:
                        await retry_until_stable(lambda: self._write(key, read))
            except OSError as error:
                # The change is made but not kept, so the caller must not rely on it. `run` writes it as soon as it can.
                return _unavailable(answer, error)
            return answer

        return handle

    def _readers(self) -> dict[str, Callable[[], Any]]:
        """Return what reads the state of each service, by the name of its file."""
        own = {key: state.read for key, state in self._own.items()}
        return {**app()._build_persistence_save_dict(), **own}

    def _format(self, key: str) -> int:
        """Return the latest format of a service's file."""
        if key in self._own:
            return _OWN_FORMAT
        found: int = _persistence()._state_format_version(key)
        return found

    def _write(self, key: str, read: Callable[[], Any]) -> None:
        """Write a service's state. Raises OSError, and RuntimeError when a thread changed it while it was read."""
        began = time.monotonic()
        try:
            state = read()
            if state is None:
                return
            whole = {_FORMAT: self._format(key), "payload": state}
            data = json.dumps(whole, default=_persistence()._json_default).encode()
        except (TypeError, ValueError):
            _log.exception("the state of %s cannot be written", key)
            return
        digest = hashlib.blake2b(data).digest()
        if self._written.get(key) != digest:
            try:
                write_atomically(self._home / f"{key}.json", data)
            except OSError as error:
                if key not in self._trouble:
                    _log.error("the state of %s cannot be written: %s", key, error)
                self._trouble[key] = f"the disk does not take the state of {key}: {error.strerror}"
                raise
            self._written[key] = digest
            self._trouble.pop(key, None)
        ended = time.monotonic()
        self._free_at[key] = ended + (ended - began) * _SHARE


def _persistence() -> Any:
    return importlib.import_module("ministack.core.persistence")


async def retry_until_stable(write: Callable[[], None]) -> None:
    """Call `write` again while threads change what it reads. Raises OSError as `write` does, and after too many tries."""
    for _ in range(_TRIES):
        try:
            write()
        except RuntimeError:
            await asyncio.sleep(_PAUSE)
        else:
            return
    raise OSError(errno.EAGAIN, "it kept changing while it was read")


def _unavailable(answer: Any, error: OSError) -> Any:
    """Return the answer to a request whose change is not on disk, in the format of `answer`."""
    text = f"The disk did not take the change: {error.strerror}."
    kind = next((value for name, value in answer[1].items() if name.lower() == "content-type"), "")
    if "json" in kind:
        document = json.dumps({"__type": "ServiceUnavailableException", "message": text, "Message": text})
        return 503, {"Content-Type": kind, "x-amzn-errortype": "ServiceUnavailableException"}, document.encode()
    xml = f"<ErrorResponse><Error><Code>ServiceUnavailable</Code><Message>{text}</Message></Error></ErrorResponse>"
    return 503, {"Content-Type": "text/xml"}, xml.encode()


def _changes(key: str, method: str, path: str, headers: Any, body: bytes, query: Any) -> bool:
    """Return whether a request may have changed its service's state."""
    if method in ("GET", "HEAD", "OPTIONS"):
        return False
    if key == "s3":
        # An object's own request: MiniStack has written it already.
        return len([part for part in path.split("/") if part]) < 2
    if key == "lambda" and path.endswith("/invocations"):
        return False
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    if not action and "Action" in query:
        action = query["Action"][0]
    if not action and body.startswith(b"Action="):
        action = body[7:80].partition(b"&")[0].decode("ascii", "replace")
    return not action.startswith(_READING)


def _settle_stacks(stacks: Any) -> None:
    """Mark stacks that were in progress when the last cloud ended as failed: nothing continues them."""
    for stack in stacks._stacks.to_dict().values():
        status = stack.get("StackStatus", "")
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            verb = status.split("_")[0]
            stack["StackStatus"] = "UPDATE_ROLLBACK_FAILED" if verb == "UPDATE" else f"{verb}_FAILED"
            stack["StackStatusReason"] = "The local cloud ended while this was in progress."
