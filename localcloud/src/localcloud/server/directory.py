"""The state directory: what a cloud remembers of itself between two starts, and who holds it now.

    DIR/cloud.json   format of the state, port, region, account, administrator's key      (0600)
    DIR/lock         held by the running cloud; its pid is inside
    DIR/ready.json   the facts of the running cloud, written when it answers
    DIR/cloud.log    what the running cloud says

The services' own data lies beside these and is written by their own modules.
"""

import contextlib
import errno
import fcntl
import json
import os
import random
import secrets
import socket
import string
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from localcloud.cloud.files import write_whole
from localcloud.errors import CloudError

FORMAT = 1
ACCOUNT = "000000000000"
DEFAULT_REGION = "us-east-1"
_LOWEST_PORT = 10000
_PORTS_TRIED = 50
_KEY_LETTERS = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Identity:
    """What stays the same over every restart of one cloud."""

    port: int
    region: str
    account: str
    access_key: str
    secret_key: str


def open_directory(path: Path) -> Path:
    """Make the state directory (0700) and return its absolute path."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise CloudError(
            f"Cannot use the state directory {path}: {error.strerror}.", "Give another with --state."
        ) from error
    return path.resolve()


def load_identity(directory: Path) -> Identity | None:
    """The remembered identity, or None for a directory that never held a cloud."""
    try:
        text = (directory / "cloud.json").read_text()
    except FileNotFoundError:
        return None
    try:
        said = json.loads(text)
        # The first format did not say its number.
        found = said.pop("format", FORMAT)
        if found != FORMAT:
            raise CloudError(
                f"The state in {directory} has format {found}; this localcloud reads and writes format {FORMAT}.",
                "Use the version that wrote it, or another state directory for a new cloud.",
            )
        return Identity(**said)
    except (ValueError, TypeError, AttributeError) as error:
        raise CloudError(
            f"{directory / 'cloud.json'} is damaged: {error}.",
            "Put the file back from a copy, or remove the state directory to begin a new cloud.",
        ) from error


def remember(directory: Path, known: Identity | None, port: int, region: str | None) -> Identity:
    """Write the identity: a new one, or the known one at another port or region."""
    if known is None:
        known = Identity(
            port=port,
            region=region or DEFAULT_REGION,
            account=ACCOUNT,
            access_key="AKIA" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(16)),
            secret_key=secrets.token_urlsafe(30),
        )
    identity = replace(known, port=port, region=region or known.region)
    write_whole(directory / "cloud.json", json.dumps({"format": FORMAT} | asdict(identity), indent=1).encode())
    return identity


def bind(port: int | None, remembered: bool = False) -> socket.socket:
    """Listen on loopback at `port` (None: a free one that stays free). Not inherited by children. Raises CloudError."""
    if port is None or port == 0:
        return _bind_lasting()
    try:
        return _listen(port)
    except (OSError, OverflowError) as error:
        whose = ", which this cloud used before," if remembered else ""
        why = "is taken by another program" if _is_taken(error) else f"cannot be used: {error}"
        raise CloudError(
            f"Port {port}{whose} {why}.",
            "End that program, or give the cloud another port with --port: what is deployed in it goes on there."
            if remembered
            else "Give another port, or none: then a free one is taken.",
        ) from error


def _bind_lasting() -> socket.socket:
    """A free port that no outgoing connection of this machine takes while the cloud is down, where there is such a one."""
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


def _is_taken(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EADDRINUSE


def _outgoing_ports() -> tuple[int, int]:
    """The ports that this machine gives to outgoing connections; Linux's default where it does not say."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(first), int(last)
    except (OSError, ValueError):
        return 32768, 60999


def take_lock(directory: Path) -> int | None:
    """Hold the directory for this process until it ends; None when another cloud holds it."""
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder(directory: Path) -> int | None:
    """The pid of the cloud that holds the directory, or None when nobody does."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode().strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def facts(directory: Path) -> dict[str, Any] | None:
    """What the running cloud said of itself when it began to answer; None while it does not run."""
    pid = holder(directory)
    if pid is None:
        return None
    try:
        said: dict[str, Any] = json.loads((directory / "ready.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return said if said.get("pid") == pid else None
