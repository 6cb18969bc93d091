"""Runs the guests of instances: limits how many run, starts and ends them, and sets the states of their instances.

What a guest is lives in localcloud.guests; what the API allows lives with the actions.
"""

import asyncio
import base64
import contextlib
import datetime
import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.cloud.clock import Clock
from localcloud.ec2.errors import Ec2Error
from localcloud.ec2.records import (
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    STOPPED,
    STOPPING,
    TERMINATED,
    Instance,
    RecordStore,
    RegionRecords,
)
from localcloud.guests.console import Console
from localcloud.guests.disks import remove_disk, remove_stores
from localcloud.guests.guest import (
    BUTTON,
    CRASH,
    POWEROFF,
    REBOOT,
    REFUSED,
    BootPlan,
    Events,
    Guest,
    GuestBackend,
    Hardware,
)

MAX_GUESTS = 8
MAX_LIFE = 24 * 3600.0
"""Seconds after which a guest is ended to protect this machine."""
KEPT_SECONDS = 75 * 60.0
"""How long a terminated instance stays visible; on AWS it is about an hour."""

_TOKEN_SECONDS = 48 * 3600.0
"""How long a client token and its fleet are remembered after the end of their instances; on AWS it is a day."""

_FAULT = "Server.InternalError"
_CLOSE_LIMIT = 5.0
_BOOT_PAUSE = 0.5
_REFUSE_SECONDS = 0.5
"""Seconds between two boots, so that a guest that reboots at each boot does not take a whole processor."""


@dataclass
class _Running:
    region: str
    instance: Instance
    guest: Guest
    alarm: asyncio.TimerHandle
    boot_again: bool = False
    overdue: bool = False

    def reboots(self, reason: str) -> bool:
        """Whether the guest boots again after it ended for this reason."""
        if self.overdue or self.instance.state != RUNNING:
            return False
        return reason == REBOOT or (reason == BUTTON and self.boot_again)


class GuestSupervisor:
    """Runs every guest of one cloud, on the event loop's thread."""

    def __init__(
        self,
        directory: Path,
        store: RecordStore,
        clock: Clock,
        backend: GuestBackend,
        max_guests: int = MAX_GUESTS,
        max_life: float = MAX_LIFE,
        hardware: Callable[[str, Instance], Hardware] | None = None,
    ) -> None:
        self._directory = directory
        self._store = store
        self._clock = clock
        self._backend = backend
        self._max_guests = max_guests
        self._max_life = max_life
        self._hardware = hardware
        self._waiting: deque[tuple[str, Instance, BootPlan]] = deque()
        self._running: dict[str, _Running] = {}
        self._rebooting: dict[str, asyncio.TimerHandle] = {}
        self._deadlines: dict[str, float] = {}
        self._closing = False
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def launch(self, region: str, instance: Instance) -> None:
        """Start the guest of a pending instance, now or as soon as another guest has ended.

        Raises the error that prevents the start, such as Ec2Error for a disk that this cloud's guests cannot boot. The
        instance is then `stopped` if it has run before, otherwise `terminated`.
        """
        try:
            plan = self._plan(region, instance)
        except Exception as error:
            self._fail_start(instance, f"it was not started: {error}")
            raise
        # Measured by the machine's clock, not the cloud's, because the limit protects this machine.
        self._deadlines[instance.id] = asyncio.get_running_loop().time() + self._max_life
        self._waiting.append((region, instance, plan))
        self._start_waiting()

    def refuse(self, instance: Instance, code: str, text: str) -> None:
        """End a pending instance shortly after its launch, without a guest, for this reason."""
        asyncio.get_running_loop().call_later(_REFUSE_SECONDS, self._refuse, instance, code, f"{code}: {text}")

    def end(self, instance: Instance) -> None:
        """End the guest of a `shutting-down` or `stopping` instance."""
        running = self._running.get(instance.id)
        if running is not None:
            running.boot_again = False
            running.guest.power_button()
            return
        pause = self._rebooting.pop(instance.id, None)
        if pause is not None:
            pause.cancel()
        self._waiting = deque(waiting for waiting in self._waiting if waiting[1] is not instance)
        asyncio.get_running_loop().call_soon(self._release, instance)

    def reboot(self, instance: Instance) -> None:
        """Press the power button and boot the same disk again."""
        running = self._running.get(instance.id)
        if running is not None:
            running.boot_again = True
            running.guest.power_button()

    def console(self, instance: Instance) -> bytes:
        """Return the newest 64 KiB of the console; b"" before the first boot."""
        return Console(self._console_path(instance)).tail()

    def reconcile(self) -> None:
        """Terminate the instances whose guests ended with the last cloud; call this before anything starts."""
        for name, region in self._store.regions().items():
            for instance in region.instances.values():
                if instance.state in (PENDING, RUNNING, SHUTTING_DOWN, STOPPING):
                    self._terminate_lost(instance, "the local cloud ended while this instance ran")
            self._store.save(name)
        self.forget_old()

    def forget_old(self) -> None:
        """Delete the records of instances, client tokens and fleets that have been kept long enough."""
        for name, region in self._store.regions().items():
            self._refresh_tokens(region)
            deleted = [self._forget_instances(region), self._forget_tokens(region), self._forget_fleets(region)]
            if any(deleted):
                self._store.save(name)

    async def close(self) -> None:
        """End every guest at once and terminate the instances."""
        self._closing = True
        self._waiting.clear()
        for pause in self._rebooting.values():
            pause.cancel()
        self._rebooting.clear()
        for running in list(self._running.values()):
            running.guest.kill()
        deadline = asyncio.get_running_loop().time() + _CLOSE_LIMIT
        while self._running and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        self.reconcile()

    @property
    def counts(self) -> tuple[int, int]:
        """(running guests, instances that wait for one of them to end)."""
        return len(self._running), len(self._waiting)

    def facts(self) -> list[dict[str, Any]]:
        """Return what each running guest uses of this machine."""
        return [{"instance": key, **running.guest.facts()} for key, running in self._running.items()]

    def _refresh_tokens(self, region: RegionRecords) -> None:
        """Count a token's time from the end of the last instance that it launched."""
        now = self._clock.now().timestamp()
        for key, token in region.tokens.items():
            for instance in region.launched_by(key):
                ended = now if instance.ended is None else instance.ended
                token["at"] = max(token["at"], ended)

    def _forget_instances(self, region: RegionRecords) -> bool:
        before = self._clock.now().timestamp() - KEPT_SECONDS
        old = [key for key, one in region.instances.items() if one.ended is not None and one.ended < before]
        for key in old:
            self._deadlines.pop(key, None)
            del region.instances[key]
            shutil.rmtree(self._directory / key, ignore_errors=True)
        return bool(old)

    def _forget_tokens(self, region: RegionRecords) -> bool:
        before = self._clock.now().timestamp() - _TOKEN_SECONDS
        old = [key for key, token in region.tokens.items() if token["at"] < before]
        for key in old:
            del region.tokens[key]
        return bool(old)

    def _forget_fleets(self, region: RegionRecords) -> bool:
        before = (self._clock.now() - datetime.timedelta(seconds=_TOKEN_SECONDS)).isoformat()
        in_use = {instance.fleet for instance in region.instances.values()}
        old = [key for key, fleet in region.fleets.items() if fleet.created < before and key not in in_use]
        for key in old:
            del region.fleets[key]
        return bool(old)

    def _console_path(self, instance: Instance) -> Path:
        return self._directory / instance.id / "console.log"

    def _start_waiting(self) -> None:
        # A guest that is about to boot again keeps its place.
        while self._waiting and len(self._running) + len(self._rebooting) < self._max_guests and not self._closing:
            region, instance, plan = self._waiting.popleft()
            if instance.state == PENDING:
                self._start(region, instance, plan)

    def _plan(self, region: str, instance: Instance) -> BootPlan:
        """Return the next boot of an instance and make its directory. Raises Ec2Error or OSError if it cannot boot."""
        directory = self._directory / instance.id
        if instance.boots:
            problem = self._backend.disk_problem(directory)
            if problem:
                text = f"The instance '{instance.id}' cannot be started here: {problem}."
                raise Ec2Error("IncorrectInstanceState", text)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        hardware = None
        if self._hardware is not None:
            hardware = self._hardware(region, instance)
        return BootPlan(
            instance=instance.id,
            directory=directory,
            hostname=instance.hostname,
            address=instance.address,
            user_data=base64.b64decode(instance.user_data),
            boot=instance.boots + 1,
            hardware=hardware,
        )

    def _start(self, region: str, instance: Instance, plan: BootPlan) -> None:
        events = Events(
            running=lambda: self._on_running(instance),
            stopping=lambda reason: self._on_stopping(instance, reason),
            ended=lambda reason, detail: self._on_ended(instance, reason, detail),
        )
        loop = asyncio.get_running_loop()
        try:
            guest = self._backend.make(plan, Console(self._console_path(instance)), events)
        except OSError as error:
            self._fail_start(instance, f"its guest cannot be made: {error}")
            loop.call_soon(self._start_waiting)
            return
        instance.boots += 1
        alarm = loop.call_at(self._deadlines[instance.id], self._kill_overdue, instance.id)
        self._running[instance.id] = _Running(region, instance, guest, alarm)
        try:
            guest.start()
        except OSError as error:
            # A full disk or a lack of processes ends the instance, not the request.
            guest.kill()
            loop.call_soon(self._on_ended, instance, CRASH, f"its guest cannot start: {error}")

    def _boot_again(self, region: str, instance: Instance) -> None:
        del self._rebooting[instance.id]
        try:
            plan = self._plan(region, instance)
        except (Ec2Error, OSError) as error:
            self._terminate_lost(instance, f"it cannot boot again: {error}")
            self._release(instance)
            return
        self._start(region, instance, plan)

    def _fail_start(self, instance: Instance, why: str) -> None:
        """Stop or terminate an instance that gets no guest; a disk that has been booted is kept."""
        if instance.boots and instance.state == PENDING:
            instance.state, instance.reason_code, instance.reason = STOPPED, _FAULT, f"{_FAULT}: {why}"
        else:
            self._terminate_lost(instance, why)
        self._save(instance)

    def _kill_overdue(self, identifier: str) -> None:
        """Kill a guest that has lived for `max_life`, to protect this machine."""
        running = self._running.get(identifier)
        if running is not None:
            running.overdue = True
            running.guest.kill()

    def _on_running(self, instance: Instance) -> None:
        if instance.state == PENDING:
            instance.state = RUNNING
            instance.reason_code = instance.reason = ""
            self._save(instance)

    def _on_stopping(self, instance: Instance, reason: str) -> None:
        if instance.state not in (PENDING, RUNNING) or reason != POWEROFF:
            return
        instance.state = SHUTTING_DOWN if instance.shutdown == "terminate" else STOPPING
        instance.reason_code = "Client.InstanceInitiatedShutdown"
        instance.reason = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
        self._save(instance)

    def _on_ended(self, instance: Instance, reason: str, detail: str) -> None:
        running = self._running.pop(instance.id)
        running.alarm.cancel()
        if self._closing:
            return
        if running.reboots(reason):
            # It boots before the waiting ones start: a reboot keeps its place.
            pause = asyncio.get_running_loop().call_later(_BOOT_PAUSE, self._boot_again, running.region, instance)
            self._rebooting[instance.id] = pause
            return
        if running.overdue:
            limit = f"this machine ended it: no guest may run longer than {self._max_life / 3600:g} h on it"
            self._terminate_lost(instance, "; ".join(part for part in (limit, detail) if part))
        else:
            self._settle_ended(instance, reason, detail)
        self._release(instance)

    def _settle_ended(self, instance: Instance, reason: str, detail: str) -> None:
        """Stop or terminate an instance whose guest was refused, crashed, or failed to start."""
        if reason == REFUSED:
            self._terminate(instance, "Client.InternalError", f"Client.InternalError: {detail}")
        elif instance.state == PENDING and instance.boots > 1 and reason == CRASH:
            self._fail_start(instance, detail or "its guest died")
        elif instance.state in (PENDING, RUNNING) and reason not in (POWEROFF, BUTTON):
            self._terminate_lost(instance, detail or "its guest died")

    def _refuse(self, instance: Instance, code: str, reason: str) -> None:
        if instance.state == PENDING:
            instance.state, instance.reason_code, instance.reason = SHUTTING_DOWN, code, reason
            # EC2 itself gives up; the state reason says why.
            instance.transition = "Server.InternalError"
            self._save(instance)
            self._release(instance)

    def _release(self, instance: Instance) -> None:
        """Bring an instance without a guest to its final state, and start a waiting one."""
        if instance.state == STOPPING:
            instance.state = STOPPED
            remove_stores(self._directory / instance.id)
        elif instance.state not in (TERMINATED, STOPPED):
            self._terminate(instance, instance.reason_code, instance.reason)
        self._save(instance)
        self._start_waiting()

    def _terminate_lost(self, instance: Instance, why: str) -> None:
        self._terminate(instance, _FAULT, f"{_FAULT}: {why}")

    def _terminate(self, instance: Instance, code: str, reason: str) -> None:
        instance.state, instance.reason_code, instance.reason = TERMINATED, code, reason
        instance.ended = self._clock.now().timestamp()
        # Removes disks of both kinds: the cloud that stopped the instance may have had other guests.
        remove_disk(self._directory / instance.id)

    def _save(self, instance: Instance) -> None:
        found = self._store.find(instance.id)
        if found is not None:
            # A full or missing disk must not block the guests; the next change writes the whole region again.
            with contextlib.suppress(OSError):
                self._store.save(found[0])
