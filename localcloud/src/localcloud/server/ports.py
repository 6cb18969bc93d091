"""Binds the loopback port of a cloud: its earlier port, the requested port, or a free port that programs rarely take."""

import contextlib
import errno
import random
import socket
from pathlib import Path

from localcloud.errors import CloudError

_LOWEST_PORT = 10000
_PORTS_TRIED = 50
_LINUX_DEFAULT = (32768, 60999)


def bind(port: int | None, remembered: bool = False) -> socket.socket:
    """Listen on loopback at `port`, or at a free one for None. Children do not inherit the socket. Raises CloudError.

    `remembered` says that the cloud had this port before.
    """
    if not port:
        return _bind_free()
    try:
        return _listen(port)
    except (OSError, OverflowError) as error:
        reason = f"cannot be used: {error}"
        if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
            reason = "is taken by another program"
        if remembered:
            raise CloudError(
                f"Port {port}, which this cloud used before, {reason}.",
                "End that program, or give the cloud another port with --port: what is deployed in it continues there.",
            ) from error
        raise CloudError(f"Port {port} {reason}.", "Give another port, or none for a free one.") from error


def _bind_free() -> socket.socket:
    """Listen at a free port that no outgoing connection takes while the cloud is down, if there is one."""
    first, last = _outgoing_ports()
    candidates = [port for port in range(_LOWEST_PORT, 65536) if not first <= port <= last]
    for port in random.SystemRandom().sample(candidates, min(_PORTS_TRIED, len(candidates))):
        with contextlib.suppress(OSError):
            return _listen(port)
    return _listen(0)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except BaseException:
        listener.close()
        raise
    return listener


def _outgoing_ports() -> tuple[int, int]:
    """Return the first and last port that this machine gives to outgoing connections."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return _LINUX_DEFAULT
