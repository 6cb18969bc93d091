"""The few Linux system calls that the standard library of Python 3.11 lacks.

Standard library only, and nothing of a guest's plan: this file is loaded by the guest's own process.
"""

import ctypes
import fcntl
import os
import socket
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_RELATIME = 0x200000
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_SLAVE = 0x80000

_MNT_DETACH = 2
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_SIOCSIFFLAGS = 0x8914
_SIOCSIFADDR = 0x8916
_SIOCSIFNETMASK = 0x891C
_IFF_UP_RUNNING = 0x41

# A mount option as /proc/self/mountinfo writes it, and the flag that must be said again at a remount: in a user
# namespace the kernel refuses a remount that would clear one.
_KEPT_OPTIONS = {
    "ro": MS_RDONLY,
    "nosuid": MS_NOSUID,
    "nodev": MS_NODEV,
    "noexec": MS_NOEXEC,
    "noatime": MS_NOATIME,
    "nodiratime": MS_NODIRATIME,
    "relatime": MS_RELATIME,
}

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones. Raises OSError."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2). Raises OSError naming the target."""
    arguments = [part.encode() if part else None for part in (source, target, kind)]
    _checked(_libc.mount(*arguments, ctypes.c_ulong(flags), data.encode() if data else None), f"mount {target}")


def bind(source: str, target: str, read_only: bool = False) -> None:
    """Show `source` (and what is mounted below it) at `target`."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        make_read_only(target)


def make_read_only(target: str) -> None:
    """Make the mount at `target`, and every mount below it, read-only."""
    real = os.path.realpath(target)
    for point, options in _mounts():
        if point == real or point.startswith(real.rstrip("/") + "/"):
            kept = 0
            for option in options:
                kept |= _KEPT_OPTIONS.get(option, 0)
            mount("", point, flags=MS_REMOUNT | MS_BIND | MS_RDONLY | kept)


def _mounts() -> list[tuple[str, list[str]]]:
    found = []
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            fields = line.split(" ")
            point = fields[4].replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
            found.append((point, fields[5].split(",")))
    return found


def change_root(directory: str, old: str) -> None:
    """Make `directory` (a mount point) the root of this mount namespace; the old root is then at `old` in it."""
    os.chdir(directory)
    _checked(_libc.pivot_root(b".", b"." + old.encode()), "pivot_root")
    os.chdir("/")


def drop_tree(path: str) -> None:
    """Take the mount at `path`, and all below it, out of sight."""
    _checked(_libc.umount2(path.encode(), _MNT_DETACH), "umount2")


def die_with_parent() -> None:
    """Be killed when the thread that started this process ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl(PDEATHSIG)")


def outlive_parent() -> None:
    """Undo `die_with_parent`."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0), "prctl(PDEATHSIG)")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(SUBREAPER)")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Take every other capability from whatever this process will exec; its own stay."""
    with open("/proc/sys/kernel/cap_last_cap") as said:
        last = int(said.read())
    for number in range(last + 1):
        if number not in kept:
            _checked(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "prctl(CAPBSET_DROP)")


def loopback_up(*addresses: str) -> None:
    """Start `lo` in this network namespace and give it these further IPv4 addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
        for number, address in enumerate(addresses, 1):
            name = f"lo:{number}".encode()
            fcntl.ioctl(control, _SIOCSIFADDR, _address_request(name, address))
            fcntl.ioctl(control, _SIOCSIFNETMASK, _address_request(name, "255.255.255.255"))


def _address_request(name: bytes, address: str) -> bytes:
    return struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
