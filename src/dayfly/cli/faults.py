"""What `dayfly demo --break` breaks: for each way and each kind of guest, the job that does it as a user's job could.

A job in a vm guest is no root there; what only root can do is made ready by its `setup` as a unit of its own, outside the agent's
reach, that waits for the job to have begun.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from dayfly.cli.local_cloud import PROCESS, VM
from dayfly.errors import FileError

# In a process guest the job has the agent's own user: it kills its parent. Then it would sleep on, with nobody to watch it.
_KILLS_ITS_PARENT = 'kill -KILL "$PPID"; sleep 600'
# The job hears no TERM and never ends.
_IS_DEAF = "trap '' TERM; echo 'hanging, deaf to TERM'; while :; do sleep 1; done"
_BEGAN = "/tmp/job-began"
_WAITS = f"touch {_BEGAN}; echo waiting for what is to come; sleep 600"
_SOON_S = 5
"""From the command's begin; the agent has told of it by then."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One way: what is said of it, and the job in each kind of guest that can do it, as (command, setup)."""

    words: str
    jobs: dict[str, tuple[str, str]]


def _soon(command: str) -> str:
    """As root, once the command has begun. `$PPID` is the agent: the shell of setup fills it in."""
    return f'systemd-run sh -c "until [ -e {_BEGAN} ]; do sleep 1; done; sleep {_SOON_S}; {command}"'


FAULTS = {
    "agent": Fault(
        words="the agent is killed",
        jobs={PROCESS: (_KILLS_ITS_PARENT, ""), VM: (_WAITS, _soon("kill -KILL $PPID"))},
    ),
    "hang": Fault(words="the job hangs and hears no TERM", jobs={PROCESS: (_IS_DEAF, ""), VM: (_IS_DEAF, "")}),
    "panic": Fault(
        words="the kernel panics",
        jobs={VM: (_WAITS, _soon("echo c >/proc/sysrq-trigger"))},
    ),
    "reboot": Fault(words="the server is rebooted", jobs={VM: (_WAITS, _soon("systemctl reboot"))}),
}

# Seconds of time limit and margin. The switch ends a server at its lifetime, which counts from the boot: where a machine is emulated
# that may take two minutes, and a panic or a reboot takes two. Its job waits longer than what is to come; a hung one is to be ended.
_HANG_S, _WAIT_S = 20, 60
_MARGINS = {PROCESS: 60, VM: 540}


def refuse(way: str, guest: str) -> None:
    """Raises FileError where servers of that kind can not be broken so."""
    if guest not in FAULTS[way].jobs:
        raise FileError(
            f"--break {way} needs a kernel of the server's own: servers are processes here",
            hint=f"dayfly demo --break {way} --guest vm",
        )


def happened(way: str, ended_by: str) -> bool:
    """Whether what ended the server fits what was broken: else nothing was broken, and nothing is proved."""
    if way == "hang":
        return ended_by != "agent: the job was over"
    return not ended_by.startswith("agent:")


def file(way: str, guest: str) -> str:
    """dayfly.toml of a project whose one job breaks its server."""
    command, setup = FAULTS[way].jobs[guest]
    limit = _WAIT_S if command == _WAITS else _HANG_S
    return _FILE.format(
        command=json.dumps(command),
        setup=f"setup      = {json.dumps(setup)}\n" if setup else "",
        limit=limit,
        margin=_MARGINS[guest],
    )


_FILE = """# Written by `dayfly demo --break`.
project = "pi-demo"
regions = ["eu-west-1"]

[jobs.pi]
command    = {command}
{setup}servers    = ["c8g.large"]
time_limit = "{limit}s"
margin     = "{margin}s"
bundle     = []
"""
