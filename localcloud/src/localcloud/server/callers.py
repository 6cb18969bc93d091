"""Whether the client of a loopback connection was started by this cloud: a guest or a function.

The cloud's control paths are for the person who runs it; guests and functions reach the same port and must not use them.
"""

import os
from pathlib import Path

_PROC = Path("/proc")


def started_here(client_port: int, server_port: int) -> bool:
    """Return whether the client's socket belongs to this process (a guest's relay) or to one that it started.

    True also for a socket that cannot be found, so that a control path is refused rather than opened to a guest.
    """
    inode = _inode(client_port, server_port)
    if inode is None:
        return True
    wanted = f"socket:[{inode}]"
    return any(wanted in _sockets(pid) for pid in _process_tree(os.getpid()))


def _inode(client_port: int, server_port: int) -> str | None:
    local, remote = f"0100007F:{client_port:04X}", f"0100007F:{server_port:04X}"
    for line in (_PROC / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1] == local and fields[2] == remote:
            return fields[9]
    return None


def _process_tree(root: int) -> set[int]:
    """Return the pids of a process and all its descendants."""
    parents: dict[int, int] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            try:
                # The program's name stands in parentheses and may contain any character, also a parenthesis.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    tree = {root}
    while children := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= children
    return tree


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
