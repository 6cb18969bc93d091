"""The console of one guest: everything it printed, in a file of bounded size.

What reads it (GetConsoleOutput) is elsewhere.
"""

import contextlib
from pathlib import Path

KEPT = 64 * 1024
_FULL = 4 * 1024 * 1024


class Console:
    """Appends to a file and drops the oldest part when it grows past 4 MiB."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size if path.exists() else 0

    def write(self, data: bytes) -> None:
        """Add `data`; only the newest part is kept for good. On a full disk it is lost: a guest's life goes on without."""
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
        """The newest 64 KiB."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as said:
            said.seek(max(0, self._size - KEPT))
            return said.read()
        return b""
