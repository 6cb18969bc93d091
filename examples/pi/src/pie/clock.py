"""When this process began, how long it had to wait, how late it may be. No digits, no files but /proc."""

import os
import time


def process_start() -> float:
    """The moment this process began, in seconds of `time.monotonic()`.

    On Linux it is the kernel's own record, so the interpreter's start counts too (to 1/100 s). Elsewhere the best that
    the process itself can know: the processor time it has used so far.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            # The command's name is in parentheses and may hold blanks; `starttime` is the 20th field after it.
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        age = time.process_time()
    return time.monotonic() - max(0.0, age)


def queued() -> float:
    """Seconds that this process's first thread was ready to run and others ran in its place; 0 where nobody counts."""
    try:
        with open("/proc/self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def allowance(seconds: float) -> float:
    """How many seconds past `seconds` still count as in time: the larger of 2 % and 0.5 s."""
    return max(0.02 * seconds, 0.5)
