"""One boot of a VM guest, seen from the cloud: its disk, QEMU's start, its monitor messages, its end.

QEMU's command line lives in qemu.py; what an end means to an instance is not decided here.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from localcloud.guests.child import ChildProcess, python_command
from localcloud.guests.console import Console
from localcloud.guests.disks import VM_DISK
from localcloud.guests.guest import BUTTON, CRASH, POWEROFF, REBOOT, BootPlan, Events
from localcloud.guests.sockets import GuestSockets
from localcloud.guests.vm import qmp

GRACE = 15.0
"""Seconds between the power button and the order to quit: an emulated guest needs some to stop its services."""
_PRESS_AGAIN = 4.0
"""Seconds between two presses: a guest that still boots has no program that reacts to the button."""
_QUIT_WAIT = 3.0
_DISK_CHECK = 5.0
"""Seconds between two checks whether the disk still takes writes. An NVMe device sends no event when writes fail (QEMU 7.2
only counts them), and the guest would go on with a file system that it cannot write."""
_LOG = "qemu.log"


class VmGuest:
    """One boot of a VM guest.

    Start it on a thread that lives as long as the cloud: the kernel kills QEMU when that thread ends.
    `launch_plan(descriptor of QEMU's monitor)` returns the plan for network.py; `make_disk` is the command that makes the
    disk if there is none.
    """

    def __init__(
        self,
        plan: BootPlan,
        console: Console,
        events: Events,
        sockets: GuestSockets,
        launch_plan: Callable[[int], dict[str, Any]],
        make_disk: list[str],
    ) -> None:
        self._plan = plan
        self._console = console
        self._events = events
        self._sockets = sockets
        self._launch_plan = launch_plan
        self._make_disk = make_disk
        self._child = ChildProcess(self._receive, console.write, self._exited)
        self._reader = qmp.Reader()
        self._ready = False
        self._pressed = False
        self._killed = False
        self._ended = False
        self._shutdown_reason = ""
        self._note = ""
        self._launch_error = ""
        self._disk_error = ""
        self._began = time.monotonic()
        self._started_after: float | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the boot; `running` follows when the processors run, or `ended`."""
        self._spawn_task(self._begin())

    def power_button(self) -> None:
        """Press the ACPI power button; after the grace period QEMU is told to quit, and killed if it does not."""
        if self._ended or self._pressed:
            return
        self._pressed = True
        if self._child.pid is not None:
            self._spawn_task(self._press())

    def kill(self) -> None:
        """End the guest at once."""
        self._killed = True
        self._child.kill()

    def facts(self) -> dict[str, Any]:
        """Return `pid`, `rss_mib` (memory that QEMU uses now) and two times in seconds.

        `began_s_ago`: since this boot was requested. `qemu_started_after_s`: from then until QEMU reported that its
        processors run; the guest still boots at that time.
        """
        pid = self._child.pid
        if pid is None or self._ended:
            return {}
        return {
            "pid": pid,
            "rss_mib": _resident_memory(pid),
            "began_s_ago": round(time.monotonic() - self._began, 1),
            "qemu_started_after_s": self._started_after,
        }

    def _spawn_task(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _begin(self) -> None:
        try:
            if not (self._plan.directory / VM_DISK).exists():
                await self._make_new_disk()
            await self._sockets.open()
            if self._killed or self._pressed:
                self._finish(BUTTON, "")
                return
            self._child.start(self._launcher_command, self._plan.directory / _LOG)
        except OSError as error:
            self._finish(CRASH, f"its machine cannot start: {error}")
            return
        if self._killed:
            self.kill()

    async def _make_new_disk(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._make_disk,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        errors = (await process.communicate())[1].decode(errors="replace").split("\n")
        if process.returncode != 0:
            (self._plan.directory / VM_DISK).unlink(missing_ok=True)
            reasons = [line.strip() for line in errors if line.strip()] or [f"exit {process.returncode}"]
            raise OSError(f"no disk could be made: {reasons[-1]}")

    def _launcher_command(self, stream: int) -> list[str]:
        plan = json.dumps(self._launch_plan(stream))
        return python_command("localcloud.guests.vm.network", "main", str(stream), str(os.getpid()), plan)

    async def _press(self) -> None:
        """Press the button repeatedly; then send `quit`, which closes the disk properly; then kill QEMU."""
        ends = time.monotonic() + GRACE
        while not self._ended and (left := ends - time.monotonic()) > 0:
            pause = 0.2
            if self._ready:
                self._child.send(qmp.command("system_powerdown"))
                pause = _PRESS_AGAIN
            await asyncio.sleep(min(pause, left))
        self._child.send(qmp.command("quit"))
        await asyncio.sleep(_QUIT_WAIT)
        if not self._ended:
            self.kill()

    def _receive(self, data: bytes, descriptors: list[int]) -> None:
        for message in self._reader.feed(data):
            self._handle(message, descriptors)

    def _handle(self, message: qmp.Message, descriptors: list[int]) -> None:
        match (message.kind, message.name):
            case (qmp.LAUNCHER, "sockets") if len(descriptors) == 2:
                sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors]
                self._spawn_task(self._sockets.answer(*sockets))
            case (qmp.LAUNCHER, "failed"):
                self._launch_error = str(message.data.get("message", ""))
            case (qmp.GREETING, _):
                self._child.send(qmp.command("qmp_capabilities"))
            case (qmp.ANSWER, "qmp_capabilities"):
                self._child.send(qmp.command("query-status"))
            case (qmp.ANSWER, "query-status"):
                self._ready = True
                self._started_after = round(time.monotonic() - self._began, 2)
                self._events.running()
                self._spawn_task(self._check_disk())
            case (qmp.ANSWER, "query-blockstats"):
                if qmp.failed_writes(message):
                    self._kill_without_disk()
            case (qmp.EVENT, "SHUTDOWN"):
                self._shutdown_reason = str(message.data.get("reason", ""))
                if self._shutdown_reason == "guest-shutdown" and not self._pressed:
                    self._events.stopping(POWEROFF)
            case (qmp.EVENT, "GUEST_PANICKED" | "GUEST_CRASHLOADED"):
                self._print_note("its kernel panicked")

    async def _check_disk(self) -> None:
        while not self._ended:
            self._child.send(qmp.command("query-blockstats"))
            await asyncio.sleep(_DISK_CHECK)

    def _kill_without_disk(self) -> None:
        """Kill the guest because its writes are lost. Otherwise it would seem to run for ever."""
        if self._ended or self._killed or self._pressed or self._disk_error:
            return
        free = shutil.disk_usage(self._plan.directory).free >> 20
        self._disk_error = f"this machine could not write its disk ({free} MiB are free in {self._plan.directory})"
        self._child.kill()

    def _print_note(self, note: str) -> None:
        """Print once on the console what the guest itself may not be able to print."""
        if self._note != note:
            self._note = note
            self._console.write(f"localcloud: {self._plan.instance}: {note}\n".encode())

    def _exited(self, code: int) -> None:
        self._finish(*self._reason(code))

    def _reason(self, code: int) -> tuple[str, str]:
        """Return (reason, detail). The exit code alone does not tell: it is 0 for a power-off and for a reset."""
        if self._killed or self._pressed:
            return BUTTON, self._note
        if self._shutdown_reason == "guest-shutdown":
            return POWEROFF, ""
        if self._shutdown_reason == "guest-reset":
            return REBOOT, ""
        if self._disk_error:
            self._print_note(self._disk_error)
            return CRASH, self._disk_error
        cause = self._launch_error or _last_line(self._plan.directory / _LOG)
        detail = "; ".join(part for part in (self._describe_exit(code), cause, self._note) if part)
        self._console.write(f"localcloud: {detail}\n".encode())
        return CRASH, detail

    def _describe_exit(self, code: int) -> str:
        if code < 0:
            return f"QEMU ended by signal {-code}"
        if self._shutdown_reason:
            return f"QEMU ended ({self._shutdown_reason})"
        return f"QEMU ended (exit {code})"

    def _finish(self, reason: str, detail: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._sockets.close()
        self._events.ended(reason, detail)


def _last_line(path: Path) -> str:
    with contextlib.suppress(OSError, IndexError):
        return path.read_text(errors="replace").strip().splitlines()[-1]
    return ""


def _resident_memory(pid: int) -> int | None:
    """Return the MiB of memory that a process uses, or None if it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) // 1024
    return None
