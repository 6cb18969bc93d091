"""Starting, ending and inspecting a local cloud from outside: up, down, status, env.

Only what a person or another program asks for; the running cloud itself is in server.py.
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

from localcloud.cloud.clock import AdjustableClock
from localcloud.cloud.facts import Cloud
from localcloud.cloud.files import write_atomically
from localcloud.errors import CloudError
from localcloud.server import directory, ports
from localcloud.server.directory import Identity

if TYPE_CHECKING:
    from localcloud.server.server import Server

DEFAULT_GUESTS = "process"
_START_LIMIT = 60.0
_END_LIMIT = 15.0
_DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)

Facts = dict[str, Any]
"""What `up` and `status` report of a cloud."""


@dataclass(frozen=True)
class Settings:
    """The options of `up`. None or False means that an option was not given; a running cloud may then have any value of it."""

    directory: Path
    port: int | None = None
    region: str | None = None
    parent_pipe: bool = False
    internet: bool = False
    recurring: bool = True
    guests: str | None = None
    max_guests: int | None = None
    max_life: float | None = None


def up(settings: Settings) -> Facts:
    """Start a cloud in the background and return its facts when it answers. If one already runs, return its facts.

    Raises CloudError when no cloud can be started, and when the running one has other settings. The region is not compared:
    it is only the default of clients, and every cloud has all regions.
    """
    home = directory.open_directory(settings.directory)
    running = _running(home)
    if running is not None:
        if settings.parent_pipe:
            raise _already_runs(home)
        return _checked(running, settings) | {"already": True}
    reader, writer = os.pipe()
    try:
        child = _start(settings, home, writer)
        return _await_ready(child, reader, home)
    except CloudError:
        # Of two callers that start at the same moment one succeeds, and its cloud serves both.
        other = _running(home)
        if other is None or settings.parent_pipe:
            raise
        return _checked(other, settings) | {"already": True}
    finally:
        os.close(reader)


def run(settings: Settings, ready: Callable[[Facts], None]) -> None:
    """Run a cloud in this process until it is told to end; `ready` is called with its facts when it answers.

    Raises CloudError when the directory is in use or cannot be written.
    """
    home = directory.open_directory(settings.directory)
    try:
        _run(settings, home, ready)
    except OSError as error:
        if error.errno not in _DISK_REFUSES:
            raise
        raise CloudError(
            f"{home} cannot be written: {error.strerror}.",
            "Make room there, or give another directory with --state.",
        ) from error


def down(home: Path) -> bool:
    """End the cloud of this directory and everything it started; False when none runs. Raises CloudError."""
    pid = directory.holder(home)
    if pid is None:
        return False
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _until(lambda: _is_gone(pid), _END_LIMIT):
            return True
    raise CloudError(f"The cloud (pid {pid}) does not end.", "Look at cloud.log in its state directory.")


def status(home: Path) -> Facts | None:
    """Return the current facts of the running cloud; None when none runs. Raises CloudError when it does not answer."""
    facts = directory.facts(home)
    if facts is None:
        return None
    try:
        # Loopback is reached directly, whatever proxy the user's shell sets.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(f"{facts['endpoint']}/_localcloud/status", timeout=5) as answer:
            now: Facts = json.load(answer)
    except (OSError, ValueError) as error:
        raise CloudError(
            f"The cloud (pid {facts['pid']}) does not answer: {error}.", "End it with `down` and start it again."
        ) from error
    return now


def exports(home: Path) -> dict[str, str | None]:
    """Return the environment for an AWS client of the running cloud; None means that a variable is to be unset.

    Raises CloudError when no cloud runs.
    """
    facts = directory.facts(home)
    identity = directory.load_identity(home)
    if facts is None or identity is None:
        raise CloudError(f"No cloud runs in {home}.", "Start one with `up`.")
    return {
        "AWS_ENDPOINT_URL": facts["endpoint"],
        "AWS_ACCESS_KEY_ID": identity.access_key,
        "AWS_SECRET_ACCESS_KEY": identity.secret_key,
        "AWS_DEFAULT_REGION": identity.region,
        "AWS_REGION": identity.region,
        "AWS_PROFILE": None,
        "AWS_SESSION_TOKEN": None,
    }


def _start(settings: Settings, home: Path, ready: int) -> "subprocess.Popen[bytes]":
    """Start the program of a cloud, which writes its facts to the descriptor `ready`; that is closed here."""
    stdin = None if settings.parent_pipe else subprocess.DEVNULL
    try:
        with (home / "cloud.log").open("ab") as log:
            return subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "localcloud",
                    "up",
                    "--foreground",
                    "--ready-fd",
                    str(ready),
                    *_options(settings),
                ],
                stdin=stdin,
                stdout=log,
                stderr=log,
                pass_fds=(ready,),
                start_new_session=True,
            )
    finally:
        os.close(ready)


def _options(settings: Settings) -> list[str]:
    """Return the settings as options of the command line."""
    options = ["--state", str(settings.directory)]
    values = {
        "--guests": settings.guests,
        "--port": settings.port,
        "--region": settings.region,
        "--max-guests": settings.max_guests,
        "--max-life": settings.max_life,
    }
    for name, value in values.items():
        if value is not None:
            options += [name, str(value)]
    flags = {
        "--parent-pipe": settings.parent_pipe,
        "--internet": settings.internet,
        "--no-recurring": not settings.recurring,
    }
    return options + [name for name, given in flags.items() if given]


def _await_ready(child: "subprocess.Popen[bytes]", reader: int, home: Path) -> Facts:
    """Return the facts that a starting cloud writes, one line of JSON. Raises CloudError."""
    line = _read_line(reader, _START_LIMIT)
    if line is None:
        child.kill()
        child.wait()
        raise CloudError("The cloud did not start.", f"Look at {home / 'cloud.log'}.")
    facts: Facts = json.loads(line)
    if "error" in facts:
        child.wait()
        raise CloudError(facts["error"], facts["remedy"])
    return facts


def _read_line(descriptor: int, limit: float) -> bytes | None:
    """Return one line; None when the stream ends before it does, or after `limit` seconds."""
    line = b""
    deadline = time.monotonic() + limit
    while not line.endswith(b"\n"):
        readable = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]
        chunk = os.read(descriptor, 65536) if readable else b""
        if not chunk:
            return None
        line += chunk
    return line


def _checked(facts: Facts, settings: Settings) -> Facts:
    """Return the facts of the running cloud. Raises CloudError when its settings differ from those that were given."""
    port, hours = urllib.parse.urlsplit(facts["endpoint"]).port, facts.get("max_life_hours")
    wanted_hours = settings.max_life and settings.max_life / 3600
    differences = {
        f"has {facts.get('guests')} guests, not {settings.guests}": (settings.guests, facts.get("guests")),
        "has no --internet": (settings.internet or None, facts.get("internet")),
        f"has at most {facts.get('max_guests')} guests at once, not {settings.max_guests}": (
            settings.max_guests,
            facts.get("max_guests"),
        ),
        f"ends its guests after {hours} h": (wanted_hours, hours),
        f"is at port {port}, not {settings.port}": (settings.port, port),
    }
    for difference, (wanted, found) in differences.items():
        if wanted is not None and wanted != found:
            raise CloudError(
                f"The cloud that runs in {settings.directory} {difference}.",
                "End it with `down`, then run the command again.",
            )
    return facts


def _already_runs(home: Path) -> CloudError:
    return CloudError(f"A cloud already runs in {home}.", "Use it, or end it with `down` first.")


def _run(settings: Settings, home: Path, ready: Callable[[Facts], None]) -> None:
    lock = directory.take_lock(home)
    if lock is None:
        raise _already_runs(home)
    known = directory.load_identity(home)
    port = settings.port or (known.port if known else None)
    listener = ports.bind(port, remembered=not settings.port)
    identity = _identity(home, known, listener.getsockname()[1], settings.region)
    clock = AdjustableClock()
    cloud = _cloud(settings, home, identity, clock)
    facts_file = home / "ready.json"

    def answers(facts: Facts) -> None:
        write_atomically(facts_file, json.dumps(facts).encode())
        ready(facts)

    def ends() -> None:
        # Without this file, a command that starts now waits until this cloud has ended, instead of using it.
        facts_file.unlink(missing_ok=True)

    server_class = _server_class()

    async def serve() -> None:
        server = server_class(cloud, listener, clock)
        if settings.parent_pipe:
            server.end_with_parent(sys.stdin.fileno())
        await server.run(answers, ends)

    try:
        asyncio.run(serve())
    finally:
        ends()
        os.close(lock)


def _identity(home: Path, known: Identity | None, port: int, region: str | None) -> Identity:
    """Return the cloud's identity. Write it to the directory if it changed."""
    if known is not None and known.port == port and region in (None, known.region):
        return known
    return directory.remember(home, known, port, region)


def _cloud(settings: Settings, home: Path, identity: Identity, clock: AdjustableClock) -> Cloud:
    return Cloud(
        state=home,
        port=identity.port,
        region=identity.region,
        account=identity.account,
        access_key=identity.access_key,
        secret_key=identity.secret_key,
        clock=clock,
        guests=settings.guests or DEFAULT_GUESTS,
        max_guests=settings.max_guests,
        internet=settings.internet,
        recurring=settings.recurring,
        max_life=settings.max_life,
    )


def _server_class() -> "type[Server]":
    """Import the server, which needs MiniStack; the other commands do not. Raises CloudError."""
    if sys.platform != "linux":
        raise CloudError("The local cloud runs on Linux.", "Use a Linux machine, or AWS itself.")
    try:
        from localcloud.server.server import Server
    except ModuleNotFoundError as error:
        raise CloudError(
            f"{error.name} is not installed.", "Install MiniStack: pip install ministack==1.5.33."
        ) from error
    return Server


def _running(home: Path) -> Facts | None:
    """Return the facts of a cloud that runs, or that is starting and begins to answer in time."""
    if directory.holder(home) is None:
        return None
    _until(lambda: directory.facts(home) is not None or directory.holder(home) is None, _START_LIMIT)
    return directory.facts(home)


def _is_gone(pid: int) -> bool:
    """Return whether a process has ended. A zombie has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _until(condition: Callable[[], bool], limit: float) -> bool:
    """Wait until a condition holds; False after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
