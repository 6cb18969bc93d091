"""Run the command as the job's user within its time limit, and end every process that it started.

This module makes the command's environment and its user. Outputs are collected in outputs.py.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from dayfly.remote.agent.names import job_variables
from dayfly.remote.agent.process_tree import Exit, ProcessTree
from dayfly.remote.boot import names

USER = "dayfly"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LEAST_FREE = 1 << 20
_LIMIT, _CANCEL = "limit", "cancel"


class User(NamedTuple):
    """The user that the job runs as. `uid` None: the agent's own user."""

    name: str
    home: str
    uid: int | None = None
    gid: int | None = None


class Folders(NamedTuple):
    """The job's folders: its working directory, the results of other jobs, and room for temporary files."""

    work: str
    last: str
    scratch: str


class Result(NamedTuple):
    """How a command ended. Times are seconds since 1970; `exit` and `signal` are both None if its exit was not seen."""

    started: float
    ended: float
    exit: int | None = None
    signal: int | None = None
    timed_out: bool = False
    cancelled: bool = False
    peak_mb: int = 0
    disk_full: bool = False
    oom_kills: int = 0
    detail: str = ""


def user(home: str, guest: bool) -> User:
    """Return the job's user. Creates it if the agent is root on its own machine. Raises OSError if that fails."""
    if guest or os.geteuid() != 0:
        with contextlib.suppress(KeyError):
            return User(pwd.getpwuid(os.geteuid()).pw_name, home)
        return User(str(os.geteuid()), home)
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        made = subprocess.run(
            ["useradd", "-m", "-d", home, "-s", "/bin/sh", USER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if made.returncode:
            raise OSError(f"cannot create user {USER}: {made.stdout.decode('utf-8', 'replace')}") from None
        entry = pwd.getpwnam(USER)
    os.chown(entry.pw_dir, entry.pw_uid, entry.pw_gid)  # useradd leaves a folder that exists to its owner
    return User(USER, entry.pw_dir, entry.pw_uid, entry.pw_gid)


def chown(folder: str, to: User) -> None:
    """Make the user the owner of a folder and of everything in it."""
    if to.uid is not None and to.gid is not None:
        os.chown(folder, to.uid, to.gid)
        for at, folders, files in os.walk(folder):
            for name in folders + files:
                os.chown(f"{at}/{name}", to.uid, to.gid, follow_symlinks=False)


def environment(
    go: Mapping[str, Any],
    folders: Folders,
    who: User,
    environ: Mapping[str, str],
    guest: bool,
    given: Mapping[str, str],
) -> dict[str, str]:
    """Return the whole environment of `setup` or the command. DAYFLY_TERM_AT counts from now.

    `environ` is the agent's own; only its AWS endpoint (and in a process guest PATH) is passed on. `given`: secrets, credentials.
    """
    path = _PATH
    if guest:
        path = environ.get("PATH", _PATH)
    clean = {
        "PATH": f"{folders.work}/.dayfly/bin:{folders.work}/bin:{path}",
        "PYTHONPATH": f"{folders.work}/.dayfly/site",
        "HOME": who.home,
        "USER": who.name,
        "LOGNAME": who.name,
        "LANG": "C.UTF-8",
    }
    if environ.get(names.ENDPOINT):
        clean[names.ENDPOINT] = environ[names.ENDPOINT]
    clean.update({str(name): str(value) for name, value in (go.get("env") or {}).items()})
    clean.update(given)
    term_at = names.utc_text(time.time() + float(go["time_limit_s"]))
    clean.update(job_variables(go, term_at, folders.last, folders.scratch))
    return clean


def arguments(command: str | list[str]) -> list[str]:
    """Return the argument list of a command: text is run by the shell, a list as it is."""
    if isinstance(command, str):
        return ["sh", "-eu", "-c", command]
    return [str(word) for word in command]


def run(
    argv: list[str],
    env: Mapping[str, str],
    folder: str,
    who: User,
    output: int,
    limit: float,
    grace: float,
    tree: ProcessTree,
    cancelled: Callable[[], bool],
) -> Result:
    """Run a command until it ends, `limit` (seconds) is reached or the run is cancelled; then end every process it started.

    `output` is the file descriptor for stdout and stderr; `grace` the seconds between TERM and KILL. A command that cannot be
    started has exit 126 or 127, as in a shell.
    """
    kills, began = tree.oom_kills(), time.time()
    until = time.monotonic() + limit
    if who.uid is not None and who.gid is not None:
        os.fchown(output, who.uid, who.gid)
    try:
        with tree.job_cgroup():
            process = _start(argv, env, folder, who, output)
    except OSError as problem:
        text = f"{argv[0]}: {problem.strerror or problem}"
        os.write(output, f"{text}\n".encode())
        code = 127
        if isinstance(problem, PermissionError):
            code = 126
        return Result(began, time.time(), code, detail=text)
    gone, end_by, full = _wait(process.pid, folder, until, grace, tree, cancelled)
    gone.update(tree.kill())
    process.returncode = 0  # the process tree reaped it, not the Popen object
    end = gone.get(process.pid, Exit(None, None, 0))
    now, killed = tree.oom_kills(), 0
    if now is not None and kills is not None:
        killed = now - kills
    peak = max([one.peak_mb for one in gone.values()], default=0)
    timed_out, stopped = end_by == _LIMIT, end_by == _CANCEL
    return Result(began, time.time(), end.code, end.signal, timed_out, stopped, peak, full, killed)


def _start(argv: list[str], env: Mapping[str, str], folder: str, who: User, output: int) -> subprocess.Popen[bytes]:
    as_user: dict[str, Any] = {}
    if who.uid is not None:
        as_user = {"user": who.uid, "group": who.gid, "extra_groups": []}
    return subprocess.Popen(
        argv,
        cwd=folder,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        **as_user,
    )


def _wait(
    pid: int, folder: str, until: float, grace: float, tree: ProcessTree, cancelled: Callable[[], bool]
) -> tuple[dict[int, Exit], str, bool]:
    """Wait until the command ends, or until its limit or a cancel and then the grace are over.

    Returns the processes reaped, what ended the command (empty: itself), and whether a disk was full.
    """
    gone: dict[int, Exit] = {}
    full, looked, pause = False, 0.0, 0.01
    while True:
        gone.update(tree.reap())
        now = time.monotonic()
        if now - looked >= 1 or pid in gone:
            full, looked = full or _disk_full(folder), now
        if pid in gone:
            return gone, "", full
        if now >= until:
            end_by = _LIMIT
            break
        if cancelled():
            end_by = _CANCEL
            break
        time.sleep(min(pause, max(0.001, until - now)))
        pause = min(0.1, pause * 1.5)
    tree.send(signal.SIGTERM)
    until = time.monotonic() + grace
    while time.monotonic() < until and tree.alive():
        time.sleep(0.1)
        gone.update(tree.reap())
    return gone, end_by, full


def _disk_full(folder: str) -> bool:
    for path in (folder, "/tmp"):
        with contextlib.suppress(OSError):
            found = shutil.disk_usage(path)
            if found.free < min(_LEAST_FREE, found.total // 100):
                return True
    return False
