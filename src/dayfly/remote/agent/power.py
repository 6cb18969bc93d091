"""What kind of machine this is, and how to end it.

A kind is `systemd` (PID 1 is systemd), `machine` (its own kernel, another init) or `guest` (a process guest, which shares kernel,
boot and user with others: there nothing of the kernel is touched, and `shutdown` on PATH is the one way out).
"""

from __future__ import annotations

import subprocess
import time
from typing import NoReturn

from dayfly.remote.agent.words import say

GUEST, SYSTEMD = "guest", "systemd"


def off(reason: str, kind: str, who: str) -> NoReturn:
    """Say why on the console, then try until it works."""
    say(f"powering off: {reason}", who)
    ways = ["shutdown -h now"]
    if kind != GUEST:
        ways = ["systemctl poweroff", "shutdown -h now", "poweroff", "poweroff -f"]
    turn = 0
    while True:
        try:
            subprocess.run(ways[turn % len(ways)].split(), stdin=subprocess.DEVNULL, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as problem:
            say(f"power-off: {problem}", who)
        turn += 1
        time.sleep(5)
