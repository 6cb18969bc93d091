"""Makes VM guests from what this machine has: QEMU, an image, an accelerator, network namespaces. Found once per `up`.

The life of one guest lives in machine.py, the image in image.py and build.py.
"""

import os
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.errors import CloudError
from localcloud.guests.child import python_command, succeeds
from localcloud.guests.console import Console
from localcloud.guests.disks import PROCESS_DISK, VM_DISK, stores
from localcloud.guests.guest import VM, BootPlan, Events, Hardware
from localcloud.guests.sockets import ENDPOINT, METADATA, GuestSockets, ServeMetadata
from localcloud.guests.vm import accelerator, image, qemu
from localcloud.guests.vm.machine import VmGuest
from localcloud.guests.vm.network import ENDPOINT as ENDPOINT_ADDRESS

_GIB = 1024**3
# Asks for more memory than any machine has, so `Capacity.allot` returns the most that a guest can get.
_LARGEST = Hardware("", 0, 2**30, "", 0, "", "", "")


@dataclass(frozen=True)
class VmBackend:
    """Makes VM guests. `private`: guests have network namespaces; `max_guests`: how many may run at once."""

    port: int
    internet: bool
    private: bool
    serve_metadata: ServeMetadata
    qemu_program: str
    qemu_version: str
    qemu_img: str
    image: image.GuestImage
    accelerator: accelerator.Accelerator
    capacity: qemu.Capacity
    max_guests: int
    kind: str = VM

    def make(self, plan: BootPlan, console: Console, events: Events) -> VmGuest:
        """Return a guest for one boot. Raises OSError if the plan has no hardware."""
        if plan.hardware is None:
            raise OSError("a vm guest needs to know its hardware")
        link, sockets = self._link(plan)
        launch_plan = self._launch_plan(plan, plan.hardware, link)
        return VmGuest(plan, console, events, sockets, launch_plan, self._make_disk_command(plan, plan.hardware))

    def disk_problem(self, directory: Path) -> str:
        """Return a reason if a process guest wrote the disk, or if the image below it is gone."""
        if (directory / PROCESS_DISK).exists():
            return "its disk was written by a process guest; start it in a local cloud with process guests"
        base = _backing_file(directory / VM_DISK)
        if base is not None and image.read(base.parent) is None:
            return f"the image under its disk is gone ({base.parent})"
        return ""

    def facts(self) -> dict[str, str]:
        """Return what runs in a guest."""
        return {"python": self.image.manifest.python, "architecture": self.image.manifest.architecture}

    def describe(self) -> dict[str, Any]:
        """Return facts for `up` and `status`."""
        return {
            "guests": VM,
            "sandbox": "machine",
            "accelerator": self.accelerator.name,
            "accelerator_why": self.accelerator.why,
            "image": self.image.manifest.digest,
            "interpreter": f"python {self.image.manifest.python}",
            "architecture": self.image.manifest.architecture,
            "guest_limits": list(self._limits()),
        }

    def _limits(self) -> Iterator[str]:
        cores = self.capacity.cores
        memory = self.capacity.allot(_LARGEST, self.accelerator.name, self.max_guests)[1]
        yield (
            f"this machine stands in for every type: a guest has {min(2, cores)} to {cores} virtual CPUs and"
            f" {qemu.MIN_MEMORY} to {memory} MiB of memory"
        )
        if self.accelerator.name == accelerator.TCG:
            yield "processors are emulated: a job takes several times as long as on this machine itself"
        if self.internet:
            yield "guests reach this machine's network and the internet, as this user; their own addresses are 169.254.x.y"
        elif self.private:
            yield "guests reach their metadata and the endpoint; nothing else of this machine or the internet"
        else:
            yield "no namespaces here: guests' own addresses are 169.254.x.y; they still reach only metadata and the endpoint"
        yield f"AWS_ENDPOINT_URL is http://{ENDPOINT_ADDRESS}:{self.port} in a guest; the cloud's own URL works there too, slower"
        yield "no instance store, no second volume or network card, no IPv6"

    def _link(self, plan: BootPlan) -> tuple[qemu.Link, GuestSockets]:
        if self.private and not self.internet:
            return qemu.Link(self.port), GuestSockets(plan.instance, self.port, self.serve_metadata)
        sockets = GuestSockets(plan.instance, self.port, self.serve_metadata, plan.directory)
        forward = tuple(python_command("localcloud.guests.vm.forward", "main", str(plan.directory)))
        return qemu.Link(self.port, ((*forward, METADATA), (*forward, ENDPOINT)), self.internet), sockets

    def _launch_plan(self, plan: BootPlan, hardware: Hardware, link: qemu.Link) -> Callable[[int], dict[str, Any]]:
        """Return the function that makes network.py's plan from the descriptor of QEMU's monitor."""
        base = _backing_file(plan.directory / VM_DISK)
        kernel = self.image.kernel
        if base is not None:
            kernel = base.parent / image.KERNEL
        cpus, memory = self.capacity.allot(hardware, self.accelerator.name, self.max_guests)
        grow = hardware.disk * _GIB > self._least_disk
        kernel_line = qemu.kernel_command_line(image.KERNEL_ARGUMENTS, self.port, grow, bool(hardware.stores))

        def launch_plan(stream: int) -> dict[str, Any]:
            machine = qemu.Machine(
                program=self.qemu_program,
                version=self.qemu_version,
                kernel=kernel,
                kernel_line=kernel_line,
                accelerator=self.accelerator.name,
                cpus=cpus,
                memory=memory,
                disk=plan.directory / VM_DISK,
                stream=stream,
                stores=tuple(stores(plan.directory, hardware.stores)),
            )
            command = qemu.command(machine, plan.instance, plan.hostname, plan.address, hardware, link)
            return {"private": not link.forwarders, "port": self.port, "command": command}

        return launch_plan

    @property
    def _least_disk(self) -> int:
        return self.image.manifest.lengths[image.ROOT]

    def _make_disk_command(self, plan: BootPlan, hardware: Hardware) -> list[str]:
        """Return the command that makes a layer over the image, as large as the volume but never smaller than the image."""
        size = max(hardware.disk * _GIB, self._least_disk)
        create = [self.qemu_img, "create", "-q", "-f", "qcow2", "-b", str(self.image.root), "-F", "raw"]
        return [*create, str(plan.directory / VM_DISK), str(size)]


def find_backend(port: int, internet: bool, serve_metadata: ServeMetadata, max_guests: int | None) -> VmBackend:
    """Return the backend for this machine. Takes seconds the first time, for the KVM probe. Raises CloudError."""
    cache = image.cache_directory()
    program = accelerator.find_qemu()
    qemu_img = shutil.which("qemu-img")
    if qemu_img is None:
        raise CloudError(
            "vm guests need qemu-img, which is not installed.",
            "On Debian and Ubuntu: sudo apt-get install --no-install-recommends qemu-utils",
        )
    found = image.find(cache)
    if found is None:
        raise CloudError(
            f"No guest image is in {cache}.",
            "Build it with `python -m localcloud image` (a minute or two), or start without --guests vm.",
        )
    if port == 80:
        raise CloudError("vm guests use port 80 for their metadata.", "Choose another port for the cloud with --port.")
    chosen = accelerator.choose(found, cache)
    capacity = qemu.Capacity(len(os.sched_getaffinity(0)), free_memory())
    if max_guests is None:
        max_guests = capacity.guests(chosen.name)
    return VmBackend(
        port=port,
        internet=internet,
        private=can_make_network(),
        serve_metadata=serve_metadata,
        qemu_program=program,
        qemu_version=accelerator.qemu_version(program),
        qemu_img=qemu_img,
        image=found,
        accelerator=chosen,
        capacity=capacity,
        max_guests=max(1, max_guests),
    )


def can_make_network() -> bool:
    """Return whether this user may create a network namespace for a guest; it creates one once."""
    return succeeds("localcloud.guests.vm.network", "probe")


def free_memory() -> int:
    """Return the MiB that guests could take now: what is free on this machine, limited by this process's control group."""
    free = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) // 1024
    with suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2]
        limit = Path(f"/sys/fs/cgroup{group}/memory.max").read_text().strip()
        free = min(free, int(limit) // 1024**2)
    return free


def _backing_file(disk: Path) -> Path | None:
    """Return the file below a qcow2 layer, from its header (QEMU's qcow2 specification: offset at byte 8, length at 16)."""
    try:
        with disk.open("rb") as layer:
            magic, _, offset, length = struct.unpack(">4sIQI", layer.read(20))
            if magic != b"QFI\xfb" or not offset:
                return None
            layer.seek(offset)
            return Path(os.fsdecode(layer.read(length)))
    except (OSError, struct.error):
        return None
