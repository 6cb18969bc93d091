"""QEMU's command line, the guest kernel's command line, and how many VM guests fit on this machine.

Values in, values out: starting and controlling QEMU lives in machine.py.
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
from localcloud.guests.vm.accelerator import KVM, TCG
from localcloud.guests.vm.network import ENDPOINT, METADATA

MIN_MEMORY = 512
"""MiB that a guest needs to boot."""
_TRANSLATION_CACHE = 128
"""MiB of translated code that QEMU may keep; without a limit it takes a few hundred per guest."""
_OVERHEAD = {TCG: 300, KVM: 100}
"""MiB that QEMU takes in addition to the guest's own memory, measured, with a margin."""
_SHARE = 0.75
"""The share of the memory free at the cloud's start that guests may have."""
_GUESTS_PER_CORE = {TCG: 1, KVM: 4}
_MULTITHREADED_SINCE = (8, 1)
"""Before this version of QEMU, an emulated processor may run code that another one is just patching, and the guest's kernel
panics with "int3" at its boot, one boot in a dozen on a busy machine. One thread for all processors of a guest avoids that,
and takes a quarter more time to boot (linux-kernel list, July 2023, "qemu-x86_64 booting with 8.0.0 stil see int3")."""
_CPU = {TCG: "Nehalem", KVM: "host"}
"""Under TCG an old model, because newer instructions are slow to emulate and guests use them when they find them."""
# Addresses of QEMU's user network itself: the network, the host and the name server; the metadata service and the cloud.
_RESERVED = (METADATA, ENDPOINT, "169.254.0.0", "169.254.0.1", "169.254.0.2")


@dataclass(frozen=True)
class Capacity:
    """What this machine has for guests: cores, and free memory in MiB."""

    cores: int
    memory: int

    def guests(self, accelerator: str) -> int:
        """Return how many guests can run at once. Under TCG each uses a full core while it boots."""
        by_memory = int(self.memory * _SHARE) // (MIN_MEMORY + _OVERHEAD[accelerator])
        return max(1, min(self.cores * _GUESTS_PER_CORE[accelerator], by_memory))

    def allot(self, hardware: Hardware, accelerator: str, max_guests: int) -> tuple[int, int]:
        """Return (virtual CPUs, MiB of memory) of a guest, if `max_guests` may run at once.

        CPUs are the type's, but at least two, since one boots half as fast, and at most this machine's. Memory is the
        type's, but at most this guest's share and at least MIN_MEMORY.
        """
        share = int(self.memory * _SHARE) // max_guests - _OVERHEAD[accelerator]
        return min(self.cores, max(2, hardware.cpus)), max(MIN_MEMORY, min(hardware.memory, share))


@dataclass(frozen=True)
class Link:
    """How a guest reaches its metadata and the endpoint at ENDPOINT:`port`.

    `forwarders` is empty if QEMU runs in a network namespace that has both; otherwise it has the commands that forward one
    connection to each. `internet`: whether the guest also reaches this machine's network.
    """

    port: int
    forwarders: tuple[Sequence[str], ...] = ()
    internet: bool = False


@dataclass(frozen=True)
class Machine:
    """A virtual machine to start. `version` is QEMU's; `stream` is the descriptor of its monitor; `memory` in MiB.

    `stores`: the disks of the instance storage.
    """

    program: str
    version: str
    kernel: Path
    kernel_line: str
    accelerator: str
    cpus: int
    memory: int
    disk: Path
    stream: int
    stores: tuple[Path, ...] = ()


def command(machine: Machine, instance: str, hostname: str, address: str, hardware: Hardware, link: Link) -> list[str]:
    """Return QEMU's command line.

    As on EC2 (EC2 User Guide, "Inspect the system UUID"), the firmware has a UUID and serial that begin with `ec2`.
    """
    serial = _uuid(instance)
    product = f"manufacturer=Amazon EC2,product={_escape(hardware.instance_type)}"
    return [
        machine.program,
        *("-name", _escape(instance)),
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,vmport=off"),
        *("-accel", _accelerator(machine)),
        *("-cpu", _CPU[machine.accelerator]),
        *("-smp", str(machine.cpus)),
        *("-m", str(machine.memory)),
        *("-kernel", str(machine.kernel)),
        *("-append", machine.kernel_line),
        # The disk need not survive a power cut of this machine, the only thing that a flush would protect it from.
        *("-drive", f"file={_escape(str(machine.disk))},format=qcow2,if=none,id=root,cache=unsafe,discard=unmap"),
        *("-device", f"nvme,id=nvme,drive=root,serial={_escape(hardware.volume.replace('-', ''))}"),
        *_stores(machine.stores),
        *("-netdev", netdev(hostname, address, hardware, link)),
        *("-device", f"virtio-net-pci,netdev=net,mac={hardware.mac},romfile="),
        *("-device", "virtio-rng-pci"),
        *("-device", "pvpanic-pci"),
        *("-smbios", "type=0,vendor=Amazon EC2,version=1.0"),
        *("-smbios", f"type=1,{product},serial={serial},uuid={serial}"),
        *("-rtc", "base=utc"),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=qmp,fd={machine.stream}", "-mon", "chardev=qmp,mode=control"),
        # A reboot ends QEMU, with an event. A panic is only an event, and the guest's kernel decides, as on EC2.
        *("-action", "reboot=shutdown,shutdown=poweroff,panic=none,watchdog=none"),
        *("-sandbox", _seccomp(link)),
    ]


def netdev(hostname: str, address: str, hardware: Hardware, link: Link) -> str:
    """Return the options of QEMU's user network.

    In a network namespace the guest has its instance's address in its subnet. Otherwise metadata must be inside the guest's
    network, so the guest has an address of 169.254.0.0/16 that ends in the same two numbers.
    """
    if link.forwarders:
        net, own = ipaddress.ip_network("169.254.0.0/16"), link_local(address)
    else:
        net, own = ipaddress.ip_network(hardware.cidr), address
    options = [
        "user,id=net,ipv6=off",
        f"net={net}",
        f"host={net[1]}",
        f"dns={net[2]}",
        f"dhcpstart={own}",
        f"hostname={_escape(hostname)}",
        f"domainname={_escape(hardware.domain)}",
    ]
    if link.forwarders:
        options.append("restrict=off" if link.internet else "restrict=on")
        places = (f"{METADATA}:80", f"{ENDPOINT}:{link.port}")
        for place, forwarder in zip(places, link.forwarders, strict=True):
            options.append(_escape(f"guestfwd=tcp:{place}-cmd:{shlex.join(forwarder)}"))
    return ",".join(options)


def link_local(address: str) -> str:
    """Return the address of 169.254.0.0/16 that ends as `address` does, or 169.254.1.1 if that one is reserved."""
    found = "169.254." + ".".join(address.split(".")[2:])
    if found in _RESERVED:
        return "169.254.1.1"
    return found


_STORE_RULE = (
    r"SUBSYSTEM==\042block\042, ENV{DEVTYPE}==\042disk\042, KERNEL==\042nvme0n*\042, KERNEL!=\042nvme0n1\042, "
    r"SYMLINK+=\042disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_AWS%%n\042\n"
)
"""A rule for udev, as printf's format: disks of the instance storage have the name that they have on EC2."""


def kernel_command_line(image_arguments: str, endpoint_port: int, grow: bool, has_stores: bool = False) -> str:
    """Return the guest kernel's command line: the image's own, the endpoint's URL for all programs, and a first program.

    In a VM 127.0.0.1 is the guest, so programs get the endpoint at an address of its own. A URL that was signed outside is
    valid only for 127.0.0.1, though, so the first program, a shell, installs a systemd socket there, which
    systemd-socket-proxyd forwards when it is first used. Both units have no default dependencies, because a boothook runs
    before sysinit.target and must not wait for it. With `grow` the shell first grows the file system to its disk, as
    cloud-init does on EC2. `has_stores`: the guest has instance storage, whose disks get the names that they have on EC2.
    """
    socket = f"[Unit]\\nDefaultDependencies=no\\n[Socket]\\nListenStream=127.0.0.1:{endpoint_port}\\n"
    service = (
        "[Unit]\\nDefaultDependencies=no\\n[Service]\\n"
        f"ExecStart=/usr/lib/systemd/systemd-socket-proxyd {ENDPOINT}:{endpoint_port}\\n"
    )
    naming = []
    if has_stores:
        naming = ["mkdir -p /run/udev/rules.d", f"printf '{_STORE_RULE}' >/run/udev/rules.d/61-instance-storage.rules"]
    steps = [
        "mount -t tmpfs -o mode=755,size=20%,nosuid,nodev tmpfs /run",
        "cd /run",
        "mkdir -p systemd/system/sockets.target.wants",
        "cd systemd/system",
        f"printf '{socket}' >localcloud-endpoint.socket",
        f"printf '{service}' >localcloud-endpoint.service",
        "ln -s ../localcloud-endpoint.socket sockets.target.wants/",
        *naming,
        "cd /",
        "exec /sbin/init",
    ]
    if grow:
        steps = [
            "mount -t proc proc /proc",
            "mount -t devtmpfs dev /dev",
            "resize2fs /dev/nvme0n1 >/dev/null",
            "umount /dev /proc",
            *steps,
        ]
    environment = f"systemd.setenv=AWS_ENDPOINT_URL=http://{ENDPOINT}:{endpoint_port}"
    return f'{image_arguments} {environment} init=/bin/sh -- -c "{"; ".join(steps)}"'


def _stores(paths: Sequence[Path]) -> list[str]:
    """Return the options for the instance storage.

    Its disks are further namespaces of the root volume's controller, because the kernel numbers controllers in the order in
    which it finds them, and the root must be nvme0n1.
    """
    found: list[str] = []
    for number, path in enumerate(paths):
        drive = f"file={_escape(str(path))},format=raw,if=none,id=store{number},cache=unsafe,discard=unmap"
        found += ["-drive", drive, "-device", f"nvme-ns,drive=store{number},bus=nvme,nsid={number + 2}"]
    return found


def _accelerator(machine: Machine) -> str:
    if machine.accelerator != TCG:
        return machine.accelerator
    version = tuple(int(part) for part in re.findall(r"\d+", machine.version)[:2])
    threads = "multi" if version >= _MULTITHREADED_SINCE else "single"
    return f"tcg,tb-size={_TRANSLATION_CACHE},thread={threads}"


def _seccomp(link: Link) -> str:
    # A forwarder is a child process in its own session, and setsid(2) counts as an elevation of privileges.
    spawn = "allow" if link.forwarders else "deny"
    return f"on,obsolete=deny,elevateprivileges={spawn},spawn={spawn},resourcecontrol=deny"


def _uuid(instance: str) -> str:
    """Return the instance's UUID, which begins with `ec2`."""
    digits = hashlib.sha256(instance.encode()).hexdigest()[:29]
    return str(uuid.UUID(hex="ec2" + digits))


def _escape(value: str) -> str:
    """Return `value` escaped for a comma-separated list of QEMU options."""
    return value.replace(",", ",,")
