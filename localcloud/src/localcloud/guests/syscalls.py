"""The few Linux system calls that the standard library of Python 3.11 lacks.

Standard library only, because the guest's own process imports this file. It knows nothing of guests.
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

# A mount option as /proc/self/mountinfo writes it, and its flag. A remount must repeat these flags: in a user namespace
# the kernel refuses a remount that would clear one.
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


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones. Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Call mount(2). Raises OSError with the target in its text."""
    result = _libc.mount(_text(source), _text(target), _text(kind), ctypes.c_ulong(flags), _text(data))
    _check(result, f"mount {target}")


def mount_proc(target: str) -> None:
    """Mount a proc file system of this process namespace at `target`. Raises OSError."""
    mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)


def _text(value: str) -> bytes | None:
    """Return a C string, or NULL for an empty one."""
    return value.encode() or None


def bind(source: str, target: str, read_only: bool = False) -> None:
    """Bind `source`, and what is mounted below it, to `target`. Raises OSError."""
    mount(source, target, flags=MS_BIND | MS_REC)
    if read_only:
        make_read_only(target)


def make_read_only(target: str) -> None:
    """Make the mount at `target`, and every mount below it, read-only. Raises OSError."""
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
    """Make `directory`, a mount point, the root of this mount namespace; the old root is then at `old` in it."""
    os.chdir(directory)
    _check(_libc.pivot_root(b".", b"." + old.encode()), "pivot_root")
    os.chdir("/")


def unmount_tree(path: str) -> None:
    """Unmount `path` and every mount below it, as soon as they are no longer busy."""
    _check(_libc.umount2(path.encode(), _MNT_DETACH), "umount2")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "prctl(PDEATHSIG)")


def outlive_parent() -> None:
    """Undo `die_with_parent`."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0), "prctl(PDEATHSIG)")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(SUBREAPER)")


def keep_capabilities(kept: frozenset[int]) -> None:
    """Drop all other capabilities from the programs that this process will exec; it keeps its own."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for number in range(last + 1):
        if number not in kept:
            _check(_libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0), "prctl(CAPBSET_DROP)")


def loopback_up(*addresses: str) -> None:
    """Bring up `lo` in this network namespace and add these IPv4 addresses to it. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP_RUNNING))
        for number, address in enumerate(addresses, 1):
            name = f"lo:{number}".encode()
            fcntl.ioctl(control, _SIOCSIFADDR, _address_request(name, address))
            fcntl.ioctl(control, _SIOCSIFNETMASK, _address_request(name, "255.255.255.255"))


def _address_request(name: bytes, address: str) -> bytes:
    return struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
