"""Find and end every process that the job started, also those that detached themselves.

Two means: the agent is the child subreaper, so orphans become its children; and if systemd delegated a cgroup to the agent,
the job runs in a cgroup below it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator
from typing import NamedTuple

_PR_SET_CHILD_SUBREAPER = 36
_LONGEST = 20.0
"""Seconds after which killing is given up: a process that still exists is stuck in the kernel."""


class Exit(NamedTuple):
    """How a process ended: its exit code or signal, and the peak memory so far in MiB."""

    code: int | None
    signal: int | None
    peak_mb: int


class ProcessTree:
    """The agent's descendants. One object per agent."""

    def __init__(self) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._agent_cgroup = _find_agent_cgroup()
        self._job_cgroup = self._agent_cgroup and self._agent_cgroup + "/job"
        self._peak = 0
        if self._job_cgroup:
            try:
                os.makedirs(self._job_cgroup, exist_ok=True)
            except OSError:
                self._job_cgroup = None

    @contextlib.contextmanager
    def job_cgroup(self) -> Iterator[None]:
        """Return a context in which new processes start in the job's cgroup. If memory runs out, the kernel kills them before the agent."""
        before = _swap("/proc/self/oom_score_adj", "300")
        if self._job_cgroup:
            _write(self._job_cgroup + "/cgroup.procs", str(os.getpid()))
        try:
            yield
        finally:
            if self._job_cgroup and self._agent_cgroup:
                _write(self._agent_cgroup + "/cgroup.procs", str(os.getpid()))
            if before is not None:
                _write("/proc/self/oom_score_adj", before)

    def reap(self) -> dict[int, Exit]:
        """Return the children (adopted orphans included) that ended since the last call, by process id."""
        found: dict[int, Exit] = {}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            self._peak = max(self._peak, usage.ru_maxrss // 1024)
            code = os.waitstatus_to_exitcode(status)
            found[pid] = Exit(code, None, self._peak)
            if code < 0:
                found[pid] = Exit(None, -code, self._peak)

    def alive(self) -> set[int]:
        """Return the process ids of all living descendants."""
        parents: dict[int, int] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                state, parent = _state(name)
                if state not in ("", "Z", "X"):
                    parents[int(name)] = parent
        found: set[int] = set(self._cgroup_pids())
        mine = {os.getpid()}
        grown = True
        while grown:
            new = {pid for pid, parent in parents.items() if parent in mine and pid not in mine}
            grown = bool(new)
            mine |= new
        return (mine | (found & set(parents))) - {os.getpid()}

    def send(self, number: int) -> None:
        """Send a signal to every descendant."""
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def kill(self) -> dict[int, Exit]:
        """Kill all descendants and return those reaped. They are stopped first, so that none can fork faster than it is killed."""
        gone: dict[int, Exit] = {}
        until = time.monotonic() + _LONGEST
        while time.monotonic() < until:
            stopped: set[int] = set()
            for _ in range(20):
                new = self.alive() - stopped
                if not new:
                    break
                stopped |= new
                self._signal(new, signal.SIGSTOP)
            if not stopped:
                gone.update(self.reap())
                return gone
            if self._job_cgroup:
                _write(self._job_cgroup + "/cgroup.kill", "1")
            self._signal(stopped, signal.SIGKILL)
            time.sleep(0.02)
            gone.update(self.reap())
        return gone

    def oom_kills(self) -> int | None:
        """Return how often the kernel killed for lack of memory, in the agent's cgroup or else on the machine; None if unknown."""
        for path in ((self._agent_cgroup or "") + "/memory.events", "/proc/vmstat"):
            with contextlib.suppress(OSError), open(path) as file:
                for line in file:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return None

    def _cgroup_pids(self) -> list[int]:
        if not self._job_cgroup:
            return []
        with contextlib.suppress(OSError), open(self._job_cgroup + "/cgroup.procs") as file:
            return [int(line) for line in file]
        return []

    @staticmethod
    def _signal(pids: set[int], number: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def _state(pid: str) -> tuple[str, int]:
    """Return the state letter and the parent of a process; ("", 0) if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
        return fields[0].decode(), int(fields[1])
    except (OSError, IndexError, ValueError):
        return "", 0


def _find_agent_cgroup() -> str | None:
    """Return the agent's cgroup (version 2) if systemd delegated it to the agent alone."""
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as file:
        for line in file:
            if line.startswith("0::/") and line.rstrip().endswith("/dayfly-agent.service"):
                return "/sys/fs/cgroup" + line[3:].rstrip()
    return None


def _swap(path: str, text: str) -> str | None:
    """Write a kernel setting and return its value before, or None if it cannot be written."""
    try:
        with open(path) as file:
            before = file.read().strip()
    except OSError:
        return None
    if _write(path, text):
        return before
    return None


def _write(path: str, text: str) -> bool:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        return False
    return True
