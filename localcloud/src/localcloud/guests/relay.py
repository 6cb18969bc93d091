"""Forwards connections from the endpoint inside a guest's network to the cloud's port. It reads no HTTP."""

import asyncio
import contextlib
import socket

_CHUNK = 256 * 1024


class Relay:
    """A listening socket inside a guest, and every connection that came through it."""

    def __init__(self, listener: socket.socket, port: int) -> None:
        self._listener = listener
        self._port = port
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Accept connections from now on."""
        self._server = await asyncio.start_server(self._forward, sock=self._listener, limit=_CHUNK)

    def close(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()

    async def _forward(self, guest_reader: asyncio.StreamReader, guest_writer: asyncio.StreamWriter) -> None:
        self._open.add(guest_writer)
        try:
            cloud_reader, cloud_writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_CHUNK)
            self._open.add(cloud_writer)
            try:
                await asyncio.gather(_copy(guest_reader, cloud_writer), _copy(cloud_reader, guest_writer))
            finally:
                self._open.discard(cloud_writer)
                cloud_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(guest_writer)
            with contextlib.suppress(OSError, RuntimeError):
                guest_writer.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(_CHUNK):
        target.write(chunk)
        await target.drain()
    with contextlib.suppress(OSError, RuntimeError):
        if target.can_write_eof():
            target.write_eof()
