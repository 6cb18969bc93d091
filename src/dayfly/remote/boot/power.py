"""Power off the server with the commands that its kind allows.

The kind is `systemd` (PID 1 is systemd), `machine` (its own kernel, another init) or `guest` (a process guest, which shares the
kernel with others: no kernel setting may be changed, and the only way to end it is the `shutdown` on PATH).
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import NoReturn

from dayfly.remote.boot.names import say

GUEST, SYSTEMD = "guest", "systemd"


def agent_off(control: str, reason: str, kind: str) -> NoReturn:
    """Power off as the agent, and tell off.sh that the agent ended as it should."""
    with contextlib.suppress(OSError), open(control + "/agent-ended", "w") as file:
        file.write(reason)
    off(reason, kind, "agent")


def off(reason: str, kind: str, program: str) -> NoReturn:
    """Write the reason to the console, then power off; retried until it works."""
    say(f"powering off: {reason}", program)
    ways = ["shutdown -h now"]
    if kind != GUEST:
        ways = ["systemctl poweroff", "shutdown -h now", "poweroff", "poweroff -f"]
    turn = 0
    while True:
        try:
            subprocess.run(ways[turn % len(ways)].split(), stdin=subprocess.DEVNULL, timeout=30)
        except (OSError, subprocess.TimeoutExpired) as problem:
            say(f"power-off: {problem}", program)
        turn += 1
        time.sleep(5)
