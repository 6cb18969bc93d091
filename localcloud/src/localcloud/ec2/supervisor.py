"""The supervisor of guests: lets at most so many run, starts and ends them, and turns their life into the states of instances.

What a guest is made of is in localcloud.guests; what the API may ask is in the actions' own files.
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
from localcloud.guests.disks import remove_disk
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

MOST_GUESTS = 8
LONGEST_LIFE = 24 * 3600.0
KEPT_SECONDS = 75 * 60.0
"""How long a terminated instance stays visible; AWS keeps it for about an hour."""

_TOKEN_SECONDS = 48 * 3600.0
"""How long a client token, and the fleet it made, is remembered after the end of its instances; AWS does so for a day."""

_FAULT = "Server.InternalError"
_CLOSE_LIMIT = 5.0
_BOOT_PAUSE = 0.5
"""Between the end of a boot and the next: a guest that reboots at each boot must not take a processor for itself."""


@dataclass
class _Running:
    region: str
    instance: Instance
    guest: Guest
    alarm: asyncio.TimerHandle
    boot_again: bool = False
    overdue: bool = False


class GuestSupervisor:
    """Every guest of one cloud. All of it happens on the event loop's thread."""

    def __init__(
        self,
        directory: Path,
        store: RecordStore,
        clock: Clock,
        body: GuestBackend,
        most: int = MOST_GUESTS,
        longest: float = LONGEST_LIFE,
        hardware: Callable[[str, Instance], Hardware] | None = None,
    ) -> None:
        self._directory = directory
        self._store = store
        self._clock = clock
        self._body = body
        self._most = most
        self._longest = longest
        self._hardware = hardware
        self._waiting: deque[tuple[str, Instance, BootPlan]] = deque()
        self._running: dict[str, _Running] = {}
        self._rebooting: dict[str, asyncio.TimerHandle] = {}
        self._ends: dict[str, float] = {}
        self._closing = False
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def launch(self, region: str, instance: Instance) -> None:
        """Start the guest of a pending instance now, or as soon as there is room.

        Raises what keeps it from a start, such as a Ec2Error for a disk that this cloud's guests cannot boot; the instance is
        then `stopped` as before, or `terminated` when it never ran.
        """
        try:
            plan = self._plan(region, instance)
        except Exception as error:
            self._not_started(instance, f"it was not started: {error}")
            raise
        # By this machine's own time, whatever the cloud's clock is turned to: it is this machine that is guarded.
        self._ends[instance.id] = asyncio.get_running_loop().time() + self._longest
        self._waiting.append((region, instance, plan))
        self._admit()

    def end(self, instance: Instance) -> None:
        """Bring the guest of a `shutting-down` or `stopping` instance to its end."""
        running = self._running.get(instance.id)
        if running is not None:
            running.boot_again = False
            running.guest.power_button()
            return
        pause = self._rebooting.pop(instance.id, None)
        if pause is not None:
            pause.cancel()
        self._waiting = deque(waiting for waiting in self._waiting if waiting[1] is not instance)
        asyncio.get_running_loop().call_soon(self._let_go, instance)

    def reboot(self, instance: Instance) -> None:
        """Press the power button and boot the same disk again."""
        running = self._running.get(instance.id)
        if running is not None:
            running.boot_again = True
            running.guest.power_button()

    def console(self, instance: Instance) -> bytes:
        """The newest 64 KiB of the console; nothing before the first boot."""
        return Console(self._console_path(instance)).tail()

    def reconcile(self) -> None:
        """At the start of a cloud: no guest of the last one lives, so say it of their instances."""
        for name, region in self._store.regions().items():
            for one in region.instances.values():
                if one.state in (PENDING, RUNNING, SHUTTING_DOWN, STOPPING):
                    self._finish_lost(one, "the local cloud ended while this instance ran")
            self._store.save(name)
        self.forget_old()

    def forget_old(self) -> None:
        """Drop what was terminated long enough ago."""
        now = self._clock.now()
        before = now.timestamp() - KEPT_SECONDS
        for name, region in self._store.regions().items():
            for key, token in region.tokens.items():
                ends = [now.timestamp() if one.ended is None else one.ended for one in region.launched_by(key)]
                token["at"] = max([token["at"], *ends])
            gone = [one for one in region.instances.values() if one.ended is not None and one.ended < before]
            for one in gone:
                self._ends.pop(one.id, None)
                del region.instances[one.id]
                shutil.rmtree(self._directory / one.id, ignore_errors=True)
            old = [key for key, one in region.tokens.items() if one["at"] < now.timestamp() - _TOKEN_SECONDS]
            for key in old:
                del region.tokens[key]
            past = (now - datetime.timedelta(seconds=_TOKEN_SECONDS)).isoformat()
            ended = [key for key, one in region.fleets.items() if one.created < past and not _lives(region, key)]
            for key in ended:
                del region.fleets[key]
            if gone or old or ended:
                self._store.save(name)

    async def close(self) -> None:
        """End every guest at once and say so of their instances."""
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
        """(guests that run, instances that wait for room)."""
        return len(self._running), len(self._waiting)

    def facts(self) -> list[dict[str, Any]]:
        """What each guest that runs takes of this machine."""
        return [{"instance": key, **one.guest.facts()} for key, one in self._running.items()]

    def _console_path(self, instance: Instance) -> Path:
        return self._directory / instance.id / "console.log"

    def _admit(self) -> None:
        # One that is about to boot again keeps its place.
        while self._waiting and len(self._running) + len(self._rebooting) < self._most and not self._closing:
            region, instance, plan = self._waiting.popleft()
            if instance.state == PENDING:
                self._start(region, instance, plan)

    def _plan(self, region: str, instance: Instance) -> BootPlan:
        """The next boot of an instance, its directory made. Raises Ec2Error or OSError for one that cannot be."""
        directory = self._directory / instance.id
        why = self._body.disk_problem(directory) if instance.boots else ""
        if why:
            raise Ec2Error("IncorrectInstanceState", f"The instance '{instance.id}' cannot be started here: {why}.")
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return BootPlan(
            instance=instance.id,
            directory=directory,
            hostname=instance.hostname,
            address=instance.address,
            user_data=base64.b64decode(instance.user_data),
            boot=instance.boots + 1,
            hardware=self._hardware(region, instance) if self._hardware is not None else None,
        )

    def _start(self, region: str, instance: Instance, plan: BootPlan) -> None:
        events = Events(
            running=lambda: self._on_running(instance),
            stopping=lambda verb: self._on_stopping(instance, verb),
            ended=lambda reason, detail: self._on_ended(instance, reason, detail),
        )
        loop = asyncio.get_running_loop()
        try:
            guest = self._body.make(plan, Console(self._console_path(instance)), events)
        except OSError as error:
            self._not_started(instance, f"its guest cannot be made: {error}")
            loop.call_soon(self._admit)
            return
        instance.boots += 1
        alarm = loop.call_at(self._ends[instance.id], self._overdue, instance.id)
        self._running[instance.id] = _Running(region, instance, guest, alarm)
        try:
            guest.start()
        except OSError as error:
            # A full disk, no more processes: the instance dies of it, not the request.
            guest.kill()
            loop.call_soon(self._on_ended, instance, CRASH, f"its guest cannot start: {error}")

    def _boot_again(self, region: str, instance: Instance) -> None:
        del self._rebooting[instance.id]
        try:
            plan = self._plan(region, instance)
        except (Ec2Error, OSError) as error:
            self._finish_lost(instance, f"it cannot boot again: {error}")
            self._let_go(instance)
            return
        self._start(region, instance, plan)

    def _not_started(self, instance: Instance, why: str) -> None:
        """Say of an instance that gets no guest what becomes of it; a disk that it has is kept."""
        if instance.boots and instance.state == PENDING:
            instance.state, instance.reason_code, instance.reason = STOPPED, _FAULT, f"{_FAULT}: {why}"
        else:
            self._finish_lost(instance, why)
        self._save(instance)

    def _overdue(self, identifier: str) -> None:
        """This machine's own guard: no guest lives for ever here, whatever it was meant to do."""
        running = self._running.get(identifier)
        if running is not None:
            running.overdue = True
            running.guest.kill()

    def _on_running(self, instance: Instance) -> None:
        if instance.state == PENDING:
            instance.state = RUNNING
            instance.reason_code = instance.reason = ""
            self._save(instance)

    def _on_stopping(self, instance: Instance, verb: str) -> None:
        if instance.state not in (PENDING, RUNNING) or verb != POWEROFF:
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
        again = reason == REBOOT or (reason == BUTTON and running.boot_again)
        if again and instance.state == RUNNING and not running.overdue:
            # The same disk, ahead of whoever waits: a reboot keeps its place.
            pause = asyncio.get_running_loop().call_later(_BOOT_PAUSE, self._boot_again, running.region, instance)
            self._rebooting[instance.id] = pause
            return
        if running.overdue:
            why = f"this machine ended it: no guest lives longer than {self._longest / 3600:g} h on it"
            self._finish_lost(instance, f"{why}; {detail}" if detail else why)
        elif reason == REFUSED:
            self._finish(instance, TERMINATED, "Client.InternalError", f"Client.InternalError: {detail}")
        elif instance.state == PENDING and instance.boots > 1 and reason == CRASH:
            self._not_started(instance, detail or "its guest died")
        elif instance.state in (PENDING, RUNNING) and reason not in (POWEROFF, BUTTON):
            self._finish_lost(instance, detail or "its guest died")
        self._let_go(instance)

    def _let_go(self, instance: Instance) -> None:
        """An instance has no guest any more: settle it, and give its place away."""
        self._settle(instance)
        self._admit()

    def _settle(self, instance: Instance) -> None:
        """Bring an instance without a guest to the state it was going to."""
        if instance.state == STOPPING:
            instance.state = STOPPED
        elif instance.state != TERMINATED and instance.state != STOPPED:
            self._finish(instance, TERMINATED, instance.reason_code, instance.reason)
        self._save(instance)

    def _finish_lost(self, instance: Instance, why: str) -> None:
        self._finish(instance, TERMINATED, _FAULT, f"{_FAULT}: {why}")

    def _finish(self, instance: Instance, state: str, code: str, reason: str) -> None:
        instance.state, instance.reason_code, instance.reason = state, code, reason
        instance.ended = self._clock.now().timestamp()
        # Of either kind: the cloud that stopped it may have had the other.
        remove_disk(self._directory / instance.id)

    def _save(self, instance: Instance) -> None:
        found = self._store.find(instance.id)
        if found is not None:
            # A disk that is full or gone must not hold up the guests; the region is written whole at its next change.
            with contextlib.suppress(OSError):
                self._store.save(found[0])


def _lives(region: RegionRecords, fleet: str) -> bool:
    """Whether an instance of a fleet is still known."""
    return any(one.fleet == fleet for one in region.instances.values())
