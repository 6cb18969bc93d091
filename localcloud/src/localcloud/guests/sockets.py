"""The two sockets of a guest, metadata and endpoint, answered by the cloud; and the files they are where a machine stands in no
network of its own.

How connections get to them is each body's own.
"""

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from localcloud.guests.relay import Relay

ServeMetadata = Callable[[str, socket.socket], Awaitable[Callable[[], None]]]
"""Answer metadata for an instance at a listening socket; the result closes it."""

METADATA, ENDPOINT = "metadata.sock", "endpoint.sock"


class Sockets:
    """Answered from `answer` on until closed. With a `directory` they are files in it, made by `begin`."""

    def __init__(self, instance: str, port: int, serve: ServeMetadata, directory: Path | None = None) -> None:
        self._instance = instance
        self._port = port
        self._serve = serve
        self._directory = directory
        self._closers: list[Callable[[], None]] = []
        self._closed = False

    async def begin(self) -> None:
        """Before QEMU starts. Raises OSError."""
        if self._directory is not None:
            await self.answer(_listen(self._directory, METADATA), _listen(self._directory, ENDPOINT))

    async def answer(self, metadata: socket.socket, endpoint: socket.socket | None = None) -> None:
        """Answer metadata at one, carry the other's connections to the cloud's own port."""
        if endpoint is not None:
            relay = Relay(endpoint, self._port)
            self._closers.append(relay.close)
            await relay.start()
        self._closers.append(await self._serve(self._instance, metadata))
        if self._closed:
            self.close()

    def close(self) -> None:
        """Stop, and drop every connection."""
        self._closed = True
        for close in self._closers:
            close()
        self._closers.clear()
        if self._directory is not None:
            for name in (METADATA, ENDPOINT):
                (self._directory / name).unlink(missing_ok=True)


def _listen(directory: Path, name: str) -> socket.socket:
    """A listening socket file; by the directory's descriptor, since a path to a socket may have 107 bytes only."""
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=place)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"/proc/self/fd/{place}/{name}")
        listener.listen(128)
        return listener
    finally:
        os.close(place)
