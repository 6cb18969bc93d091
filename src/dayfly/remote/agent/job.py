"""The command and its time limit: started as the job's user, ended with all it started.

What it finds around it (environment, user) is made here; what it wrote is collected elsewhere.
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
from typing import Any, NamedTuple

from dayfly.remote.agent import words
from dayfly.remote.agent.process_tree import Ended, Kin

USER = "dayfly"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LEAST_FREE = 1 << 20


class Owner(NamedTuple):
    """As whom the job runs; `uid` None: as the agent itself."""

    name: str
    home: str
    uid: int | None = None
    gid: int | None = None


class Course(NamedTuple):
    """How a command went. Times are seconds since 1970; `exit` and `signal` are both None where its end was not seen."""

    started: float
    ended: float
    exit: int | None = None
    signal: int | None = None
    timed_out: bool = False
    peak_mb: int = 0
    disk_full: bool = False
    memory_kills: int = 0
    words: str = ""


def owner(home: str, guest: bool) -> Owner:
    """The job's user; made where the agent is root on a machine of its own. Raises OSError where that fails."""
    if guest or os.geteuid() != 0:
        with contextlib.suppress(KeyError):
            return Owner(pwd.getpwuid(os.geteuid()).pw_name, home)
        return Owner(str(os.geteuid()), home)
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        made = subprocess.run(
            ["useradd", "-m", "-d", home, "-s", "/bin/sh", USER], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        if made.returncode:
            raise OSError(f"the user {USER} can not be made: {made.stdout.decode('utf-8', 'replace')}") from None
        entry = pwd.getpwnam(USER)
    return Owner(USER, entry.pw_dir, entry.pw_uid, entry.pw_gid)


def give(folder: str, to: Owner) -> None:
    """Make a whole tree the job's own."""
    if to.uid is not None and to.gid is not None:
        os.chown(folder, to.uid, to.gid)
        for at, folders, files in os.walk(folder):
            for name in folders + files:
                os.chown(f"{at}/{name}", to.uid, to.gid, follow_symlinks=False)


def environment(
    go: Mapping[str, Any], folder: str, who: Owner, environ: Mapping[str, str], guest: bool
) -> dict[str, str]:
    """All that the command sees; DAYFLY_TERM_AT counts from now. `environ` is the agent's own: its endpoints are handed on."""
    path = environ.get("PATH", _PATH) if guest else _PATH
    clean = {
        "PATH": f"{folder}/.dayfly/bin:{folder}/bin:{path}",
        "PYTHONPATH": f"{folder}/.dayfly/site",
        "HOME": who.home,
        "USER": who.name,
        "LOGNAME": who.name,
        "LANG": "C.UTF-8",
    }
    for name in (words.ENDPOINT, words.METADATA_ENDPOINT):
        if environ.get(name):
            clean[name] = environ[name]
    clean.update({str(name): str(value) for name, value in (go.get("env") or {}).items()})
    clean.update(words.job_variables(go, words.utc_text(time.time() + float(go["time_limit_s"]))))
    return clean


def arguments(command: str | list[str]) -> list[str]:
    return ["sh", "-eu", "-c", command] if isinstance(command, str) else [str(word) for word in command]


def run(
    argv: list[str],
    env: Mapping[str, str],
    folder: str,
    who: Owner,
    output: int,
    limit: float,
    grace: float,
    kin: Kin,
) -> Course:
    """Run it to its end, or its limit (seconds from its start), and end all it started. A command that is not there: exit 127."""
    kills, began = kin.memory_kills(), time.time()
    until = time.monotonic() + limit
    if who.uid is not None and who.gid is not None:
        os.fchown(output, who.uid, who.gid)
    try:
        with kin.births():
            process = _start(argv, env, folder, who, output)
    except OSError as problem:
        text = f"{argv[0]}: {problem.strerror or problem}"
        os.write(output, f"{text}\n".encode())
        return Course(began, time.time(), 126 if isinstance(problem, PermissionError) else 127, words=text)
    gone, timed_out, full = _watch(process.pid, folder, until, grace, kin)
    gone.update(kin.kill())
    process.returncode = 0  # it was reaped by kin, not by the Popen object
    end = gone.get(process.pid, Ended(None, None, 0))
    now = kin.memory_kills()
    killed = now - kills if now is not None and kills is not None else 0
    peak = max([one.peak_mb for one in gone.values()], default=0)
    return Course(began, time.time(), end.exit, end.signal, timed_out, peak, full, killed)


def _start(argv: list[str], env: Mapping[str, str], folder: str, who: Owner, output: int) -> subprocess.Popen[bytes]:
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


def _watch(pid: int, folder: str, until: float, grace: float, kin: Kin) -> tuple[dict[int, Ended], bool, bool]:
    """Until the command ends, or its limit and grace are over: who was reaped, whether it was the limit, whether a disk was full."""
    gone: dict[int, Ended] = {}
    full, looked, pause = False, 0.0, 0.01
    while True:
        gone.update(kin.reap())
        now = time.monotonic()
        if now - looked >= 1 or pid in gone:
            full, looked = full or _full(folder), now
        if pid in gone:
            return gone, False, full
        if now >= until:
            break
        time.sleep(min(pause, max(0.001, until - now)))
        pause = min(0.1, pause * 1.5)
    kin.send(signal.SIGTERM)
    while time.monotonic() < until + grace and kin.alive():
        time.sleep(0.1)
        gone.update(kin.reap())
    return gone, True, full


def _full(folder: str) -> bool:
    for path in (folder, "/tmp"):
        with contextlib.suppress(OSError):
            found = shutil.disk_usage(path)
            if found.free < min(_LEAST_FREE, found.total // 100):
                return True
    return False
