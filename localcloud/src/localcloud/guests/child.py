"""The first process of a guest, for both backends: starts it, exchanges messages, reads its output, sees its end.

What the messages and the end mean lives with each backend. Everything runs on the event loop.
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
"""The directory that contains this package."""
_CHUNK = 256 * 1024


def interpreter() -> str:
    """Return the path of the program that guests have as `python3`: this interpreter, outside of any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def python_command(module: str, function: str, *arguments: str) -> list[str]:
    """Return the command that runs a function of this package without any user settings.

    The function finds `arguments` in sys.argv[2:].
    """
    text = f"import sys; sys.path.insert(0, sys.argv[1]); from {module} import {function}; {function}()"
    return [interpreter(), "-I", "-S", "-B", "-c", text, SOURCE, *arguments]


def succeeds(module: str, function: str) -> bool:
    """Run a function in a new process, as `python_command` does, and return whether it exited with 0 within 20 s."""
    try:
        done = subprocess.run(
            python_command(module, function), stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class ChildProcess:
    """The first process of a guest, with a stream socket for messages.

    `on_message(data, descriptors)` gets what it sends on the stream, `on_output(data)` what it prints, `on_exit(code)` is
    called once, after both were read to their end. Start it on a thread that lives as long as the cloud: the kernel kills
    the process when that thread ends.
    """

    def __init__(
        self,
        on_message: Callable[[bytes, list[int]], None],
        on_output: Callable[[bytes], None],
        on_exit: Callable[[int], None],
    ) -> None:
        self._on_message = on_message
        self._on_output = on_output
        self._on_exit = on_exit
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: socket.socket | None = None
        self._output = -1
        self._pidfd = -1

    def start(self, command: Callable[[int], list[str]], errors: Path | None = None) -> None:
        """Start what `command(descriptor of its stream)` returns. Raises OSError.

        Standard error goes to the file `errors`, or counts as output.
        """
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
        loop = asyncio.get_running_loop()
        loop.add_reader(ours, self._read_messages)
        loop.add_reader(reader, self._read_output)
        loop.add_reader(self._pidfd, self._reap)

    @property
    def pid(self) -> int | None:
        """The process id; None before the start and after the end."""
        if self._process is None or self._stream is None:
            return None
        return self._process.pid

    def send(self, data: bytes) -> None:
        """Send a few bytes without waiting. Does nothing when the process has ended."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.send(data)

    async def send_all(self, data: bytes) -> None:
        """Send `data`, waiting until all of it is sent."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                await asyncio.get_running_loop().sock_sendall(self._stream, data)

    def close_stream(self) -> None:
        """Shut the stream down in both directions, which tells the process to end."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.shutdown(socket.SHUT_RDWR)

    def kill(self) -> None:
        """Kill the process and its process group."""
        if self._process is not None and self._stream is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _read_messages(self) -> None:
        """Read the messages that have arrived."""
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
            self._on_message(data, list(descriptors))

    def _read_output(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._output, _CHUNK)
            if data:
                self._on_output(data)
            else:
                asyncio.get_running_loop().remove_reader(self._output)

    def _reap(self) -> None:
        """Read what the ended process left, because its last message may have the reason; then report its end."""
        loop = asyncio.get_running_loop()
        process, stream = self._process, self._stream
        if process is None or stream is None:
            return
        code = process.wait()
        self._read_messages()
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._output, _CHUNK):
                self._on_output(data)
        for descriptor in (stream.fileno(), self._output, self._pidfd):
            loop.remove_reader(descriptor)
        stream.close()
        os.close(self._output)
        os.close(self._pidfd)
        self._stream = None
        self._on_exit(code)
