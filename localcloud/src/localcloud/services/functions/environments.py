"""Execution environments of functions: the processes, their pool, and one invocation on one of them.

How a function becomes a `Spec` is in execution.py; the program inside is runtime.py.
"""

import contextlib
import json
import os
import queue
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from localcloud.services.iam.roles import Session

_START_LIMIT = 30.0
_IDLE_SECONDS = 600.0
_LIFE_SECONDS = 2400.0
_LOG_LIMIT = 1 << 20
_RUNTIME = Path(__file__).with_name("runtime.py")


@dataclass(frozen=True)
class Spec:
    """Everything that an environment is made from; equal specs share environments."""

    function: str
    code: Path
    layers: tuple[str, ...]
    libraries: Path
    timeout: float
    variables: tuple[tuple[str, str], ...]
    session: Callable[[], Session] = field(compare=False)


@dataclass
class Outcome:
    """The end of one invocation: a value or an error, and what was printed."""

    result: Any = None
    error: dict[str, Any] | None = None
    log: str = ""


class Spawner:
    """One thread that lives as long as the cloud and starts every process.

    The kernel sends the signal of a dead parent when the thread that forked ends, so a short-lived thread must not fork.
    """

    def __init__(self) -> None:
        self._starts: queue.Queue[tuple[Callable[[], Any], Future[Any]]] = queue.Queue()
        threading.Thread(target=self._run, name="function-spawner", daemon=True).start()

    def start(self, make: Callable[[], "subprocess.Popen[bytes]"]) -> "subprocess.Popen[bytes]":
        """Run `make` on that thread and return its process."""
        promise: Future[Any] = Future()
        self._starts.put((make, promise))
        process: subprocess.Popen[bytes] = promise.result()
        return process

    def _run(self) -> None:
        while True:
            make, promise = self._starts.get()
            try:
                promise.set_result(make())
            except BaseException as error:
                promise.set_exception(error)


class Environment:
    """One process that answers events of one function, one at a time."""

    def __init__(self, spec: Spec, spawner: Spawner, scratch: Path) -> None:
        self.spec = spec
        self.started = time.monotonic()
        self.last_used = self.started
        self.stream = f"{time.strftime('%Y/%m/%d')}/[$LATEST]{os.urandom(16).hex()}"
        self._directory = Path(tempfile.mkdtemp(prefix="environment-", dir=scratch))
        requests, self._requests = os.pipe()
        self._answers, answers = os.pipe()
        self._log, log = os.pipe()
        self._printed = ""
        self._open = True
        session = spec.session()
        command = [getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-B", str(_RUNTIME)]
        command += [str(requests), str(answers), str(os.getpid()), str(spec.code), *spec.layers, str(spec.libraries)]
        try:
            self._process = spawner.start(
                lambda: subprocess.Popen(
                    command,
                    cwd=spec.code,
                    env=self._variables(session),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(requests, answers),
                    start_new_session=True,
                )
            )
        finally:
            for descriptor in (requests, answers, log):
                os.close(descriptor)
        os.set_blocking(self._log, False)

    @property
    def fresh(self) -> bool:
        """Whether the process runs and its keys last for another invocation."""
        return time.monotonic() - self.started < _LIFE_SECONDS and self._process.poll() is None

    def ready(self) -> Outcome | None:
        """Wait until the handler is loaded; returns an Outcome only when the process ended instead."""
        answer, log = self._answer(time.monotonic() + _START_LIMIT)
        if answer is not None:
            self._printed = log
            return None
        message = "Init timed out"
        if self._process.poll() is not None:
            message = "Runtime exited before it was ready"
        return Outcome(error={"errorMessage": message, "errorType": "Runtime.ExitError"}, log=log)

    def invoke(self, event: Any, request_id: str, arn: str) -> Outcome:
        """Run one event to its end or to the function's timeout."""
        limit = self.spec.timeout
        body = json.dumps(
            {"event": event, "request_id": request_id, "arn": arn, "deadline": time.time() + limit}
        ).encode()
        with contextlib.suppress(BrokenPipeError):
            _write(self._requests, struct.pack(">I", len(body)) + body)
        answer, log = self._answer(time.monotonic() + limit)
        log, self._printed = self._printed + log, ""
        self.last_used = time.monotonic()
        if answer is not None:
            return Outcome(answer.get("result"), answer.get("error"), log)
        prefix = f"RequestId: {request_id} Error:"
        if not self._open:
            message = f"{prefix} Runtime exited without providing a reason"
            return Outcome(error={"errorType": "Runtime.ExitError", "errorMessage": message}, log=log)
        text = f"Task timed out after {limit:.2f} seconds"
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        error = {"errorType": "Sandbox.Timedout", "errorMessage": f"{prefix} {text}"}
        return Outcome(error=error, log=f"{log}{stamp} {request_id} {text}\n")

    def kill(self) -> None:
        """Kill the process and all it started; the thread that waits for its answer then calls `end`."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the process and all it started, and remove its scratch directory."""
        self.kill()
        self._process.wait()
        for descriptor in (self._requests, self._answers, self._log):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        shutil.rmtree(self._directory, ignore_errors=True)

    def _variables(self, session: Session) -> dict[str, str]:
        return dict(self.spec.variables) | {
            "AWS_ACCESS_KEY_ID": session.access_key,
            "AWS_SECRET_ACCESS_KEY": session.secret_key,
            "AWS_SESSION_TOKEN": session.token,
            "AWS_LAMBDA_LOG_STREAM_NAME": self.stream,
            "TMPDIR": str(self._directory),
        }

    def _answer(self, deadline: float) -> tuple[dict[str, Any] | None, str]:
        """Return the next answer and what was printed until then; None at the deadline or when the process ended."""
        data, log = bytearray(), bytearray()
        wanted = 4
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        poll.register(self._log, select.POLLIN)
        while len(data) < wanted:
            readable = [found for found, _ in poll.poll(max(0.0, deadline - time.monotonic()) * 1000)]
            if not readable:
                return None, _text(log)
            if self._log in readable and not _drain(self._log, log):
                poll.unregister(self._log)
            if self._answers in readable:
                chunk = os.read(self._answers, wanted - len(data))
                if not chunk:
                    self._open = False
                    _drain(self._log, log)
                    return None, _text(log)
                data += chunk
                if len(data) == 4 and wanted == 4:
                    wanted += struct.unpack(">I", data)[0]
        _drain(self._log, log)
        answer: dict[str, Any] = json.loads(data[4:])
        return answer, _text(log)


class Pool:
    """Environments by function: an idle one is used again, an outdated one is ended."""

    def __init__(self, scratch: Path) -> None:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700, parents=True)
        self._scratch = scratch
        self._spawner = Spawner()
        self._lock = threading.Lock()
        self._idle: dict[str, list[Environment]] = {}
        self._busy: set[Environment] = set()
        self._closed = False

    def invoke(self, spec: Spec, event: Any, request_id: str, arn: str) -> tuple[Outcome, str]:
        """Run one event in a free environment of `spec` or a new one; return the outcome and its log stream."""
        environment = self._lease(spec)
        if environment is None:
            environment = Environment(spec, self._spawner, self._scratch)
            with self._lock:
                self._busy.add(environment)
            failed = environment.ready()
            if failed is not None:
                self._end(environment)
                return failed, environment.stream
        outcome = environment.invoke(event, request_id, arn)
        if outcome.error is not None and outcome.error["errorType"].startswith(("Sandbox.", "Runtime.")):
            self._end(environment)
        else:
            self._give_back(environment)
        return outcome, environment.stream

    def sweep(self) -> None:
        """End the environments that were idle for too long."""
        now = time.monotonic()
        with self._lock:
            old = []
            for name, environments in self._idle.items():
                kept = [one for one in environments if one.fresh and now - one.last_used <= _IDLE_SECONDS]
                old += [one for one in environments if one not in kept]
                self._idle[name] = kept
        for environment in old:
            environment.end()

    def close(self) -> None:
        """End every environment, busy ones too."""
        with self._lock:
            self._closed = True
            idle = [environment for environments in self._idle.values() for environment in environments]
            busy = list(self._busy)
            self._idle.clear()
        for environment in busy:
            environment.kill()
        for environment in idle:
            environment.end()

    def _lease(self, spec: Spec) -> Environment | None:
        with self._lock:
            if self._closed:
                raise ValueError("The cloud is ending.")
            idle = self._idle.get(spec.function, [])
            good = [e for e in idle if e.spec == spec and e.fresh]
            outdated = [e for e in idle if e not in good]
            chosen = good.pop() if good else None
            self._idle[spec.function] = good
            if chosen is not None:
                self._busy.add(chosen)
        for environment in outdated:
            environment.end()
        return chosen

    def _give_back(self, environment: Environment) -> None:
        with self._lock:
            self._busy.discard(environment)
            if not self._closed:
                self._idle.setdefault(environment.spec.function, []).append(environment)

    def _end(self, environment: Environment) -> None:
        with self._lock:
            self._busy.discard(environment)
        environment.end()


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _drain(descriptor: int, into: bytearray) -> bool:
    """Read what can be read at once; False at the end of the stream."""
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        into += chunk[: max(0, _LOG_LIMIT - len(into))]


def _text(log: bytearray) -> str:
    return log.decode("utf-8", "replace")
