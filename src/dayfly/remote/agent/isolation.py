"""Keep what is the server's from the job's user: the metadata service, which gives the server's credentials, and the agent's files.

Only for a server of its own; a process guest has one user for everything. `setup` runs as root and is not kept from anything.
"""

from __future__ import annotations

import os
import subprocess
import sys

from dayfly.remote.agent.outcome import NotStarted

METADATA = ("169.254.169.254", "fd00:ec2::254")
_USERS = "1-4294967294"
"""Every user but root: a program with more user ids, such as a container, has no way around the rule."""
_PROBE = """
import errno, socket, sys
closed = {socket.AF_INET: [errno.EACCES]}
closed[socket.AF_INET6] = [errno.EACCES, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.ENETUNREACH]
for address in sys.argv[1:]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as tried:
            tried.settimeout(3)
            tried.connect((address, 80))
        sys.exit(f"{address} can be reached")
    except OSError as problem:
        if problem.errno not in closed[family]:
            sys.exit(f"{address} is not refused: {problem}")
"""
"""Run as the job's user. A refusal by a rule is EACCES at once."""


def close_metadata(uid: int, gid: int) -> None:
    """Refuse every user but root the way to the metadata service, and check it as the job's user. Raises NotStarted."""
    notes = [_add_rule(address) for address in METADATA]
    try:
        probe = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROBE, *METADATA],
            user=uid,
            group=gid,
            extra_groups=[],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=30,
        )
        found = probe.stdout.decode("utf-8", "replace").strip()
    except (OSError, subprocess.SubprocessError) as problem:
        raise NotStarted("no-isolation", f"cannot check the way to the metadata service: {problem}") from problem
    if probe.returncode != 0:
        raise NotStarted("no-isolation", "; ".join(note for note in (found, *notes) if note))


def close_folders(*folders: str) -> None:
    """Let only root enter these folders."""
    for folder in folders:
        os.chmod(folder, 0o700)


def _add_rule(address: str) -> str:
    """Add a rule that refuses the address. Returns what `ip` said if it failed; the probe decides whether that matters."""
    family = "-4"
    if ":" in address:
        family = "-6"
    which = ["priority", "100", "to", address, "uidrange", _USERS]
    # A rule of the kernel's: systemd-networkd removes all others when it restarts, as it does when a package upgrade restarts it.
    rule = ["ip", family, "rule", "add", *which, "protocol", "kernel", "prohibit"]
    try:
        done = subprocess.run(
            rule, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30
        )
    except (OSError, subprocess.SubprocessError) as problem:
        return f"ip rule: {problem}"
    if done.returncode == 0:
        return ""
    return f"ip rule: {done.stdout.decode('utf-8', 'replace').strip()}"
