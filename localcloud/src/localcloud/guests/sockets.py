"""The two sockets of a guest, metadata and endpoint, which the cloud answers.

Without a network namespace they are socket files in a directory. How a guest's connections reach them lives with each backend.
"""

import contextlib
import os
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from localcloud.guests.relay import Relay

ServeMetadata = Callable[[str, socket.socket], Awaitable[Callable[[], None]]]
"""Answers metadata for an instance at a listening socket, and returns a function that closes it."""

METADATA, ENDPOINT = "metadata.sock", "endpoint.sock"


class GuestSockets:
    """The two sockets of one guest, answered from `answer` until `close`.

    With a `directory` they are socket files in it, which `open` creates.
    """

    def __init__(self, instance: str, port: int, serve: ServeMetadata, directory: Path | None = None) -> None:
        self._instance = instance
        self._port = port
        self._serve = serve
        self._directory = directory
        self._closers: list[Callable[[], None]] = []
        self._closed = False

    async def open(self) -> None:
        """Make and answer the socket files, if there are any; call this before QEMU starts. Raises OSError."""
        if self._directory is not None:
            await self.answer(_listen(self._directory, METADATA), _listen(self._directory, ENDPOINT))

    async def answer(self, metadata: socket.socket, endpoint: socket.socket | None = None) -> None:
        """Answer metadata at one socket; forward the connections of the other to the cloud's port."""
        if endpoint is not None:
            relay = Relay(endpoint, self._port)
            self._closers.append(relay.close)
            await relay.start()
        self._closers.append(await self._serve(self._instance, metadata))
        if self._closed:
            self.close()

    def close(self) -> None:
        """Stop listening and drop every connection."""
        self._closed = True
        for close in self._closers:
            close()
        self._closers.clear()
        if self._directory is not None:
            for name in (METADATA, ENDPOINT):
                (self._directory / name).unlink(missing_ok=True)


def _listen(directory: Path, name: str) -> socket.socket:
    """Return a listening Unix socket at `directory/name`.

    It is bound through the directory's descriptor, because the path of a Unix socket may have only 107 bytes.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=descriptor)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"/proc/self/fd/{descriptor}/{name}")
        listener.listen(128)
        return listener
    finally:
        os.close(descriptor)
