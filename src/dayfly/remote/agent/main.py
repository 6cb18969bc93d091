"""The agent: from the server's start to its power-off. One life, in order; nothing is done twice.

What each step does lives in its own module; here is only the order, and that whatever happens the server goes.
"""

from __future__ import annotations

import calendar
import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from dayfly.remote.agent import bundle, ended, job, outputs, words
from dayfly.remote.agent.kin import Kin
from dayfly.remote.agent.log import Log
from dayfly.remote.agent.metadata import DEFAULT, Metadata
from dayfly.remote.agent.s3 import Bucket, Refused, say

_LAST_SECONDS = 15.0
_NONE = outputs.Found([], [], [])
_NO_LOG = {"pieces": 0, "bytes": 0, "lines": 0, "last": []}


class Places(NamedTuple):
    """Folders on this server. `control` is shared with the switch."""

    control: str
    spool: str
    home: str
    guest: bool  # a process guest: one user, no init system


class Bound(NamedTuple):
    """Seconds that tests shorten."""

    go_wait: float = words.GO_WAIT
    grace: float = words.GRACE


NORMAL = Bound()


class NoGo(Exception):
    """Nobody said that this server should run anything."""


def run(control: str, guest: bool, environ: Mapping[str, str], bound: Bound = NORMAL) -> NoReturn:
    """Live, then power off. `control` is the folder that the switch watches. Never returns."""
    home = environ.get("HOME") or "/tmp"
    spool = os.path.join(home, ".dayfly", "spool") if guest else "/var/lib/dayfly/spool"
    places = Places(control, spool, home if guest else "/home/dayfly", guest)
    reason = "the agent broke"
    try:
        hold = _claim(control)
        reason = Life(places, environ, bound).live()
        del hold
    except NoGo as why:
        reason = str(why)
    except BaseException:  # whatever it is, the server must go
        traceback.print_exc()
    _power_off(places, reason)


class Life:
    """One agent's life; what is known so far stands in its attributes, so that a broken life can still be recorded."""

    def __init__(self, places: Places, environ: Mapping[str, str], bound: Bound) -> None:
        self._places, self._environ, self._bound = places, environ, bound
        self._kin = Kin()
        self._folder = os.path.join(places.home, "job")

    def live(self) -> str:
        """All of it; why the server now goes. Raises NoGo."""
        bucket, go = self._wait_for_go()
        prefix, limit = str(go["prefix"]), float(go["time_limit_s"])
        bucket.until = self._end(go)
        os.makedirs(self._places.spool, exist_ok=True)
        log: Log | None = None
        try:
            log = Log(bucket, prefix, self._places.spool)
            course, trouble = self._job(bucket, go, log, limit)
            log.finish()
            patterns = [str(pattern) for pattern in go.get("outputs") or []]
            found = (
                outputs.find(self._folder, patterns)
                if os.path.isdir(self._folder)
                else _NONE._replace(missing=patterns)
            )
            stored, unsaved = outputs.store(bucket, prefix, self._folder, found.paths)
            if log.problem:
                unsaved.append(log.problem)
            verdict = ended.judge(course, trouble, found, unsaved, limit, self._places.guest)
            facts = ended.record(verdict, course, found, stored, log.facts())
        except Exception as problem:
            traceback.print_exc()
            verdict = ended.Verdict("failed", "unknown", f"the agent broke: {type(problem).__name__}: {problem}")
            facts = ended.record(verdict, None, _NONE, [], log.facts() if log else _NO_LOG)
        bucket.until = max(bucket.until, time.monotonic() + 10)
        bucket.put(words.ended_key(prefix), json.dumps(facts).encode())
        return " ".join(word for word in (verdict.outcome, verdict.reason) if word)

    def _wait_for_go(self) -> tuple[Bucket, dict[str, Any]]:
        began = time.monotonic()
        until = began + self._bound.go_wait
        last = "none was written"
        try:
            meta = Metadata(self._environ.get(words.METADATA_ENDPOINT) or DEFAULT)
            instance = meta.get("meta-data/instance-id") or ""
            region = meta.get("meta-data/placement/region") or ""
            endpoint = self._environ.get(words.ENDPOINT) or None
            bucket = Bucket(meta.tag(words.TAG_BUCKET), region, meta.credentials, endpoint, until)
            key = words.go_key(meta.tag(words.TAG_ROLE), instance)
        except OSError as problem:
            raise NoGo(f"no metadata: {problem}") from problem
        say(f"instance {instance} waits for its go")
        while time.monotonic() < until:
            try:
                found = bucket.get(key)
            except Refused as problem:
                last, found = str(problem), None
            if found is not None:
                go: dict[str, Any] = json.loads(found)
                say(f"go: {go['run']} attempt {go['attempt']}")
                return bucket, go
            time.sleep(0.5 if time.monotonic() - began < 20 else 1.0 if time.monotonic() - began < 120 else 3.0)
        raise NoGo(f"no go within {self._bound.go_wait:g} s: {last}")

    def _end(self, go: Mapping[str, Any]) -> float:
        """When all patience ends (monotonic seconds): shortly before the deadline at which the switch acts."""
        deadline = calendar.timegm(time.strptime(str(go["deadline"]), "%Y-%m-%dT%H:%M:%SZ"))
        return time.monotonic() + max(20.0, deadline - time.time() - _LAST_SECONDS)

    def _job(
        self, bucket: Bucket, go: Mapping[str, Any], log: Log, limit: float
    ) -> tuple[job.Course | None, ended.Trouble | None]:
        """Code, setup, started.json, command."""
        try:
            who = self._prepare(bucket.until, go, log, limit)
        except ended.Trouble as trouble:
            return None, trouble
        except OSError as problem:
            reason = "disk-full" if problem.errno == errno.ENOSPC else "setup"
            return None, ended.Trouble(reason, str(problem))
        bucket.put(words.started_key(str(go["prefix"])), json.dumps(_started(who)).encode())
        env = job.environment(go, self._folder, who, self._environ, self._places.guest)
        argv = job.arguments(go["command"])
        return job.run(argv, env, self._folder, who, log.write_end, limit, self._bound.grace, self._kin), None

    def _prepare(self, until: float, go: Mapping[str, Any], log: Log, limit: float) -> job.Owner:
        """The user, the folder with the code in it, setup. Raises Trouble, OSError."""
        who = job.owner(self._places.home, self._places.guest)
        os.makedirs(self._folder, exist_ok=True)
        code = go.get("bundle")
        if code:
            path = os.path.join(self._places.spool, "bundle.zip")
            try:
                bundle.fetch(code["url"], code["sha256"], int(code["size"]), path, until - limit)
                bundle.unpack(path, self._folder)
            except bundle.Broken as problem:
                raise ended.Trouble("no-network" if problem.network else "setup", str(problem)) from problem
            os.unlink(path)
        job.give(self._folder, who)
        if go.get("setup"):
            self._setup(until, go, log, limit)
            job.give(self._folder, who)
        return who

    def _setup(self, until: float, go: Mapping[str, Any], log: Log, limit: float) -> None:
        root = job.Owner("root", "/root")
        env = job.environment(go, self._folder, root, self._environ, self._places.guest)
        seconds = max(30.0, until - time.monotonic() - limit - 2 * self._bound.grace)
        course = job.run(
            job.arguments(str(go["setup"])), env, self._folder, root, log.write_end, seconds, 5.0, self._kin
        )
        if course.timed_out:
            raise ended.Trouble("setup", f"setup was ended after {seconds:.0f} s: the margin holds no more")
        if course.exit != 0:
            how = f"exit {course.exit}" if course.exit is not None else f"signal {course.signal}"
            raise ended.Trouble("disk-full" if course.disk_full else "setup", f"setup ended with {how}")


def _started(who: job.Owner) -> dict[str, Any]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "format": words.FORMAT,
        "at": words.utc_millis(time.time()),
        "pid": os.getpid(),
        "python": platform.python_version(),
        "machine": os.uname().machine,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": pages >> 20,
        "user": who.name,
    }


def _claim(control: str) -> int:
    """Tell the switch that the agent lives: a locked file, which the kernel unlocks when the agent is gone."""
    os.makedirs(control, exist_ok=True)
    fresh = os.path.join(control, f"agent.{os.getpid()}")
    held = os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o644)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.rename(fresh, os.path.join(control, "agent.lock"))
    return held


def _power_off(places: Places, reason: str) -> NoReturn:
    """Try again until it works. The switch knows by the file that this is no accident."""
    try:
        with open(os.path.join(places.control, "agent-ended"), "w") as file:
            file.write(reason)
    except OSError:
        traceback.print_exc()
    say(f"powering off: {reason}")
    ways = [["shutdown", "-h", "now"]]
    if not places.guest:
        ways = [["systemctl", "poweroff"], ["shutdown", "-h", "now"], ["poweroff"], ["poweroff", "-f"]]
    turn = 0
    while True:
        try:
            subprocess.run(ways[turn % len(ways)], stdin=subprocess.DEVNULL, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as problem:
            say(f"power-off: {problem}")
        turn += 1
        time.sleep(min(20.0, 5.0 * turn))


def begin() -> NoReturn:
    """As the switch starts it: CONTROL, and `guest` or `machine`, as arguments."""
    run(sys.argv[1], sys.argv[2] == "guest", os.environ)
