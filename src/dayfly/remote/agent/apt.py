"""Keep Debian's timed upgrades out of the way of `setup`, which needs the package database for itself. Other systems are left alone."""

from __future__ import annotations

import contextlib
import os
import subprocess

_TIMERS = ("apt-daily.timer", "apt-daily-upgrade.timer")
_JOBS = ("apt-daily.service", "apt-daily-upgrade.service", "unattended-upgrades.service")
_CONFIGURATION = "/etc/apt/apt.conf.d"
_WAIT = 'DPkg::Lock::Timeout "600";\n'
"""Seconds that apt waits for its lock; without this it fails at once."""
VARIABLES = {"DEBIAN_FRONTEND": "noninteractive"}


def make_way(configuration: str = _CONFIGURATION) -> None:
    """Stop the timers and what they started, for the life of the server, and let apt wait for its lock."""
    if not os.path.isdir(configuration):
        return
    with open(f"{configuration}/99dayfly", "w") as file:
        file.write(_WAIT)
    for units, seconds in ((_TIMERS, 20), (_JOBS, 60)):
        # Units that do not exist are no problem, and an upgrade that takes longer to stop holds the lock, which apt waits for.
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                ["systemctl", "stop", *units],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=seconds,
            )
