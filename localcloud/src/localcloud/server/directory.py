"""The state directory: what a cloud remembers of itself between two starts, and which process holds it now.

    DIR/cloud.json   format of the state, port, region, account, administrator's key      (0600)
    DIR/lock         held by the running cloud; its pid is inside
    DIR/ready.json   the facts of the running cloud, written when it answers
    DIR/cloud.log    what the running cloud logs

The data of services lies beside these and is written by their own modules.
"""

import fcntl
import json
import os
import secrets
import string
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from localcloud.cloud.files import write_atomically
from localcloud.errors import CloudError

FORMAT = 1
ACCOUNT = "000000000000"
DEFAULT_REGION = "us-east-1"
_KEY_LETTERS = string.ascii_uppercase + "234567"


@dataclass(frozen=True)
class Identity:
    """What a cloud keeps across restarts."""

    port: int
    region: str
    account: str
    access_key: str
    secret_key: str


def open_directory(path: Path) -> Path:
    """Create the state directory (0700) and return its absolute path. Raises CloudError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise CloudError(
            f"Cannot use the state directory {path}: {error.strerror}.", "Give another one with --state."
        ) from error
    return path.resolve()


def load_identity(directory: Path) -> Identity | None:
    """Return the remembered identity; None for a directory that never held a cloud. Raises CloudError."""
    try:
        text = (directory / "cloud.json").read_text()
    except FileNotFoundError:
        return None
    try:
        fields = json.loads(text)
        # The first format had no number.
        found = fields.pop("format", FORMAT)
        if found != FORMAT:
            raise CloudError(
                f"The state in {directory} has format {found}; this localcloud reads and writes format {FORMAT}.",
                "Use the version that wrote it, or another state directory for a new cloud.",
            )
        return Identity(**fields)
    except (ValueError, TypeError, AttributeError) as error:
        raise CloudError(
            f"{directory / 'cloud.json'} is damaged: {error}.",
            "Restore the file from a copy, or remove the state directory to start a new cloud.",
        ) from error


def remember(directory: Path, known: Identity | None, port: int, region: str | None) -> Identity:
    """Write and return the identity: a new one, or the known one at another port or region."""
    if known is None:
        known = Identity(
            port=port,
            region=region or DEFAULT_REGION,
            account=ACCOUNT,
            access_key="AKIA" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(16)),
            secret_key=secrets.token_urlsafe(30),
        )
    identity = replace(known, port=port, region=region or known.region)
    write_atomically(directory / "cloud.json", json.dumps({"format": FORMAT} | asdict(identity), indent=1).encode())
    return identity


def take_lock(directory: Path) -> int | None:
    """Return a descriptor that holds the directory for this process; None when another cloud holds it."""
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
    """Return the pid of the cloud that holds the directory; None when there is none."""
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
    """Return the facts that the running cloud wrote when it began to answer; None while none does."""
    pid = holder(directory)
    if pid is None:
        return None
    try:
        found: dict[str, Any] = json.loads((directory / "ready.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found if found.get("pid") == pid else None
