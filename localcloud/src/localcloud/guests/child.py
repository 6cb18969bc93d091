"""The first program of a guest, whichever body it has: started, heard, told, its output read, its end seen; all on the event loop.

What it says and what its end means is each body's own. The program itself runs under the plain interpreter.
"""

import array
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SOURCE = str(Path(__file__).resolve().parents[2])
_CHUNK = 256 * 1024


def interpreter() -> str:
    """The program that guests have as `python3`: this interpreter outside of any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def call(module: str, function: str, *words: str) -> list[str]:
    """The command that runs a function of this package, and nothing of a user's settings; `words` are argv[2:] of it."""
    text = f"import sys; sys.path.insert(0, sys.argv[1]); from {module} import {function}; {function}()"
    return [interpreter(), "-I", "-S", "-B", "-c", text, SOURCE, *words]


def works(module: str, function: str) -> bool:
    """Try such a function once; whether it ended well within 20 s."""
    try:
        tried = subprocess.run(
            call(module, function), stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


class Child:
    """One such program. `heard(data, descriptors)` is called with what it says and passes on its stream, `printed(data)` with
    its output, `ended(code)` once, after all of both was read. Must be started on a thread that lives as long as the cloud: the
    kernel kills it when that thread ends."""

    def __init__(
        self,
        heard: Callable[[bytes, list[int]], None],
        printed: Callable[[bytes], None],
        ended: Callable[[int], None],
    ) -> None:
        self._heard = heard
        self._printed = printed
        self._ended = ended
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: socket.socket | None = None
        self._output = -1
        self._pidfd = -1

    def start(self, command: Callable[[int], list[str]], errors: Path | None = None) -> None:
        """Start what `command(descriptor of its stream)` says; standard error is output too, or goes to a file. Raises OSError."""
        loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as held:
            ours, theirs = socket.socketpair()
            reader, writer = os.pipe2(os.O_CLOEXEC)
            held.callback(theirs.close)
            held.callback(os.close, writer)
            unused = held.enter_context(contextlib.ExitStack())
            unused.callback(ours.close)
            unused.callback(os.close, reader)
            self._process = subprocess.Popen(
                command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer if errors is None else held.enter_context(errors.open("wb")),
                pass_fds=(theirs.fileno(),),
                env={"LANG": "C.UTF-8"},
                cwd="/",
                start_new_session=True,
            )
            unused.pop_all()
        self._stream, self._output = ours, reader
        self._pidfd = os.pidfd_open(self._process.pid)
        ours.setblocking(False)
        os.set_blocking(reader, False)
        loop.add_reader(ours, self._hear)
        loop.add_reader(reader, self._print)
        loop.add_reader(self._pidfd, self._end)

    @property
    def pid(self) -> int | None:
        """Its process, while it is there."""
        return self._process.pid if self._process is not None and self._stream is not None else None

    def say(self, data: bytes) -> None:
        """Tell it something short; nothing happens when it is gone."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.send(data)

    async def say_all(self, data: bytes) -> None:
        """Tell it something of any length."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(self._stream, data)

    def hang_up(self) -> None:
        """Close the stream for both, by which it knows that it is to end."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """Kill it and what is in its session's group."""
        if self._process is not None and self._stream is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _hear(self) -> None:
        """Read until there is no more for now."""
        while self._stream is not None:
            try:
                data, ancillary, _, _ = self._stream.recvmsg(65536, socket.CMSG_SPACE(2 * array.array("i").itemsize))
            except OSError:
                return
            descriptors = array.array("i")
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(payload[: len(payload) - len(payload) % descriptors.itemsize])
            if not data:
                asyncio.get_running_loop().remove_reader(self._stream)
                return
            self._heard(data, list(descriptors))

    def _print(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._output, _CHUNK)
            if data:
                self._printed(data)
            else:
                asyncio.get_running_loop().remove_reader(self._output)

    def _end(self) -> None:
        """It ended: what it still said is read first, the reason may be among it."""
        loop = asyncio.get_running_loop()
        process, stream = self._process, self._stream
        if process is None or stream is None:
            return
        code = process.wait()
        self._hear()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._output, _CHUNK):
                self._printed(data)
        for descriptor in (stream.fileno(), self._output, self._pidfd):
            loop.remove_reader(descriptor)
        stream.close()
        os.close(self._output)
        os.close(self._pidfd)
        self._stream = None
        self._ended(code)
