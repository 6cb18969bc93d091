"""What machine guests are made of on this machine: QEMU, an image, an accelerator, a way to the network; found out once per `up`.

One guest's life is machine.py; the image itself is image.py and build.py.
"""

import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud.errors import CloudError
from localcloud.guests.child import call, works
from localcloud.guests.console import Console
from localcloud.guests.disks import FOLDER, LAYER
from localcloud.guests.guest import VM, Events, Hardware, Plan
from localcloud.guests.sockets import ENDPOINT, METADATA, ServeMetadata, Sockets
from localcloud.guests.vm import image, probe, qemu
from localcloud.guests.vm.machine import MachineGuest
from localcloud.guests.vm.net import METADATA as METADATA_ADDRESS

_GIB = 1024**3


@dataclass(frozen=True)
class MachineBody:
    """How machine guests are made here. `private`: each has a network namespace; `most`: how many may run at once."""

    port: int
    internet: bool
    private: bool
    serve_metadata: ServeMetadata
    program: str
    version: str
    imager: str
    image: image.GuestImage
    accelerator: probe.Accelerator
    room: qemu.Room
    most: int
    kind: str = VM

    def make(self, plan: Plan, console: Console, events: Events) -> MachineGuest:
        """A guest for one boot; the plan must say its hardware."""
        if plan.hardware is None:
            raise OSError("a machine needs to know its hardware")
        link, sockets = self._link(plan)
        return MachineGuest(
            plan, console, events, sockets, self._starting(plan, plan.hardware, link), self._disk(plan, plan.hardware)
        )

    def why_not(self, directory: Path) -> str:
        """A disk is booted only by the kind of guest that wrote it, on the image it was laid over."""
        if (directory / FOLDER).exists():
            return "its disk is that of a process guest; it starts in a local cloud whose guests are processes"
        under = _under(directory / LAYER)
        if under is not None and image.read(under.parent) is None:
            return f"the image under its disk is gone ({under.parent})"
        return ""

    def facts(self) -> dict[str, str]:
        """What really runs in a guest."""
        return {"python": self.image.manifest.python, "architecture": self.image.manifest.architecture}

    def describe(self) -> dict[str, Any]:
        """Facts for `up` and `status`."""
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
        memory = self.room.fitting(Hardware("", 0, 2**30, "", 0, "", "", ""), self.accelerator.name, self.most)[1]
        yield (
            f"types are played by this machine: at most {self.room.cores} virtual CPUs and {memory} MiB a guest, at least"
            f" {min(2, self.room.cores)} and {qemu.LEAST_MEMORY}"
        )
        if self.accelerator.name == qemu.TCG:
            yield "processors are emulated: a job takes several times as long as on this machine itself"
        if self.internet:
            yield "guests reach this machine's network and the world, as this user; their own addresses are 169.254.x.y"
        elif self.private:
            yield "guests reach their metadata and the endpoint; nothing else of this machine or the world"
        else:
            yield "no namespaces here: their own addresses are 169.254.x.y; still they reach only metadata and the endpoint"
        yield f"AWS_ENDPOINT_URL is http://{METADATA_ADDRESS}:{self.port} in a guest; the cloud's own URL works there too, slower"
        yield "no instance store, no second volume or network card, no IPv6"

    def _link(self, plan: Plan) -> tuple[qemu.Link, Sockets]:
        if self.private and not self.internet:
            return qemu.Link(self.port), Sockets(plan.instance, self.port, self.serve_metadata)
        sockets = Sockets(plan.instance, self.port, self.serve_metadata, plan.directory)
        start = tuple(call("localcloud.guests.vm.carry", "main", str(plan.directory)))
        return qemu.Link(self.port, ((*start, METADATA), (*start, ENDPOINT)), self.internet), sockets

    def _starting(self, plan: Plan, hardware: Hardware, link: qemu.Link) -> Any:
        under = _under(plan.directory / LAYER)
        kernel = self.image.kernel if under is None else under.parent / image.KERNEL
        cpus, memory = self.room.fitting(hardware, self.accelerator.name, self.most)
        words = qemu.kernel_words(image.KERNEL_ARGUMENTS, self.port, hardware.disk * _GIB > self._least_disk)

        def starting(stream: int) -> dict[str, Any]:
            machine = qemu.Machine(
                program=self.program,
                version=self.version,
                kernel=kernel,
                words=words,
                accelerator=self.accelerator.name,
                cpus=cpus,
                memory=memory,
                disk=plan.directory / LAYER,
                stream=stream,
            )
            line = qemu.command(machine, plan.instance, plan.hostname, plan.address, hardware, link)
            return {"private": not link.carriers, "port": self.port, "command": line}

        return starting

    @property
    def _least_disk(self) -> int:
        return self.image.manifest.lengths[image.ROOT]

    def _disk(self, plan: Plan, hardware: Hardware) -> list[str]:
        """The command for a new layer over the image, of the volume's size, never smaller than the image."""
        size = max(hardware.disk * _GIB, self._least_disk)
        made = [self.imager, "create", "-q", "-f", "qcow2", "-b", str(self.image.root), "-F", "raw"]
        return [*made, str(plan.directory / LAYER), str(size)]


def find_body(port: int, internet: bool, serve_metadata: ServeMetadata, most: int | None) -> MachineBody:
    """Look at what this machine has. Takes seconds the first time, for the probe. Raises CloudError."""
    cache = image.cache_directory()
    program = probe.qemu()
    imager = shutil.which("qemu-img")
    if imager is None:
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
        raise CloudError("Machines have their metadata at port 80.", "Give the cloud another port with --port.")
    accelerator = probe.verdict(found, cache)
    room = qemu.Room(len(os.sched_getaffinity(0)), free_memory())
    return MachineBody(
        port=port,
        internet=internet,
        private=can_network(),
        serve_metadata=serve_metadata,
        program=program,
        version=probe.qemu_version(program),
        imager=imager,
        image=found,
        accelerator=accelerator,
        room=room,
        most=room.guests(accelerator.name) if most is None else max(1, most),
    )


def can_network() -> bool:
    """Try once whether this user may give a guest a network namespace."""
    return works("localcloud.guests.vm.net", "probe")


def free_memory() -> int:
    """MiB that guests could take now: free here, and within this process's control group."""
    free = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) // 1024
    with suppress(OSError, ValueError, IndexError):
        group = Path("/proc/self/cgroup").read_text().splitlines()[-1].split(":", 2)[2]
        bound = Path(f"/sys/fs/cgroup{group}/memory.max").read_text().strip()
        free = min(free, int(bound) // 1024**2)
    return free


def _under(disk: Path) -> Path | None:
    """The file under a layer, as its header has it (QEMU's qcow2 specification: offset at byte 8, length at 16)."""
    try:
        with disk.open("rb") as layer:
            magic, _, offset, length = struct.unpack(">4sIQI", layer.read(20))
            if magic != b"QFI\xfb" or not offset:
                return None
            layer.seek(offset)
            return Path(os.fsdecode(layer.read(length)))
    except (OSError, struct.error):
        return None
