"""A guest whose body is a QEMU machine, seen from the cloud: its disk, its start, its words, its end.

What QEMU is told is qemu.py; what an end means to an instance is not decided here.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from localcloud.guests.child import Child, call
from localcloud.guests.console import Console
from localcloud.guests.disks import LAYER
from localcloud.guests.guest import BUTTON, CRASH, POWEROFF, REBOOT, Events, Plan
from localcloud.guests.sockets import Sockets
from localcloud.guests.vm import qmp

GRACE = 15.0
"""Seconds between the power button and the cord: an emulated guest takes some to end its services."""
_PRESS_AGAIN = 4.0
"""A guest that still boots has nobody yet who minds the button."""
_LAST_WAIT = 3.0
_DISK_EVERY = 5.0
"""Between two questions whether its disk still takes what is written. An NVMe device tells no event of it (QEMU 7.2: only
its counters know), and the guest goes on with a file system that it can no longer write."""
_LOG = "qemu.log"


class MachineGuest:
    """One boot of a machine. Must be started on a thread that lives as long as the cloud: the kernel kills QEMU when that
    thread ends.

    `command(stream)` is the plan for net.py, given the descriptor on which QEMU shall speak; `make_disk` is the command
    that makes the disk where there is none.
    """

    def __init__(
        self,
        plan: Plan,
        console: Console,
        events: Events,
        sockets: Sockets,
        command: Callable[[int], dict[str, Any]],
        make_disk: list[str],
    ) -> None:
        self._plan = plan
        self._console = console
        self._events = events
        self._sockets = sockets
        self._command = command
        self._make_disk = make_disk
        self._child = Child(self._hear, console.write, self._gone)
        self._reader = qmp.Reader()
        self._ready = False
        self._pressed = False
        self._killed = False
        self._over = False
        self._shutdown = ""
        self._note = ""
        self._failed = ""
        self._lost = ""
        self._began = time.monotonic()
        self._started_after: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin; `running` follows when its processors run, or `ended`."""
        self._tasks.append(asyncio.get_running_loop().create_task(self._begin()))

    def power_button(self) -> None:
        """Press its ACPI button; after the grace QEMU is told to quit, and killed if it does not."""
        if self._over or self._pressed:
            return
        self._pressed = True
        if self._child.pid is not None:
            self._tasks.append(asyncio.get_running_loop().create_task(self._press()))

    def kill(self) -> None:
        """End it at once."""
        self._killed = True
        self._child.kill()

    def facts(self) -> dict[str, Any]:
        """`pid`, `rss_mib` (memory that QEMU holds now), and two times in seconds: `began_s_ago` (since this boot was asked for)
        and `qemu_started_after_s` (from then until QEMU said that its processors run; the guest still boots then)."""
        pid = self._child.pid
        if pid is None or self._over:
            return {}
        return {
            "pid": pid,
            "rss_mib": _resident(pid),
            "began_s_ago": round(time.monotonic() - self._began, 1),
            "qemu_started_after_s": self._started_after,
        }

    async def _begin(self) -> None:
        try:
            if not (self._plan.directory / LAYER).exists():
                await self._new_disk()
            await self._sockets.begin()
            if self._killed or self._pressed:
                self._finish(BUTTON, "")
                return
            self._child.start(self._first_program, self._plan.directory / _LOG)
        except OSError as error:
            self._finish(CRASH, f"its machine cannot start: {error}")
            return
        if self._killed:
            self.kill()

    async def _new_disk(self) -> None:
        made = await asyncio.create_subprocess_exec(
            *self._make_disk,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        said = (await made.communicate())[1].decode(errors="replace").strip()
        if made.returncode != 0:
            (self._plan.directory / LAYER).unlink(missing_ok=True)
            raise OSError(f"no disk could be made: {said.splitlines()[-1] if said else made.returncode}")

    def _first_program(self, stream: int) -> list[str]:
        plan = json.dumps(self._command(stream))
        return call("localcloud.guests.vm.net", "main", str(stream), str(os.getpid()), plan)

    async def _press(self) -> None:
        """The button, again and again; then `quit`, which closes the disk in order; then no asking."""
        ends = time.monotonic() + GRACE
        while not self._over and (left := ends - time.monotonic()) > 0:
            if self._ready:
                self._child.say(qmp.command("system_powerdown"))
            await asyncio.sleep(min(_PRESS_AGAIN if self._ready else 0.2, left))
        self._child.say(qmp.command("quit"))
        await asyncio.sleep(_LAST_WAIT)
        if not self._over:
            self.kill()

    def _hear(self, data: bytes, descriptors: list[int]) -> None:
        for message in self._reader.feed(data):
            self._told(message, descriptors)

    def _told(self, message: qmp.Message, descriptors: list[int]) -> None:
        match (message.kind, message.name):
            case (qmp.BEGUN, "sockets") if len(descriptors) == 2:
                sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
                self._tasks.append(asyncio.get_running_loop().create_task(self._sockets.answer(*sockets)))
            case (qmp.BEGUN, "failed"):
                self._failed = str(message.data.get("message", ""))
            case (qmp.GREETING, _):
                self._child.say(qmp.command("qmp_capabilities"))
            case (qmp.ANSWER, "qmp_capabilities"):
                self._child.say(qmp.command("query-status"))
            case (qmp.ANSWER, "query-status"):
                self._ready = True
                self._started_after = round(time.monotonic() - self._began, 2)
                self._events.running()
                self._tasks.append(asyncio.get_running_loop().create_task(self._ask_disk()))
            case (qmp.ANSWER, "query-blockstats"):
                if qmp.refused_writes(message):
                    self._lose_disk()
            case (qmp.EVENT, _):
                self._happened(message)

    async def _ask_disk(self) -> None:
        while not self._over:
            self._child.say(qmp.command("query-blockstats"))
            await asyncio.sleep(_DISK_EVERY)

    def _lose_disk(self) -> None:
        """Cut it off: what it wrote is lost, and a server that cannot write would otherwise seem to run for ever."""
        if self._over or self._killed or self._pressed or self._lost:
            return
        free = shutil.disk_usage(self._plan.directory).free >> 20
        self._lost = f"this machine could not write its disk ({free} MiB are free in {self._plan.directory})"
        self._child.kill()

    def _happened(self, event: qmp.Message) -> None:
        match event.name:
            case "SHUTDOWN":
                self._shutdown = str(event.data.get("reason", ""))
                if self._shutdown == "guest-shutdown" and not self._pressed:
                    self._events.stopping(POWEROFF)
            case "GUEST_PANICKED" | "GUEST_CRASHLOADED":
                self._remark("its kernel panicked")

    def _remark(self, note: str) -> None:
        """Say once on the console what the guest itself may not be able to say."""
        if self._note != note:
            self._note = note
            self._console.write(f"localcloud: {self._plan.instance}: {note}\n".encode())

    def _gone(self, code: int) -> None:
        self._finish(*self._reason(code))

    def _reason(self, code: int) -> tuple[str, str]:
        """Why it ended, and in words. The exit code alone says nothing: it is 0 for a power-off and for a reset."""
        if self._killed or self._pressed:
            return BUTTON, self._note
        if self._shutdown == "guest-shutdown":
            return POWEROFF, ""
        if self._shutdown == "guest-reset":
            return REBOOT, ""
        if self._lost:
            self._remark(self._lost)
            return CRASH, self._lost
        said = self._failed or _last_line(self._plan.directory / _LOG)
        how = f"QEMU ended by signal {-code}" if code < 0 else f"QEMU ended ({self._shutdown or f'exit {code}'})"
        detail = "; ".join(part for part in (how, said, self._note) if part)
        self._console.write(f"localcloud: {detail}\n".encode())
        return CRASH, detail

    def _finish(self, reason: str, detail: str) -> None:
        if self._over:
            return
        self._over = True
        self._sockets.close()
        self._events.ended(reason, detail)


def _last_line(path: Path) -> str:
    with contextlib.suppress(OSError):
        lines = path.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""
    return ""


def _resident(pid: int) -> int | None:
    """MiB of memory that a process holds; None when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return None
