"""The state directory: what a cloud remembers of itself between two starts, and who holds it now.

    DIR/cloud.json   port, region, account, administrator's key      (0600, written once)
    DIR/lock         held by the running cloud; its pid is inside
    DIR/ready.json   the facts of the running cloud, written when it answers
    DIR/cloud.log    what the running cloud says

The services' own data lies beside these and is written by their own modules.
"""

import fcntl
import json
import os
import secrets
import socket
import string
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from localcloud.errors import CloudError

ACCOUNT = "000000000000"
DEFAULT_REGION = "us-east-1"
_KEY_LETTERS = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Identity:
    """What stays the same over every restart of one cloud."""

    port: int
    region: str
    account: str
    access_key: str
    secret_key: str


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` at `path` so that a crash leaves the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
        return Identity(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise CloudError(
            f"{directory / 'cloud.json'} cannot be read: {error}.", "Remove the state directory to begin a new cloud."
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
    write_whole(directory / "cloud.json", json.dumps(asdict(identity), indent=1).encode())
    return identity


def bind(port: int) -> socket.socket:
    """Listen on loopback at `port` (0: any free one). Not inherited by children."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise CloudError(
            f"Port {port}, which this cloud used before, is taken by another program.",
            "End that program, or give the cloud another port with --port.",
        ) from error
    listener.listen(1024)
    return listener


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
