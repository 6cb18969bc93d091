"""Process guests, seen from the cloud: how they are started, what they report, how they are ended.

The code inside one lives in sandbox.py, rootfs.py and init.py; what its end means to an instance is not decided here.
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
from localcloud.guests.child import ChildProcess, interpreter, python_command, succeeds
from localcloud.guests.console import Console
from localcloud.guests.guest import BUTTON, CRASH, PROCESS, REFUSED, BootPlan, Events
from localcloud.guests.init import GRACE
from localcloud.guests.rootfs import make_etc
from localcloud.guests.sockets import GuestSockets, ServeMetadata
from localcloud.guests.userdata import BOOTHOOK, Part, UnsupportedUserData, parse_user_data

_SANDBOX = "localcloud.guests.sandbox"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SCRIPTS = "var/lib/cloud/instance/scripts"
_HOOKS = "var/lib/cloud/instance/boothooks"
_LIMITS = (
    "no cloud-init, systemd, package manager or second user: the #! scripts and boothooks of the user data run with this"
    " machine's own programs"
)
_LIMITS_WITHOUT_SANDBOX = (
    "no namespaces here: guests share this user's files, processes and network; metadata is only at"
    " AWS_EC2_METADATA_SERVICE_ENDPOINT, and only the commands on PATH power off"
)
_LIMITS_WITH_INTERNET = "guests share this machine's network; metadata is at AWS_EC2_METADATA_SERVICE_ENDPOINT"


@dataclass(frozen=True)
class ProcessBackend:
    """Makes process guests. `port` is the cloud's; `internet` lets guests share this machine's network."""

    port: int
    sandbox: bool
    internet: bool
    serve_metadata: ServeMetadata
    kind: str = PROCESS

    @property
    def private_network(self) -> bool:
        """Whether a guest has a network namespace with 169.254.169.254 in it."""
        return self.sandbox and not self.internet

    def make(self, plan: BootPlan, console: Console, events: Events) -> "ProcessGuest":
        """Return a guest for one boot."""
        return ProcessGuest(self, plan, console, events)

    def disk_problem(self, directory: Path) -> str:
        """Return a reason if a VM guest wrote the disk."""
        if (directory / disks.VM_DISK).exists():
            return "its disk was written by a vm guest; start it in a local cloud with vm guests"
        return ""

    def facts(self) -> dict[str, str]:
        """Return what runs in a guest."""
        return facts()

    def describe(self) -> dict[str, Any]:
        """Return facts for `up` and `status`."""
        return {
            "guests": PROCESS,
            "sandbox": "namespaces" if self.sandbox else "none",
            "accelerator": None,
            "interpreter": f"python {facts()['python']}",
            "architecture": facts()["architecture"],
            "guest_limits": self._limits(),
        }

    def _limits(self) -> list[str]:
        if not self.sandbox:
            return [_LIMITS, _LIMITS_WITHOUT_SANDBOX]
        if self.internet:
            return [_LIMITS, _LIMITS_WITH_INTERNET]
        return [_LIMITS]


def facts() -> dict[str, str]:
    """Return what runs in a process guest: `python` (major.minor) and `architecture` by EC2's name."""
    machine = platform.machine()
    architecture = {"aarch64": "arm64", "amd64": "x86_64"}.get(machine.lower(), machine)
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "architecture": architecture}


def can_sandbox() -> bool:
    """Return whether this user may create the namespaces of a guest; it creates them once."""
    return succeeds(_SANDBOX, "probe")


class ProcessGuest:
    """One boot of a guest, from `start` to its end.

    Start it on a thread that lives as long as the cloud: the kernel kills the guest when that thread ends.
    """

    def __init__(self, backend: ProcessBackend, plan: BootPlan, console: Console, events: Events) -> None:
        self._backend = backend
        self._plan = plan
        self._console = console
        self._events = events
        self._child = ChildProcess(self._receive, console.write, self._exited)
        self._sockets = GuestSockets(plan.instance, backend.port, backend.serve_metadata)
        self._received = b""
        self._reason = ""
        self._detail = ""
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the guest; `running` or `ended` follows on the event loop."""
        loop = asyncio.get_running_loop()
        try:
            steps = self._write_parts()
        except UnsupportedUserData as refused:
            self._console.write(f"localcloud: {refused}\n".encode())
            loop.call_soon(self._finish, REFUSED, str(refused))
            return
        if self._backend.private_network:
            self._spawn(steps, self._environment(""))
        else:
            self._tasks.append(loop.create_task(self._start_on_shared_network(steps)))

    def power_button(self) -> None:
        """Ask the guest to shut down, and kill it 2 s after its own grace period."""
        if self._ended or self._child.pid is None:
            self._finish(BUTTON, "")
            return
        self._child.send(b'{"do": "button"}\n')
        asyncio.get_running_loop().call_later(GRACE + 2, self.kill)

    def kill(self) -> None:
        """Kill the guest's init; the kernel then kills everything in its namespace."""
        if self._child.pid is None or self._ended:
            return
        self._reason = self._reason or BUTTON
        if self._backend.sandbox:
            self._child.kill()
        else:
            # Without a namespace only init can kill what it started. The closed stream tells it to do so.
            self._child.close_stream()

    def facts(self) -> dict[str, Any]:
        """Return the `pid` of the guest's first process."""
        if self._child.pid is None or self._ended:
            return {}
        return {"pid": self._child.pid}

    async def _start_on_shared_network(self, steps: list[dict[str, str]]) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        port = listener.getsockname()[1]
        await self._sockets.answer(listener)
        if not self._ended:
            self._spawn(steps, self._environment(f"http://127.0.0.1:{port}/"))

    def _environment(self, metadata: str) -> dict[str, str]:
        directory = self._plan.directory
        variables = {"PATH": f"/run/localcloud/shims:{_SYSTEM_PATH}", "HOME": "/root", "LANG": "C.UTF-8"}
        if not self._backend.sandbox:
            variables["PATH"] = f"{directory / 'disk/shims'}:{_SYSTEM_PATH}"
            variables["HOME"] = str(directory / "disk/root")
            variables["TMPDIR"] = str(directory / "disk/tmp")
            # Without this, `/sbin/shutdown` by its full path would ask this machine's own login manager.
            variables["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=/nonexistent"
        variables["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{self._backend.port}"
        if metadata:
            variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = metadata
        return variables | self._plan.environment

    def _write_parts(self) -> list[dict[str, str]]:
        """Write the programs of the user data to the disk; return those that this boot runs, boothooks first."""
        (self._plan.directory / disks.PROCESS_ROOT).mkdir(parents=True, exist_ok=True)
        numbered = list(enumerate(parse_user_data(self._plan.user_data), 1))
        hooks = [pair for pair in numbered if pair[1].kind == BOOTHOOK]
        scripts = [pair for pair in numbered if pair[1].kind != BOOTHOOK]
        steps = [self._write_part(_HOOKS, number, part) for number, part in hooks]
        if self._plan.boot == 1:
            steps += [self._write_part(_SCRIPTS, number, part) for number, part in scripts]
        return steps

    def _write_part(self, folder: str, number: int, part: Part) -> dict[str, str]:
        disk = self._plan.directory / disks.PROCESS_DISK
        path = disk / folder / f"{number:03d}-{part.name}"
        if self._plan.boot == 1:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(part.content)
            path.chmod(0o700)
        if self._backend.sandbox:
            return {"name": part.name, "path": f"/{path.relative_to(disk)}"}
        return {"name": part.name, "path": str(path)}

    def _spawn(self, steps: list[dict[str, str]], environment: dict[str, str]) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._child.start(lambda stream: python_command(_SANDBOX, "main", str(stream), str(os.getpid())))
        except OSError as error:
            loop.call_soon(self._finish, CRASH, f"cannot start a guest: {error}")
            return
        plan = json.dumps(self._sandbox_plan(steps, environment)).encode() + b"\n"
        self._tasks.append(loop.create_task(self._child.send_all(plan)))

    def _sandbox_plan(self, steps: list[dict[str, str]], environment: dict[str, str]) -> dict[str, Any]:
        return {
            "instance": self._plan.instance,
            "sandbox": self._backend.sandbox,
            "internet": self._backend.internet,
            "hostname": self._plan.hostname,
            "address": self._plan.address,
            "port": self._backend.port,
            "disk": str(self._plan.directory / disks.PROCESS_DISK),
            "root": str(self._plan.directory / disks.PROCESS_ROOT),
            "prefix": os.path.realpath(sys.base_prefix),
            "python": interpreter(),
            "etc": str(etc_template(self._plan.directory.parent)),
            "boot": self._plan.boot,
            "steps": steps,
            "environment": environment,
        }

    def _receive(self, data: bytes, descriptors: list[int]) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._handle(json.loads(line), descriptors)

    def _handle(self, message: dict[str, str], descriptors: list[int]) -> None:
        match message["event"]:
            case "sockets" if len(descriptors) == 2:
                sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
                self._tasks.append(asyncio.get_running_loop().create_task(self._sockets.answer(*sockets)))
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

    def _exited(self, code: int) -> None:
        """Report the end of the guest: its outer process ended, and the kernel ended everything inside."""
        del code  # the guest has sent the reason
        self._finish(self._reason or CRASH, self._detail)

    def _finish(self, reason: str, detail: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._sockets.close()
        self._events.ended(reason, detail)


def etc_template(guests: Path) -> Path:
    """Return the path of the template of every guest's /etc, below the directory of all guests."""
    return guests / ".etc"


def make_etc_template(guests: Path) -> None:
    """Make the template of every guest's /etc anew from this machine's /etc."""
    guests.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.rmtree(etc_template(guests), ignore_errors=True)
    make_etc(str(etc_template(guests)))
