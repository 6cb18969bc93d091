"""Starting, ending and asking a local cloud from outside: up, down, status, env.

Only what a person or another program asks for; the running cloud itself is server.py.
"""

import asyncio
import contextlib
import errno
import json
import os
import select
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localcloud.cloud.clock import TurnableClock
from localcloud.cloud.facts import Cloud
from localcloud.cloud.files import write_whole
from localcloud.errors import CloudError
from localcloud.server import directory as state

if TYPE_CHECKING:
    from localcloud.server.server import Server

DEFAULT_GUESTS = "process"
_START_LIMIT = 60.0
_END_LIMIT = 15.0
_DISK_SAYS_NO = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


@dataclass(frozen=True)
class Wish:
    """What `up` was asked for. What is None or False was not asked for, and any cloud will do."""

    directory: Path
    port: int | None = None
    region: str | None = None
    parent_pipe: bool = False
    internet: bool = False
    recurring: bool = True
    guests: str | None = None
    max_guests: int | None = None
    max_life: float | None = None


def up(wish: Wish) -> dict[str, Any]:
    """Start a cloud in the background and return its facts when it answers; one that runs is returned as it is.

    Raises CloudError when none can be started, and when the one that runs is not what was wished. The region is no such wish:
    it is what clients use by default, and every cloud has all regions.
    """
    directory = state.open_directory(wish.directory)
    running = _running(directory)
    if running is not None:
        if wish.parent_pipe:
            raise CloudError(f"A cloud already runs in {directory}.", "Use it, or end it with `down` first.")
        return _as_wished(running, wish) | {"already": True}
    reader, writer = os.pipe()
    with (directory / "cloud.log").open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "localcloud", "up", "--foreground", "--ready-fd", str(writer), *_arguments(wish)],
            stdin=None if wish.parent_pipe else subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    try:
        return _await_ready(child, reader, directory)
    except CloudError:
        # Two callers began at the same moment: the other one's cloud is as good.
        other = None if wish.parent_pipe else _running(directory)
        if other is None:
            raise
        return _as_wished(other, wish) | {"already": True}
    finally:
        os.close(reader)


def _as_wished(facts: dict[str, Any], wish: Wish) -> dict[str, Any]:
    """The facts of a cloud that runs. Raises CloudError when it is another one than was asked for."""
    port = urllib.parse.urlsplit(facts["endpoint"]).port
    hours = facts.get("max_life_hours")
    asked_and_is = {
        f"has {facts.get('guests')} guests, not {wish.guests}": (wish.guests, facts.get("guests")),
        "has no --internet": (wish.internet or None, facts.get("internet")),
        f"has at most {facts.get('max_guests')} guests at once, not {wish.max_guests}": (
            wish.max_guests,
            facts.get("max_guests"),
        ),
        f"ends its guests after {hours} h": (wish.max_life and wish.max_life / 3600, hours),
        f"is at port {port}, not {wish.port}": (wish.port, port),
    }
    for differs, (asked, has) in asked_and_is.items():
        if asked is not None and asked != has:
            raise CloudError(
                f"The cloud that runs in {wish.directory} {differs}.", "End it with `down`, then the same again."
            )
    return facts


def run(wish: Wish, ready: Callable[[dict[str, Any]], None]) -> None:
    """Be the cloud: hold the directory, serve until told to end."""
    directory = state.open_directory(wish.directory)
    try:
        _be(wish, directory, ready)
    except OSError as error:
        if error.errno not in _DISK_SAYS_NO:
            raise
        raise CloudError(
            f"{directory} cannot be written: {error.strerror}.",
            "Make room there, or give another directory with --state.",
        ) from error


def _be(wish: Wish, directory: Path, ready: Callable[[dict[str, Any]], None]) -> None:
    lock = state.take_lock(directory)
    if lock is None:
        raise CloudError(f"A cloud already runs in {directory}.", "Use it, or end it with `down` first.")
    identity = state.load_identity(directory)
    listener = state.bind(wish.port or (identity.port if identity else None), remembered=not wish.port)
    bound = listener.getsockname()[1]
    if identity is None or identity.port != bound or (wish.region and wish.region != identity.region):
        identity = state.remember(directory, identity, bound, wish.region)
    clock = TurnableClock()
    cloud = Cloud(
        state=directory,
        port=bound,
        region=identity.region,
        account=identity.account,
        access_key=identity.access_key,
        secret_key=identity.secret_key,
        clock=clock,
        guests=wish.guests or DEFAULT_GUESTS,
        max_guests=wish.max_guests,
        internet=wish.internet,
        recurring=wish.recurring,
        max_life=wish.max_life,
    )

    def tell(facts: dict[str, Any]) -> None:
        write_whole(directory / "ready.json", json.dumps(facts).encode())
        ready(facts)

    def untell() -> None:
        # Whoever asks from here on waits for the end, and does not take this cloud for one that answers.
        (directory / "ready.json").unlink(missing_ok=True)

    server_class = _server_class()

    async def live() -> None:
        server = server_class(cloud, listener, clock)
        if wish.parent_pipe:
            server.end_with_parent(sys.stdin.fileno())
        await server.run(tell, untell)

    try:
        asyncio.run(live())
    finally:
        untell()
        os.close(lock)


def down(directory: Path) -> bool:
    """End the cloud of this directory and everything it started; False when none runs."""
    pid = state.holder(directory)
    if pid is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    if not _until(lambda: _is_gone(pid), _END_LIMIT):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if not _until(lambda: _is_gone(pid), _END_LIMIT):
            raise CloudError(f"The cloud (pid {pid}) does not end.", "Look at cloud.log in its state directory.")
    return True


def _is_gone(pid: int) -> bool:
    """Whether the process has ended; one that only waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def status(directory: Path) -> dict[str, Any] | None:
    """The facts of the running cloud as they are now, or None when none runs."""
    facts = state.facts(directory)
    if facts is None:
        return None
    try:
        # A proxy of the user's shell has no business on loopback.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{facts['endpoint']}/_localcloud/status", timeout=5) as answer:
            now: dict[str, Any] = json.load(answer)
    except (OSError, ValueError) as error:
        raise CloudError(
            f"The cloud (pid {facts['pid']}) does not answer: {error}.", "End it with `down` and start it again."
        ) from error
    return now


def exports(directory: Path) -> dict[str, str | None]:
    """The environment for an AWS client of the running cloud; None means: unset."""
    facts = state.facts(directory)
    identity = state.load_identity(directory)
    if facts is None or identity is None:
        raise CloudError(f"No cloud runs in {directory}.", "Start one with `up`.")
    return {
        "AWS_ENDPOINT_URL": facts["endpoint"],
        "AWS_ACCESS_KEY_ID": identity.access_key,
        "AWS_SECRET_ACCESS_KEY": identity.secret_key,
        "AWS_DEFAULT_REGION": identity.region,
        "AWS_REGION": identity.region,
        "AWS_PROFILE": None,
        "AWS_SESSION_TOKEN": None,
    }


def _server_class() -> "type[Server]":
    """The server, imported only by who runs it: asking for the status needs no MiniStack."""
    if sys.platform != "linux":
        raise CloudError("The local cloud runs on Linux.", "Use a Linux machine, or AWS itself.")
    try:
        from localcloud.server.server import Server
    except ModuleNotFoundError as error:
        raise CloudError(
            f"{error.name} is not installed.", "Install MiniStack: pip install ministack==1.5.33."
        ) from error
    return Server


def _arguments(wish: Wish) -> list[str]:
    said = ["--state", str(wish.directory)]
    for name, value in (
        ("--guests", wish.guests),
        ("--port", wish.port),
        ("--region", wish.region),
        ("--max-guests", wish.max_guests),
        ("--max-life", wish.max_life),
    ):
        said += [name, str(value)] if value is not None else []
    said += ["--parent-pipe"] if wish.parent_pipe else []
    said += ["--internet"] if wish.internet else []
    said += [] if wish.recurring else ["--no-recurring"]
    return said


def _running(directory: Path) -> dict[str, Any] | None:
    """The facts of a cloud that runs or is just starting."""
    if state.holder(directory) is None:
        return None
    _until(lambda: state.facts(directory) is not None or state.holder(directory) is None, _START_LIMIT)
    return state.facts(directory)


def _await_ready(child: "subprocess.Popen[bytes]", reader: int, directory: Path) -> dict[str, Any]:
    said = b""
    deadline = time.monotonic() + _START_LIMIT
    while not said.endswith(b"\n"):
        waiting = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]
        chunk = os.read(reader, 65536) if waiting else b""
        if not chunk:
            break
        said += chunk
    if not said.endswith(b"\n"):
        child.kill()
        child.wait()
        raise CloudError("The cloud did not start.", f"Look at {directory / 'cloud.log'}.")
    facts: dict[str, Any] = json.loads(said)
    if "error" in facts:
        child.wait()
        raise CloudError(facts["error"], facts["remedy"])
    return facts


def _until(true: Callable[[], bool], limit: float) -> bool:
    deadline = time.monotonic() + limit
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
