"""A guest whose body is a process tree of this machine, seen from the cloud: starting it, hearing it, ending it.

What happens inside it is box.py and init.py; what its end means to an instance is not decided here.
"""

import asyncio
import json
import os
import platform
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.guests import disks
from localcloud.guests.box import make_etc
from localcloud.guests.child import Child, call, interpreter, works
from localcloud.guests.console import Console
from localcloud.guests.guest import BUTTON, CRASH, PROCESS, REFUSED, Events, Plan
from localcloud.guests.init import GRACE
from localcloud.guests.sockets import ServeMetadata, Sockets
from localcloud.guests.userdata import BOOTHOOK, Refused, parts_of

_BOX = "localcloud.guests.box"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SCRIPTS = "var/lib/cloud/instance/scripts"
_HOOKS = "var/lib/cloud/instance/boothooks"


@dataclass(frozen=True)
class Body:
    """How process guests are made on this machine."""

    port: int
    sandbox: bool
    internet: bool
    serve_metadata: ServeMetadata
    kind: str = PROCESS

    @property
    def own_network(self) -> bool:
        """Whether a guest has a network namespace, with 169.254.169.254 in it."""
        return self.sandbox and not self.internet

    def make(self, plan: Plan, console: Console, events: Events) -> "ProcessGuest":
        """A guest for one boot."""
        return ProcessGuest(self, plan, console, events)

    def why_not(self, directory: Path) -> str:
        """A disk is booted only by the kind of guest that wrote it."""
        if (directory / disks.LAYER).exists():
            return "its disk is that of a vm guest; it starts in a local cloud whose guests are machines"
        return ""

    def facts(self) -> dict[str, str]:
        """What really runs in a guest."""
        return facts()

    def describe(self) -> dict[str, Any]:
        """Facts for `up` and `status`."""
        limits = [
            "no cloud-init, systemd, package manager or second user: #! scripts and boothooks of the user data are run,"
            " with this machine's own programs"
        ]
        if not self.sandbox:
            limits.append(
                "no namespaces here: guests share this user's files, processes and network; metadata only by"
                " AWS_EC2_METADATA_SERVICE_ENDPOINT, power-off only by the commands on PATH"
            )
        elif self.internet:
            limits.append("guests share this machine's network; metadata by AWS_EC2_METADATA_SERVICE_ENDPOINT")
        return {
            "guests": PROCESS,
            "sandbox": "namespaces" if self.sandbox else "none",
            "accelerator": None,
            "interpreter": f"python {facts()['python']}",
            "architecture": facts()["architecture"],
            "guest_limits": limits,
        }


def facts() -> dict[str, str]:
    """What really runs in a process guest: `python` (major.minor) and `architecture` as EC2 names it."""
    machine = platform.machine()
    architecture = {"aarch64": "arm64", "amd64": "x86_64"}.get(machine.lower(), machine)
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "architecture": architecture}


def can_sandbox() -> bool:
    """Try once whether this user may make the namespaces of a guest."""
    return works(_BOX, "probe")


class ProcessGuest:
    """One boot of a guest, from `start` to its end. Must be started on a thread that lives as long as the cloud:
    the kernel kills the guest when that thread ends."""

    def __init__(self, body: Body, plan: Plan, console: Console, events: Events) -> None:
        self._body = body
        self._plan = plan
        self._console = console
        self._events = events
        self._child = Child(self._hear, console.write, self._gone)
        self._sockets = Sockets(plan.instance, body.port, body.serve_metadata)
        self._heard = b""
        self._reason = ""
        self._detail = ""
        self._over = False
        self._starting: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the guest; `running` or `ended` follows on the event loop."""
        loop = asyncio.get_running_loop()
        try:
            steps = self._write_parts()
        except Refused as refused:
            self._console.write(f"localcloud: {refused}\n".encode())
            loop.call_soon(self._finish, REFUSED, str(refused))
            return
        if self._body.own_network:
            self._spawn(steps, self._environment(""))
        else:
            self._starting.append(loop.create_task(self._with_shared_network(steps)))

    def power_button(self) -> None:
        """Ask the guest to shut down; killed when it has not done so a little after its own grace."""
        if self._over or self._child.pid is None:
            self._finish(BUTTON, "")
            return
        self._child.say(b'{"do": "button"}\n')
        asyncio.get_running_loop().call_later(GRACE + 2, self.kill)

    def kill(self) -> None:
        """Kill the guest's init; the kernel then kills everything in it."""
        if self._child.pid is None or self._over:
            return
        self._reason = self._reason or BUTTON
        if self._body.sandbox:
            self._child.kill()
        else:
            # Its init kills what it started; killed itself, it would leave that behind.
            self._child.hang_up()

    def facts(self) -> dict[str, Any]:
        """`pid` of its first process."""
        return {} if self._child.pid is None or self._over else {"pid": self._child.pid}

    async def _with_shared_network(self, steps: list[dict[str, str]]) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        await self._sockets.answer(listener)
        if not self._over:
            self._spawn(steps, self._environment(f"http://127.0.0.1:{port}/"))

    def _environment(self, metadata: str) -> dict[str, str]:
        directory = self._plan.directory
        own = {"PATH": f"/run/localcloud/shims:{_SYSTEM_PATH}", "HOME": "/root", "LANG": "C.UTF-8"}
        if not self._body.sandbox:
            own["PATH"] = f"{directory / 'disk/shims'}:{_SYSTEM_PATH}"
            own["HOME"] = str(directory / "disk/root")
            own["TMPDIR"] = str(directory / "disk/tmp")
            # Without this, `/sbin/shutdown` by its full path would ask this machine's own login manager.
            own["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nonexistent"
        own["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{self._body.port}"
        if metadata:
            own["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata
        return own | self._plan.environment

    def _write_parts(self) -> list[dict[str, str]]:
        """Put the programs of the user data on the disk; the ones of this boot, in their order."""
        disk = self._plan.directory / disks.FOLDER
        (self._plan.directory / disks.ROOT).mkdir(parents=True, exist_ok=True)
        parts = parts_of(self._plan.user_data)
        steps = []
        order = sorted(enumerate(parts, 1), key=lambda pair: (pair[1].kind != BOOTHOOK, pair[0]))
        for number, part in order:
            folder = _HOOKS if part.kind == BOOTHOOK else _SCRIPTS
            name = f"{folder}/{number:03d}-{part.name}"
            if part.kind != BOOTHOOK and self._plan.boot > 1:
                continue
            if self._plan.boot == 1:
                (disk / folder).mkdir(parents=True, exist_ok=True)
                (disk / name).write_bytes(part.content)
                (disk / name).chmod(0o700)
            steps.append({"name": part.name, "path": f"/{name}" if self._body.sandbox else str(disk / name)})
        return steps

    def _spawn(self, steps: list[dict[str, str]], environment: dict[str, str]) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._child.start(lambda stream: call(_BOX, "main", str(stream), str(os.getpid())))
        except OSError as error:
            loop.call_soon(self._finish, CRASH, f"cannot start a guest: {error}")
            return
        plan = json.dumps(self._inside_plan(steps, environment)).encode() + b"\n"
        self._starting.append(loop.create_task(self._child.say_all(plan)))

    def _inside_plan(self, steps: list[dict[str, str]], environment: dict[str, str]) -> dict[str, Any]:
        return {
            "instance": self._plan.instance,
            "sandbox": self._body.sandbox,
            "internet": self._body.internet,
            "hostname": self._plan.hostname,
            "address": self._plan.address,
            "port": self._body.port,
            "disk": str(self._plan.directory / disks.FOLDER),
            "root": str(self._plan.directory / disks.ROOT),
            "prefix": os.path.realpath(sys.base_prefix),
            "python": interpreter(),
            "etc": str(etc_template(self._plan.directory.parent)),
            "boot": self._plan.boot,
            "steps": steps,
            "environment": environment,
        }

    def _hear(self, data: bytes, descriptors: list[int]) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._told(json.loads(line), descriptors)

    def _told(self, message: dict[str, str], descriptors: list[int]) -> None:
        match message["event"]:
            case "sockets" if len(descriptors) == 2:
                sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
                self._starting.append(asyncio.get_running_loop().create_task(self._sockets.answer(*sockets)))
            case "running":
                self._events.running()
            case "power":
                if message["verb"] in ("poweroff", BUTTON):
                    self._events.stopping(message["verb"])
            case "ended":
                self._reason = message["reason"]
            case "failed":
                self._reason, self._detail = CRASH, message["message"]
                self._console.write(f"localcloud: guest failed: {message['message']}\n".encode())

    def _gone(self, code: int) -> None:
        """The guest's outer process ended, and with it everything inside."""
        del code  # what ended it was said before
        self._finish(self._reason or CRASH, self._detail)

    def _finish(self, reason: str, detail: str) -> None:
        if self._over:
            return
        self._over = True
        self._sockets.close()
        self._events.ended(reason, detail)


def etc_template(guests: Path) -> Path:
    """Where the template of every guest's /etc is, in the directory of all guests."""
    return guests / ".etc"


def make_etc_template(guests: Path) -> None:
    """Make that template anew, from what this machine's /etc is now. Takes a moment."""
    guests.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(etc_template(guests), ignore_errors=True)
    make_etc(str(etc_template(guests)))
