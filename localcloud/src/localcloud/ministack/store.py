"""Keeping the services' state on disk as it changes, so that a cloud that is killed comes back as it was.

    DIR/services/NAME.json    one service's state, in MiniStack's own format, written whole and renamed
    DIR/s3/                   objects: written by MiniStack at each PutObject, before it answers

A request that changes something is answered when its service's file is written; what services change by themselves
(logs, queues, stacks that are being made) is written within half a second, or less often where that would take more than
a twentieth of the time. Nothing is forced through the machine's own disk cache: a killed
process loses nothing that it had answered, a power cut may.
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
from typing import Any

from localcloud.cloud.files import write_whole
from localcloud.errors import CloudError
from localcloud.ministack import seams

_log = logging.getLogger("localcloud.store")
_STEP = 0.25
_SLOW = 20
_BUSY_SECONDS = 10.0
_SHARE = 20
_TRIES = 50
_PAUSE = 0.02
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/(?=\d{12}/)")
_SAME_TIME_NS = 1_000_000_000
_READING = ("Get", "Describe", "List", "Head", "BatchGet", "Lookup", "Search", "Query", "Scan", "Filter")


class Store:
    """Writes the state of MiniStack's services; `restore` has MiniStack read it before the first request."""

    def __init__(self, directory: Path, port: int) -> None:
        self._port = port
        self._home = directory / "services"
        self._home.mkdir(mode=0o700, exist_ok=True)
        self._persistence = importlib.import_module("ministack.core.persistence")
        self._app = importlib.import_module("ministack.app")
        self._written: dict[str, bytes] = {}
        self._free_at: dict[str, float] = {}
        self._quiet_at = 0.0
        self._trouble: dict[str, str] = {}

    @property
    def trouble(self) -> str | None:
        """What the disk does not take at the moment, in words; None when all is well."""
        return next(iter(self._trouble.values()), None)

    def restore(self) -> None:
        """Load what an earlier cloud wrote, and settle what it left half done."""
        functions = seams.module("lambda_svc")
        prune = functions._prune_orphan_code_blobs
        # Pruned before the new state is written, a crash in between would leave names of code that is gone.
        seams.put(functions, "_prune_orphan_code_blobs", lambda _: None)
        for key, name in self._app._state_map.items():
            self._load(key, name)
        referenced: set[str] = set()
        for record in functions._functions._data.values():
            for version in (record, *record.get("versions", {}).values()):
                if isinstance(version.get("code_zip"), bytes):
                    referenced.add(hashlib.sha256(version["code_zip"]).hexdigest())
        prune(referenced)
        _settle_functions(functions)
        if (self._home / "cloudformation.json").exists():
            _settle_stacks(seams.module("cloudformation"))

    def _load(self, key: str, name: str) -> None:
        """Have a service's module take the state that its file holds. Raises CloudError: never silently nothing."""
        path = self._home / f"{key}.json"
        remedy = f"Put the file back from a copy, or remove it: what {key} held is gone then."
        try:
            # Addresses of queues hold the port, which may have been another.
            text = _ADDRESS.sub(f"http://127.0.0.1:{self._port}/", path.read_text())
            whole = json.loads(text, object_hook=self._persistence._json_object_hook)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise CloudError(f"{path} is damaged: {error}.", remedy) from error
        known = self._persistence._state_format_version(key)
        found = whole.get("__ministack_format__") if isinstance(whole, dict) else None
        if not isinstance(found, int) or found > known:
            raise CloudError(f"{path} has format {found}; this localcloud reads formats up to {known}.", remedy)
        try:
            if whole["payload"]:
                self._app._get_module(name).load_persisted_state(whole["payload"])
        except Exception as error:
            raise CloudError(f"{path} cannot be understood: {type(error).__name__} {error}.", remedy) from error

    def watch(self) -> None:
        """From now on write a service's state before a request that changed it is answered."""
        names = {module: key for key, module in self._app._state_map.items()}
        for service, config in self._app.SERVICE_REGISTRY.items():
            key = names[config["module"]]
            self._app.SERVICE_HANDLERS[service] = self._kept(key, self._app.SERVICE_HANDLERS[service])

    async def run(self) -> None:
        """Write what changed without a request, until cancelled."""
        turn = 0
        while True:
            await asyncio.sleep(_STEP)
            turn += 1
            # Nothing changes long after the last request; a slow look remains for what nobody thought of.
            if time.monotonic() < self._quiet_at or turn % _SLOW == 0:
                self.write()

    def write(self, everything: bool = False) -> None:
        """Write every service whose state differs from its file; `everything` also those written a moment ago."""
        now = time.monotonic()
        for key, read in self._app._build_persistence_save_dict().items():
            if everything or self._free_at.get(key, 0.0) <= now:
                # What a thread changed meanwhile is read again at the next turn.
                with contextlib.suppress(OSError, RuntimeError):
                    self._write(key, read)

    def _write_all(self) -> None:
        """Write every service whose state differs from its file. Raises OSError, and RuntimeError as `settled` wants it."""
        for key, read in self._app._build_persistence_save_dict().items():
            with contextlib.suppress(OSError):
                self._write(key, read)
        if self._trouble:
            raise OSError(errno.EIO, self.trouble)

    def _kept(self, key: str, handler: Any) -> Any:
        async def handle(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
            answer = await handler(method, path, headers, body, query)
            self._quiet_at = time.monotonic() + _BUSY_SECONDS
            try:
                if key == "cloudformation":
                    # A stack goes on by itself, in many services: what a caller has seen of it must be kept.
                    await settled(self._write_all)
                elif _changes(key, method, path, headers, body, query):
                    read = self._app._build_persistence_save_dict().get(key)
                    if read is not None:
                        await settled(lambda: self._write(key, read))
            except OSError as error:
                # Done, but not kept: the caller must not count on it. It is written as soon as the disk takes it.
                return _unavailable(answer, error)
            return answer

        return handle

    def _write(self, key: str, read: Callable[[], Any]) -> None:
        """Write a service's state. Raises OSError, and RuntimeError when a thread changed it while it was read."""
        began = time.monotonic()
        try:
            state = read()
            if state is None:
                return
            whole = {"__ministack_format__": self._persistence._state_format_version(key), "payload": state}
            data = json.dumps(whole, default=self._persistence._json_default).encode()
        except (TypeError, ValueError):
            _log.exception("the state of %s cannot be written", key)
            return
        digest = hashlib.blake2b(data).digest()
        if self._written.get(key) != digest:
            try:
                write_whole(self._home / f"{key}.json", data)
            except OSError as error:
                if key not in self._trouble:
                    _log.error("the state of %s cannot be written: %s", key, error)
                self._trouble[key] = f"the disk does not take the state of {key}: {error.strerror}"
                raise
            self._written[key] = digest
            self._trouble.pop(key, None)
        ended = time.monotonic()
        self._free_at[key] = ended + (ended - began) * _SHARE


async def settled(write: Callable[[], None]) -> None:
    """Call `write` until no thread changes what it reads. Raises OSError as it does, and when that does not come."""
    for _ in range(_TRIES):
        try:
            write()
        except RuntimeError:
            await asyncio.sleep(_PAUSE)
        else:
            return
    raise OSError(errno.EAGAIN, "it went on changing while it was read")


def _unavailable(answer: Any, error: OSError) -> Any:
    """The answer in place of `answer` whose change is not on disk, in the same format."""
    text = f"The disk did not take the change: {error.strerror}."
    kind = next((value for name, value in answer[1].items() if name.lower() == "content-type"), "")
    if "json" in kind:
        said = json.dumps({"__type": "ServiceUnavailableException", "message": text, "Message": text})
        return 503, {"Content-Type": kind, "x-amzn-errortype": "ServiceUnavailableException"}, said.encode()
    said = f"<ErrorResponse><Error><Code>ServiceUnavailable</Code><Message>{text}</Message></Error></ErrorResponse>"
    return 503, {"Content-Type": "text/xml"}, said.encode()


def mend_objects(directory: Path) -> None:
    """Before MiniStack reads the objects: drop a description older than its object, which a kill left behind.

    Raises CloudError for an object that was damaged otherwise: MiniStack would take it as it is.
    """
    for described in (directory / "s3").rglob("*.meta.json"):
        data = described.with_name(described.name.removesuffix(".meta.json"))
        if not data.is_file():
            continue
        content, said = data.stat(), _described(described)
        if content.st_mtime_ns > described.stat().st_mtime_ns:
            described.unlink()
        elif said is None or said.get("size", content.st_size) != content.st_size:
            if abs(content.st_mtime_ns - described.stat().st_mtime_ns) < _SAME_TIME_NS:
                # Two writes within a moment: the clock of files cannot tell which came first.
                described.unlink()
                continue
            raise CloudError(
                f"The object at {data} is damaged: it is not what is written beside it.",
                "Put both files back from a copy, or remove both: the object is gone then.",
            )


def _described(path: Path) -> dict[str, Any] | None:
    try:
        said = json.loads(path.read_text())
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _changes(key: str, method: str, path: str, headers: Any, body: bytes, query: Any) -> bool:
    """Whether a request may have changed its service's state."""
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


def _settle_functions(functions: Any) -> None:
    """A function that was still being made is ready: nothing goes on in the background here."""
    for record in functions._functions._data.values():
        for version in (record, *record.get("versions", {}).values()):
            config = version.get("config") or {}
            if config.get("State") == "Pending":
                config["State"] = "Active"
            if config.get("LastUpdateStatus") == "InProgress":
                config["LastUpdateStatus"] = "Successful"


def _settle_stacks(stacks: Any) -> None:
    """A stack that was being changed when the cloud ended will not be changed any further."""
    for stack in stacks._stacks._data.values():
        status = stack.get("StackStatus", "")
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            verb = status.split("_")[0]
            stack["StackStatus"] = "UPDATE_ROLLBACK_FAILED" if verb == "UPDATE" else f"{verb}_FAILED"
            stack["StackStatusReason"] = "The local cloud ended while this went on."
