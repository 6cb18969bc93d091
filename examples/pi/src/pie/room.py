"""How many digits fit into this machine's memory and disk, as the kernel reports them. Decides nothing else."""

import os
from pathlib import Path

BYTES_PER_DIGIT = 20  # peak memory of all processes together; measured 23 at 5 million digits, 13 at 30 million
MEMORY_SHARE = 0.7
DISK_SHARE = 0.8
UNLIMITED = 1 << 50


def largest(folder: Path) -> tuple[int, str]:
    """Return the most digits that a result in `folder` may have, and what limits them: `memory` or `disk`."""
    memory = int(min(memory_left(), group_memory_left()) * MEMORY_SHARE / BYTES_PER_DIGIT)
    disk = int(disk_left(folder) * DISK_SHARE)
    return min((memory, "memory"), (disk, "disk"))


def memory_left() -> int:
    """Return bytes of memory available without swapping; on systems other than Linux, half of the installed memory."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (OSError, ValueError):
        return UNLIMITED


def group_memory_left() -> int:
    """Return bytes left under the memory limits of this process's control groups; UNLIMITED if there are none."""
    left = UNLIMITED
    try:
        own = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
        group = Path("/sys/fs/cgroup") / own[0][3:].lstrip("/")
    except (OSError, IndexError):
        return left
    for folder in (group, *group.parents):
        try:
            limit = (folder / "memory.max").read_text().strip()
            if limit != "max":
                left = min(left, int(limit) - int((folder / "memory.current").read_text()))
        except (OSError, ValueError):
            continue
    return max(0, left)


def disk_left(folder: Path) -> int:
    """Return bytes that can still be written to the file system of `folder`."""
    try:
        return os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    except OSError:
        return UNLIMITED
