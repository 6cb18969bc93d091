"""When this process started, how long it waited for a core, how late it may be. Reads only /proc; computes no digits."""

import os
import time


def process_start() -> float:
    """Return when this process started, in seconds of `time.monotonic()`.

    On Linux from the kernel's record, so the interpreter's start counts too (to 1/100 s). Elsewhere an estimate: now minus
    the processor time used so far.
    """
    try:
        with open("/proc/self/stat", "rb") as file:
            # The command's name is in parentheses and may contain blanks; `starttime` is the 20th field after it.
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        age = time.process_time()
    return time.monotonic() - max(0.0, age)


def queued() -> float:
    """Return the seconds that this process's first thread was runnable but waited for a core; 0 if unknown."""
    try:
        with open("/proc/self/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def allowance(seconds: float) -> float:
    """Return how many seconds past `seconds` still count as in time: the larger of 2 % and 0.5 s."""
    return max(0.02 * seconds, 0.5)
