"""Everything the job started: found and ended, also what detached itself.

Two nets: the agent is the child subreaper, so whatever loses its parent becomes the agent's own; and where systemd gave
the agent a cgroup of its own, the job lives in one below it.
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
"""Seconds after which ending is given up: what is still there then hangs in the kernel."""


class Ended(NamedTuple):
    """How a process ended: exit code or signal, and its peak memory in MiB."""

    exit: int | None
    signal: int | None
    peak_mb: int


class Kin:
    """The agent's descendants. One object per agent process."""

    def __init__(self) -> None:
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._own = _own_cgroup()
        self._cgroup = self._own and self._own + "/job"
        self._peak = 0
        if self._cgroup:
            try:
                os.makedirs(self._cgroup, exist_ok=True)
            except OSError:
                self._cgroup = None

    @contextlib.contextmanager
    def births(self) -> Iterator[None]:
        """What is started inside belongs to the job: it is born into its cgroup, and is killed before the agent is for memory."""
        held = _swap("/proc/self/oom_score_adj", "300")
        if self._cgroup:
            _write(self._cgroup + "/cgroup.procs", str(os.getpid()))
        try:
            yield
        finally:
            if self._cgroup and self._own:
                _write(self._own + "/cgroup.procs", str(os.getpid()))
            if held is not None:
                _write("/proc/self/oom_score_adj", held)

    def reap(self) -> dict[int, Ended]:
        """All who ended since the last call, own children and orphans that became so."""
        found: dict[int, Ended] = {}
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return found
            if pid == 0:
                return found
            self._peak = max(self._peak, usage.ru_maxrss // 1024)
            code = os.waitstatus_to_exitcode(status)
            found[pid] = Ended(code if code >= 0 else None, -code if code < 0 else None, self._peak)

    def alive(self) -> set[int]:
        """Process ids of all living descendants."""
        parents: dict[int, int] = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                state, parent = _state(name)
                if state not in ("", "Z", "X"):
                    parents[int(name)] = parent
        found: set[int] = set(self._members())
        mine = {os.getpid()}
        grown = True
        while grown:
            new = {pid for pid, parent in parents.items() if parent in mine and pid not in mine}
            grown = bool(new)
            mine |= new
        return (mine | (found & set(parents))) - {os.getpid()}

    def send(self, number: int) -> None:
        """One signal to every descendant."""
        for pid in self.alive():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def kill(self) -> dict[int, Ended]:
        """End all of them, until none is left; who was reaped meanwhile. What forks faster than it is killed is stopped first."""
        gone: dict[int, Ended] = {}
        until = time.monotonic() + _LONGEST
        while time.monotonic() < until:
            stopped: set[int] = set()
            for _ in range(20):
                new = self.alive() - stopped
                if not new:
                    break
                stopped |= new
                self._each(new, signal.SIGSTOP)
            if not stopped:
                gone.update(self.reap())
                return gone
            if self._cgroup:
                _write(self._cgroup + "/cgroup.kill", "1")
            self._each(stopped, signal.SIGKILL)
            time.sleep(0.02)
            gone.update(self.reap())
        return gone

    def memory_kills(self) -> int | None:
        """How often the kernel killed for want of memory: in the agent's cgroup, else on the whole machine; None: unknown."""
        for path in ([self._own + "/memory.events"] if self._own else []) + ["/proc/vmstat"]:
            with contextlib.suppress(OSError), open(path) as file:
                for line in file:
                    if line.startswith("oom_kill "):
                        return int(line.split()[1])
        return None

    def _members(self) -> list[int]:
        if not self._cgroup:
            return []
        with contextlib.suppress(OSError), open(self._cgroup + "/cgroup.procs") as file:
            return [int(line) for line in file]
        return []

    @staticmethod
    def _each(pids: set[int], number: int) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)


def _state(pid: str) -> tuple[str, int]:
    """State letter and parent of a process; ("", 0) when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rsplit(b")", 1)[1].split()
        return fields[0].decode(), int(fields[1])
    except (OSError, IndexError, ValueError):
        return "", 0


def _own_cgroup() -> str | None:
    """The agent's own cgroup (version 2), where it is one that systemd delegated to the agent alone."""
    with contextlib.suppress(OSError), open("/proc/self/cgroup") as file:
        for line in file:
            if line.startswith("0::/") and line.rstrip().endswith("/dayfly-agent.service"):
                return "/sys/fs/cgroup" + line[3:].rstrip()
    return None


def _swap(path: str, text: str) -> str | None:
    """Write a small kernel file; what stood there before, None where it could not be done."""
    try:
        with open(path) as file:
            held = file.read().strip()
    except OSError:
        return None
    return held if _write(path, text) else None


def _write(path: str, text: str) -> bool:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        return False
    return True
