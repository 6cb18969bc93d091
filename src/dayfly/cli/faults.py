"""The faults of `dayfly demo --break`. For each fault and kind of guest there is a job that causes it, as a user's job could.

In a vm guest the job is not root. What only root can do is prepared by the job's `setup`, as a systemd unit that the agent does not
control and that waits until the job has begun.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from dayfly.cli.local_cloud import PROCESS, VM
from dayfly.errors import FileError

# In a process guest the job runs as the agent's user, so it can kill its parent. It then sleeps on without supervision.
_KILLS_ITS_PARENT = 'kill -KILL "$PPID"; sleep 600'
_IGNORES_TERM = "trap '' TERM; echo 'hanging, and ignoring TERM'; while :; do sleep 1; done"
_BEGAN = "/tmp/job-began"
_WAITS = f"touch {_BEGAN}; echo waiting for the fault; sleep 600"
_DELAY_S = 5
"""Seconds from the start of the command to the fault. By then the agent has reported the start."""
_ENDED_BY_ITSELF = "agent: the job was over"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault: its description, and the job's (command, setup) for each kind of guest that can have it."""

    words: str
    jobs: dict[str, tuple[str, str]]


def _as_root(command: str) -> str:
    """Return a `setup` that runs this command as root after the job has begun. `$PPID` in it is the agent."""
    return f'systemd-run sh -c "until [ -e {_BEGAN} ]; do sleep 1; done; sleep {_DELAY_S}; {command}"'


FAULTS = {
    "agent": Fault(
        words="the agent is killed",
        jobs={PROCESS: (_KILLS_ITS_PARENT, ""), VM: (_WAITS, _as_root("kill -KILL $PPID"))},
    ),
    "hang": Fault(words="the job hangs and ignores TERM", jobs={PROCESS: (_IGNORES_TERM, ""), VM: (_IGNORES_TERM, "")}),
    "panic": Fault(words="the kernel panics", jobs={VM: (_WAITS, _as_root("echo c >/proc/sysrq-trigger"))}),
    "reboot": Fault(words="the server reboots", jobs={VM: (_WAITS, _as_root("systemctl reboot"))}),
}

# Seconds of the time limit and the margin. The switch ends a server at its deadline. On an emulated machine a
# boot may take two minutes, and so may a panic or a reboot. A job that waits for its fault needs more time than one that hangs.
_HANG_S, _WAIT_S = 20, 60
_MARGINS = {PROCESS: 60, VM: 540}


def refuse(fault: str, guest: str) -> None:
    """Raise FileError if this kind of guest cannot have the fault."""
    if guest not in FAULTS[fault].jobs:
        raise FileError(
            f"--break {fault} needs servers with a kernel of their own; here servers are processes",
            hint=f"dayfly demo --break {fault} --guest vm",
        )


def happened(fault: str, ended_by: str) -> bool:
    """Return whether the fault happened, judged by what ended the server. If it did not, the demo proves nothing."""
    if fault == "hang":
        return ended_by != _ENDED_BY_ITSELF
    return not ended_by.startswith("agent:")


def file(fault: str, guest: str) -> str:
    """Return the dayfly.toml of a project whose only job causes the fault."""
    command, setup = FAULTS[fault].jobs[guest]
    lines = [f"command    = {json.dumps(command)}"]
    if setup:
        lines.append(f"setup      = {json.dumps(setup)}")
    limit = _WAIT_S if command == _WAITS else _HANG_S
    return _FILE.format(job="\n".join(lines), limit=limit, margin=_MARGINS[guest])


_FILE = """# Written by `dayfly demo --break`.
project = "pi-demo"
regions = ["eu-west-1"]

[jobs.pi]
{job}
servers    = ["c8g.large"]
time_limit = "{limit}s"
margin     = "{margin}s"
bundle     = []
"""
