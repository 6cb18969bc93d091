"""The first program of a guest: all its messages, descriptors and output are delivered before its end is reported."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from localcloud.guests.child import ChildProcess, interpreter, succeeds

PROGRAM = """
import os, socket, sys
stream = socket.socket(fileno=int(sys.argv[1]))
listening = socket.create_server(("127.0.0.1", 0))
os.write(1, b"out")
os.write(2, b"err")
socket.send_fds(stream, [b"word"], [listening.fileno()])
sys.exit(3)
"""


class Recorder:
    """Records what a child process sent, in order."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.descriptors_received: list[int] = []

    def child(self) -> ChildProcess:
        def record(data: bytes, descriptors: list[int]) -> None:
            self.events.append(data)
            self.descriptors_received += descriptors

        return ChildProcess(record, self.events.append, self.events.append)


def program_command(stream: int) -> list[str]:
    return [interpreter(), "-c", PROGRAM, str(stream)]


@pytest.mark.parametrize("errors", [False, True])
def test_end_is_reported_after_all_output(tmp_path: Path, errors: bool) -> None:
    async def scenario() -> list[object]:
        recorder = Recorder()
        child = recorder.child()
        child.start(program_command, tmp_path / "errors" if errors else None)
        assert child.pid is not None
        # The event loop does not run in between, so all messages are unread when the end is noticed.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        child._reap()
        assert child.pid is None
        with socket.socket(fileno=recorder.descriptors_received[0]) as listening:
            assert listening.getsockname()[0] == "127.0.0.1"
        child.kill()
        child.send(b"sent after the end")
        return recorder.events

    assert asyncio.run(scenario()) == [b"word", b"out" if errors else b"outerr", 3]
    if errors:
        assert (tmp_path / "errors").read_bytes() == b"err"


def test_failed_start_leaves_no_open_file() -> None:
    async def scenario() -> None:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(FileNotFoundError):
            Recorder().child().start(lambda _: ["/nonexistent/program"])
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(scenario())


def test_function_that_fails_counts_as_unavailable() -> None:
    assert succeeds("localcloud.guests.child", "interpreter")
    assert not succeeds("localcloud.guests.child", "missing")
