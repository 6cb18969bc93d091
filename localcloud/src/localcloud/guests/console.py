"""The console of one guest: everything it printed, in a file of bounded size.

GetConsoleOutput, which reads it, does not live here.
"""

import contextlib
from pathlib import Path

KEPT = 64 * 1024
_FULL = 4 * 1024 * 1024


class Console:
    """Appends to a file and drops the oldest part when the file grows past 4 MiB."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size if path.exists() else 0

    def write(self, data: bytes) -> None:
        """Append `data`. On a full disk it is lost, because a guest must keep running without its console."""
        with contextlib.suppress(OSError):
            if self._size + len(data) > _FULL:
                data = (self.tail() + data)[-KEPT:]
                self._path.write_bytes(data)
                self._size = len(data)
                return
            with self._path.open("ab") as out:
                out.write(data)
            self._size += len(data)

    def tail(self) -> bytes:
        """Return the newest 64 KiB."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as file:
            file.seek(max(0, self._size - KEPT))
            return file.read()
        return b""
