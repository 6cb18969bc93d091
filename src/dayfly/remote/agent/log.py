"""The job's words: from its one pipe to the disk, from there to S3 in numbered pieces, exact to the byte.

The disk lies between, so that a job that writes faster than S3 takes neither waits nor fills the agent's memory.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any, BinaryIO

from dayfly.remote.agent import words
from dayfly.remote.agent.s3 import Bucket, Changed, Refused, Slice
from dayfly.remote.agent.words import say

PIECE = 4 << 20
_BLOCK = 64 << 10
_TAIL = 64 << 10
_LINES = 20
_LINE = 500


class Log:
    """`write_end` is the file descriptor the job gets as stdout and stderr. Two threads: one reads, one stores."""

    def __init__(self, bucket: Bucket, prefix: str, folder: str) -> None:
        self._bucket, self._prefix, self._folder = bucket, prefix, folder
        self._read_end, self.write_end = os.pipe()
        self._lock = threading.Condition()
        self._file: BinaryIO | None = None
        self._path, self._held, self._serial = "", 0, 0
        self._waiting: deque[tuple[str, int]] = deque()
        self._ended = False
        self._tail = b""
        self.bytes = self.pieces = self._breaks = 0
        self.problem = ""
        self._threads = [threading.Thread(target=part, daemon=True) for part in (self._read, self._store)]
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Close our end and wait until all is stored, or can not be: then `problem` says why. Once all writers are gone."""
        os.close(self.write_end)
        self._threads[0].join(10)
        with self._lock:
            self._cut()
            self._ended = True
            self._lock.notify()
        self._threads[1].join()

    def facts(self) -> dict[str, Any]:
        """As they stand in ended.json."""
        last = self._tail.decode("utf-8", "replace").split("\n")
        if last and not last[-1]:
            last.pop()
        lines = self._breaks + (1 if self._tail and not self._tail.endswith(b"\n") else 0)
        return {"pieces": self.pieces, "bytes": self.bytes, "lines": lines, "last": [x[:_LINE] for x in last[-_LINES:]]}

    def _read(self) -> None:
        while True:
            block = os.read(self._read_end, _BLOCK)
            if not block:
                return
            while not self._keep(block):
                time.sleep(0.2)  # a full disk: the job waits at its pipe while pieces go

    def _keep(self, block: bytes) -> bool:
        with self._lock:
            try:
                if self._file is None:
                    self._serial += 1
                    self._path = f"{self._folder}/log-{self._serial}"
                    self._file, self._held = open(self._path, "wb", buffering=0), 0  # noqa: SIM115 - closed by _cut
                done = self._file.write(block) or 0
                while done < len(block):
                    done += self._file.write(block[done:]) or 0
            except OSError as problem:
                if self._file is not None:
                    self._file.truncate(self._held)
                    self._file.seek(self._held)
                    self._cut()
                say(f"log: {problem}")
                return False
            self._held += len(block)
            self.bytes += len(block)
            self._breaks += block.count(b"\n")
            self._tail = (self._tail + block)[-_TAIL:]
            if self._held >= PIECE:
                self._cut()
            return True

    def _cut(self) -> None:
        """What is written so far becomes a piece. With the lock held."""
        if self._file is not None:
            self._file.close()
            self._file = None
            if self._held:
                self._waiting.append((self._path, self._held))
                self._lock.notify()
            else:
                os.unlink(self._path)
            self._held = 0

    def _store(self) -> None:
        began = time.monotonic()
        while True:
            with self._lock:
                if not self._waiting and not self._ended:
                    self._lock.wait(_pause(time.monotonic() - began))
                    if not self._waiting:
                        self._cut()
                if not self._waiting:
                    if self._ended:
                        return
                    continue
                path, size = self._waiting.popleft()
            if not self._through(path, size):
                return
            os.unlink(path)

    def _through(self, path: str, size: int) -> bool:
        try:
            self._bucket.put(words.log_key(self._prefix, self.pieces + 1), Slice(path, 0, size))
        except (Refused, Changed, OSError) as problem:
            self.problem = f"the log: {problem}"
            say(self.problem)
            return False
        self.pieces += 1
        return True


def _pause(age: float) -> float:
    """Seconds between two pieces of a quiet job: short while people watch it begin, never so long that a line is unseen for 30."""
    if age < 30:
        return 2.0
    return 10.0 if age < 600 else 25.0
