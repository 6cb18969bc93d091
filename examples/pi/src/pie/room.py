"""How many digits this machine has room for: memory and disk. Reads what the kernel says; decides nothing else."""

import os
from pathlib import Path

BYTES_PER_DIGIT = 20  # of memory at the peak, all processes together: measured 23 at 5 million digits, 13 at 30 million
MEMORY_SHARE = 0.7
DISK_SHARE = 0.8
UNLIMITED = 1 << 50


def largest(folder: Path) -> tuple[int, str]:
    """The most digits that a result in `folder` may have now, and what limits them: `memory` or `disk`."""
    memory = int(min(memory_left(), group_memory_left()) * MEMORY_SHARE / BYTES_PER_DIGIT)
    disk = int(disk_left(folder) * DISK_SHARE)
    return min((memory, "memory"), (disk, "disk"))


def memory_left() -> int:
    """Bytes of memory that can be had without swapping; elsewhere than on Linux half of what is built in."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (OSError, ValueError):
        return UNLIMITED


def group_memory_left() -> int:
    """Bytes left under the memory limits of this process's control groups; UNLIMITED where there are none."""
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
    """Bytes that may still be written to the file system of `folder`."""
    try:
        return os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
    except OSError:
        return UNLIMITED
