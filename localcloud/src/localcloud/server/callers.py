"""Who is at the other end of a loopback connection: a program of this machine, or something that this cloud started.

Controls of the cloud are for the person who runs it; a guest or a function reaches the same port and must not use them.
"""

import os
from pathlib import Path

_PROC = Path("/proc")


def is_ours(client_port: int, server_port: int) -> bool:
    """Whether the client's socket belongs to this process (a guest's relay) or to one that it started.

    A socket that cannot be found counts as ours: a control is refused rather than opened to a guest.
    """
    inode = _inode(client_port, server_port)
    if inode is None:
        return True
    wanted = f"socket:[{inode}]"
    return any(wanted in _sockets(pid) for pid in _family(os.getpid()))


def _inode(client_port: int, server_port: int) -> str | None:
    local, remote = f"0100007F:{client_port:04X}", f"0100007F:{server_port:04X}"
    for line in (_PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == local and fields[2] == remote:
            return fields[9]
    return None


def _family(root: int) -> set[int]:
    """A process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                # The name in parentheses may hold anything; the fields after the last one are plain.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    family = {root}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return family


def _sockets(pid: int) -> set[str]:
    found: set[str] = set()
    try:
        descriptors = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return found
    for descriptor in descriptors:
        try:
            found.add(os.readlink(descriptor))
        except OSError:
            continue
    return found
