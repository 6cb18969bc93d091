"""The program of a function's process: it loads the handler, then answers one event after another.

It is started as a file by a bare interpreter (-I -S), so it imports only the standard library. Frames are four bytes of
length and JSON: events come in on one descriptor, answers leave on another; standard output is the log. Queues, roles and
retries do not belong here.
"""

import ctypes
import importlib
import json
import logging
import os
import signal
import struct
import sys
import threading
import time
import traceback
from typing import Any

_NEW_USER = 0x10000000
_NEW_PID = 0x20000000
_DIE_WITH_PARENT = 1


def _die_with_parent(libc: Any, parent: int) -> None:
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if parent and os.getppid() != parent:
        os._exit(1)


def contain(parent: int, keep: tuple[int, ...]) -> None:
    """Let this process and everything it starts die with the cloud; in a PID namespace where that is allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    _die_with_parent(libc, parent)
    if libc.unshare(_NEW_USER | _NEW_PID) != 0:
        return
    _map_self()
    child = os.fork()
    if child == 0:
        _die_with_parent(libc, 0)
        return
    for descriptor in keep:
        os.close(descriptor)
    _, status = os.waitpid(child, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _map_self() -> None:
    """Keep the ids of user and group inside the namespace; otherwise programs would see the user `nobody`."""
    user, group = os.geteuid(), os.getegid()
    for path, text in (
        ("/proc/self/setgroups", "deny"),
        ("/proc/self/uid_map", f"{user} {user} 1"),
        ("/proc/self/gid_map", f"{group} {group} 1"),
    ):
        try:
            with open(path, "w") as out:
                out.write(text)
        except OSError:
            return


def receive(descriptor: int) -> Any:
    """Return the next frame's JSON; None at the end of the stream."""
    head = _exactly(descriptor, 4)
    body = _exactly(descriptor, struct.unpack(">I", head)[0]) if head else b""
    return json.loads(body) if body else None


def _exactly(descriptor: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = os.read(descriptor, count - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


def reply(descriptor: int, answer: dict[str, Any]) -> None:
    """Send one frame, after everything printed so far."""
    sys.stdout.flush()
    sys.stderr.flush()
    body = json.dumps(answer).encode()
    data = memoryview(struct.pack(">I", len(body)) + body)
    while data:
        data = data[os.write(descriptor, data) :]


class Context:
    """The handler's second argument, with the names that Lambda's has."""

    def __init__(self, request_id: str, arn: str, deadline: float) -> None:
        self.aws_request_id = request_id
        self.invoked_function_arn = arn
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self._deadline = deadline

    def get_remaining_time_in_millis(self) -> int:
        return max(0, int((self._deadline - time.time()) * 1000))


class _Lines(logging.Handler):
    """The format that Lambda's runtime gives to the standard logging module."""

    request_id = ""

    def emit(self, record: logging.LogRecord) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        sys.stdout.write(f"[{record.levelname}]\t{stamp}\t{self.request_id}\t{text}\n")


def failure(kind: str, error: BaseException) -> dict[str, Any]:
    """Return an error as Lambda's runtime answers it; also print it to the log."""
    stack = traceback.format_tb(error.__traceback__)[1:]
    sys.stdout.write(f"[ERROR] {kind}: {error}\nTraceback (most recent call last):\n{''.join(stack)}")
    return {"errorMessage": str(error), "errorType": kind, "stackTrace": stack}


def load(handler: str) -> Any:
    """Return the handler's function, or the error of loading it as a dict."""
    module_name, _, function = handler.rpartition(".")
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        return failure("Runtime.ImportModuleError", ImportError(f"Unable to import module '{module_name}': {error}"))
    except Exception as error:
        return failure(type(error).__name__, error)
    if not hasattr(module, function):
        missing = AttributeError(f"Handler '{function}' missing on module '{module_name}'")
        return failure("Runtime.HandlerNotFound", missing)
    return getattr(module, function)


def call(handler: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Run the handler on one event and return {"result": value} or {"error": {...}}."""
    try:
        context = Context(request["request_id"], request["arn"], request["deadline"])
        result = handler(request["event"], context)
    except Exception as error:
        return {"error": failure(type(error).__name__, error)}
    except SystemExit as error:
        return {"error": failure("Runtime.ExitError", error), "exit": True}
    try:
        json.dumps(result)
    except (TypeError, ValueError) as error:
        return {"error": failure("Runtime.MarshalError", error)}
    return {"result": result}


def main() -> None:
    """Arguments: request descriptor, answer descriptor, pid of the cloud, directories for the import path."""
    requests, answers, parent = (int(text) for text in sys.argv[1:4])
    contain(parent, (requests, answers))
    sys.path[:0] = sys.argv[4:-1]
    sys.path.append(sys.argv[-1])
    sys.argv[1:] = []
    lines = _Lines()
    logging.getLogger().addHandler(lines)
    handler = load(os.environ["_HANDLER"])
    reply(answers, {"ready": True})
    while True:
        request = receive(requests)
        if request is None:
            break
        lines.request_id = request["request_id"]
        answer = {"error": handler, "exit": True} if isinstance(handler, dict) else call(handler, request)
        reply(answers, answer)
        if answer.get("exit"):
            break
    if threading.active_count() > 1:
        os._exit(0)


if __name__ == "__main__":
    main()
