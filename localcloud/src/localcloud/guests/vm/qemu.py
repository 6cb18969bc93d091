"""How QEMU is told what machine to be: its command line, the guest kernel's words, and how many such machines fit here.

Values in, values out; starting and hearing it is machine.py.
"""

import hashlib
import ipaddress
import re
import shlex
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from localcloud.guests.guest import Hardware
from localcloud.guests.vm.net import METADATA

TCG, KVM = "tcg", "kvm"
LEAST_MEMORY = 512
_TRANSLATED = 128
"""MiB that QEMU may fill with translated code; without a bound it takes a few hundred per guest."""
_OVERHEAD = {TCG: 300, KVM: 100}
"""MiB that QEMU takes beside the guest's own memory, measured with a margin."""
_SHARE = 0.75
"""How much of the memory that is free when the cloud starts may be promised to guests."""
_GUESTS_PER_CORE = {TCG: 1, KVM: 4}
_SOUND_SINCE = (8, 1)
"""Before this version, an emulated processor may keep code that another one was just patching, and the guest's kernel
panics with "int3" at its boot, one boot in a dozen on a busy machine. One thread for all processors of a guest avoids it,
at a fourth more time to boot (linux-kernel list, July 2023, "qemu-x86_64 booting with 8.0.0 stil see int3")."""
_CPU = {TCG: "Nehalem", KVM: "host"}
"""Under TCG a plain model: newer instructions are emulated slowly, and guests that find them use them."""


@dataclass(frozen=True)
class Room:
    """What this machine has for guests: cores, and MiB of memory that is free."""

    cores: int
    memory: int

    def guests(self, accelerator: str) -> int:
        """How many guests it carries at once. Under TCG each takes whole cores while it boots."""
        by_memory = int(self.memory * _SHARE) // (LEAST_MEMORY + _OVERHEAD[accelerator])
        return max(1, min(self.cores * _GUESTS_PER_CORE[accelerator], by_memory))

    def fitting(self, hardware: Hardware, accelerator: str, most: int) -> tuple[int, int]:
        """(virtual CPUs, MiB of memory) that a guest gets here, when `most` of them may run at once.

        CPUs are the type's, but two where this machine has them, since one boots half as fast, and never more than it
        has. Memory is the type's, at most this guest's share, at least what boots.
        """
        share = int(self.memory * _SHARE) // most - _OVERHEAD[accelerator]
        return min(self.cores, max(2, hardware.cpus)), max(LEAST_MEMORY, min(hardware.memory, share))


@dataclass(frozen=True)
class Link:
    """How a guest reaches its metadata and the endpoint at METADATA:`port`.

    `carriers` is empty where QEMU stands in a network of its own that has them; else the commands that carry a connection
    to each. `internet`: whether it reaches this machine's network besides.
    """

    port: int
    carriers: tuple[Sequence[str], ...] = ()
    internet: bool = False


@dataclass(frozen=True)
class Machine:
    """One machine to be. `version` is QEMU's; `stream` is the descriptor on which it speaks."""

    program: str
    version: str
    kernel: Path
    words: str
    accelerator: str
    cpus: int
    memory: int
    disk: Path
    stream: int


def command(machine: Machine, instance: str, hostname: str, address: str, hardware: Hardware, link: Link) -> list[str]:
    """QEMU's whole command line.

    The firmware says what EC2's does (EC2 User Guide, "Inspect the system UUID"): a UUID and serial that begin with `ec2`.
    """
    serial = _uuid(instance)
    # A carrier is a child in a session of its own; setsid(2) counts as an elevation.
    spawn = "allow" if link.carriers else "deny"
    return [
        machine.program,
        *("-name", _safe(instance)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,vmport=off"),
        *("-accel", _accelerator(machine)),
        *("-cpu", _CPU[machine.accelerator]),
        *("-smp", str(machine.cpus)),
        *("-m", str(machine.memory)),
        *("-kernel", str(machine.kernel)),
        *("-append", machine.words),
        # Its life is one run of this process: a flush would protect only from a power cut of this machine.
        *("-drive", f"file={_safe(str(machine.disk))},format=qcow2,if=none,id=root,cache=unsafe,discard=unmap"),
        *("-device", f"nvme,drive=root,serial={_safe(hardware.volume.replace('-', ''))}"),
        *("-netdev", netdev(hostname, address, hardware, link)),
        *("-device", f"virtio-net-pci,netdev=net,mac={hardware.mac},romfile="),
        *("-device", "virtio-rng-pci"),
        *("-device", "pvpanic-pci"),
        *("-smbios", "type=0,vendor=Amazon EC2,version=1.0"),
        *("-smbios", f"type=1,manufacturer=Amazon EC2,product={_safe(hardware.kind)},serial={serial},uuid={serial}"),
        *("-rtc", "base=utc"),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,fd={machine.stream}", "-mon", "chardev=qmp,mode=control"),
        # A reboot ends QEMU and is told; a panic is told and then left to the guest's own kernel, as on EC2.
        *("-action", "reboot=shutdown,shutdown=poweroff,panic=none,watchdog=none"),
        *("-sandbox", f"on,obsolete=deny,elevateprivileges={spawn},spawn={spawn},resourcecontrol=deny"),
    ]


def netdev(hostname: str, address: str, hardware: Hardware, link: Link) -> str:
    """The user network. In a network of its own the guest has its instance's address in its subnet; where metadata must
    be inside the guest's own net it has one of 169.254.0.0/16 that ends in the same two numbers."""
    if not link.carriers:
        net = ipaddress.ip_network(hardware.cidr)
        router, resolver, own = str(net[1]), str(net[2]), address
    else:
        net = ipaddress.ip_network("169.254.0.0/16")
        router, resolver, own = str(net[1]), str(net[2]), link_local(address)
    words = [
        "user,id=net,ipv6=off",
        f"net={net}",
        f"host={router}",
        f"dns={resolver}",
        f"dhcpstart={own}",
        f"hostname={_safe(hostname)}",
        f"domainname={_safe(hardware.domain)}",
    ]
    if link.carriers:
        words.append(f"restrict={'off' if link.internet else 'on'}")
        for port, carrier in zip((80, link.port), link.carriers, strict=True):
            words.append(_safe(f"guestfwd=tcp:{METADATA}:{port}-cmd:{shlex.join(carrier)}"))
    return ",".join(words)


def link_local(address: str) -> str:
    """The address of 169.254.0.0/16 that ends as `address` does; another where that one has a meaning of its own."""
    found = "169.254." + ".".join(address.split(".")[2:])
    return "169.254.1.1" if found in (METADATA, "169.254.0.1", "169.254.0.2", "169.254.0.0") else found


def kernel_words(image_words: str, endpoint_port: int, grow: bool) -> str:
    """The guest kernel's command line: the image's own, the endpoint's URL for every program, and a first program.

    A machine's 127.0.0.1 is its own, so programs get the endpoint beside the metadata. A link that was signed outside holds
    only at 127.0.0.1, though: before systemd, the shell puts a socket there which systemd-socket-proxyd carries on from
    when first used. Both units have no default dependencies: a boothook runs before sysinit.target and must not wait for it.
    With `grow` the file system is first made as large as its disk, as cloud-init does on EC2.
    """
    socket = f"[Unit]\\nDefaultDependencies=no\\n[Socket]\\nListenStream=127.0.0.1:{endpoint_port}\\n"
    service = (
        "[Unit]\\nDefaultDependencies=no\\n[Service]\\n"
        f"ExecStart=/usr/lib/systemd/systemd-socket-proxyd {METADATA}:{endpoint_port}\\n"
    )
    growing = (
        "mount -t proc proc /proc",
        "mount -t devtmpfs dev /dev",
        "resize2fs /dev/nvme0n1 >/dev/null",
        "umount /dev /proc",
    )
    steps = (
        *(growing if grow else ()),
        "mount -t tmpfs -o mode=755,size=20%,nosuid,nodev tmpfs /run",
        "cd /run",
        "mkdir -p systemd/system/sockets.target.wants",
        "cd systemd/system",
        f"printf '{socket}' >localcloud-endpoint.socket",
        f"printf '{service}' >localcloud-endpoint.service",
        "ln -s ../localcloud-endpoint.socket sockets.target.wants/",
        "cd /",
        "exec /sbin/init",
    )
    environment = f"systemd.setenv=AWS_ENDPOINT_URL=http://{METADATA}:{endpoint_port}"
    return f'{image_words} {environment} init=/bin/sh -- -c "{"; ".join(steps)}"'


def _accelerator(machine: Machine) -> str:
    if machine.accelerator != TCG:
        return machine.accelerator
    numbers = tuple(int(part) for part in re.findall(r"\d+", machine.version)[:2])
    return f"tcg,tb-size={_TRANSLATED},thread={'multi' if numbers >= _SOUND_SINCE else 'single'}"


def _uuid(instance: str) -> str:
    """A UUID of the instance's own that begins with `ec2`."""
    digits = hashlib.sha256(instance.encode()).hexdigest()[:29]
    return str(uuid.UUID(hex="ec2" + digits))


def _safe(value: str) -> str:
    """A value inside one of QEMU's comma lists."""
    return value.replace(",", ",,")
