"""Store what the job prints in S3, in numbered pieces, exact to the byte but for its secrets, which are masked.

Pieces wait on the disk, so that a job that prints faster than S3 stores is not blocked and does not fill the agent's memory.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, BinaryIO

from dayfly.remote.agent import names
from dayfly.remote.agent.masking import Masker
from dayfly.remote.agent.s3 import Bucket, Changed, Refused, Slice
from dayfly.remote.boot.names import say

PIECE = 4 << 20
_BLOCK = 64 << 10
_TAIL = 64 << 10
_LINES = 20
_LINE = 500


class Log:
    """The job's log. `write_end` is the file descriptor for the job's stdout and stderr.

    One thread reads the pipe, another uploads. `problem` says why the log could not be stored whole, else it is empty.
    """

    def __init__(self, bucket: Bucket, prefix: str, folder: str) -> None:
        self._bucket, self._prefix, self._folder = bucket, prefix, folder
        self._read_end, self.write_end = os.pipe()
        self._lock = threading.Condition()
        self._file: BinaryIO | None = None
        self._path, self._size, self._files = "", 0, 0
        self._waiting: deque[tuple[str, int]] = deque()
        self._ended = False
        self._tail = b""
        self._masker = Masker(())
        self.bytes = self.pieces = self._newlines = 0
        self.problem = ""
        self._threads = [threading.Thread(target=part, daemon=True) for part in (self._read, self._upload_all)]
        for thread in self._threads:
            thread.start()

    def mask(self, secrets: Iterable[str]) -> None:
        """Replace these texts by `***` from now on. Call it before a process is given one of them."""
        self._masker = Masker(secrets)

    def finish(self) -> None:
        """Close the pipe and wait until everything is stored or `problem` is set. Call it when the job's processes are gone."""
        os.close(self.write_end)
        self._threads[0].join(10)
        with self._lock:
            self._close_piece()
            self._ended = True
            self._lock.notify()
        self._threads[1].join()

    def summary(self) -> dict[str, Any]:
        """Return the `log` field of ended.json."""
        last = self._tail.decode("utf-8", "replace").split("\n")
        if last and not last[-1]:
            last.pop()
        lines = self._newlines
        if self._tail and not self._tail.endswith(b"\n"):
            lines += 1
        return {"pieces": self.pieces, "bytes": self.bytes, "lines": lines, "last": [x[:_LINE] for x in last[-_LINES:]]}

    def _read(self) -> None:
        while True:
            block = os.read(self._read_end, _BLOCK)
            if not block:
                self._keep(self._masker.flush())
                return
            self._keep(self._masker.feed(block))

    def _keep(self, block: bytes) -> None:
        while block and not self._append(block):
            time.sleep(0.2)  # the disk is full: the job blocks on its pipe until pieces are uploaded

    def _append(self, block: bytes) -> bool:
        """Write a block to the open piece. If the disk refuses, returns False and writes nothing of it."""
        with self._lock:
            try:
                if self._file is None:
                    self._files += 1
                    self._path = f"{self._folder}/log-{self._files}"
                    self._file, self._size = open(self._path, "wb", buffering=0), 0  # noqa: SIM115 - closed by _close_piece
                done = self._file.write(block) or 0
                while done < len(block):
                    done += self._file.write(block[done:]) or 0
            except OSError as problem:
                if self._file is not None:
                    self._file.truncate(self._size)
                    self._file.seek(self._size)
                    self._close_piece()
                say(f"log: {problem}")
                return False
            self._size += len(block)
            self.bytes += len(block)
            self._newlines += block.count(b"\n")
            self._tail = (self._tail + block)[-_TAIL:]
            if self._size >= PIECE:
                self._close_piece()
            return True

    def _close_piece(self) -> None:
        """Close the open piece and queue it for upload. The caller holds the lock."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if self._size:
                self._waiting.append((self._path, self._size))
                self._lock.notify()
            else:
                os.unlink(self._path)
            self._size = 0

    def _upload_all(self) -> None:
        began = time.monotonic()
        while True:
            with self._lock:
                if not self._waiting and not self._ended:
                    self._lock.wait(_pause(time.monotonic() - began))
                    if not self._waiting:
                        self._close_piece()
                if not self._waiting:
                    if self._ended:
                        return
                    continue
                path, size = self._waiting.popleft()
            if not self._upload(path, size):
                return
            os.unlink(path)

    def _upload(self, path: str, size: int) -> bool:
        try:
            self._bucket.put(names.log_key(self._prefix, self.pieces + 1), Slice(path, 0, size))
        except (Refused, Changed, OSError) as problem:
            self.problem = f"the log: {problem}"
            say(self.problem)
            return False
        self.pieces += 1
        return True


def _pause(age: float) -> float:
    """Return the seconds between two pieces of a log that grows slowly, by the log's age in seconds.

    Short at first, when people watch; never so long that a line takes 30 s to appear.
    """
    if age < 30:
        return 2.0
    if age < 600:
        return 10.0
    return 25.0
