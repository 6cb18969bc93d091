"""The agent: from the server's start to its power-off. One life, in order; nothing is done twice.

What each step does lives in its own module; here is only the order, and that whatever happens the server goes.
"""

from __future__ import annotations

import calendar
import contextlib
import errno
import fcntl
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from dayfly.remote.agent import bundle, ended, job, outputs, power, words
from dayfly.remote.agent.log import Log
from dayfly.remote.agent.metadata import Metadata
from dayfly.remote.agent.process_tree import Kin
from dayfly.remote.agent.s3 import Bucket, Refused
from dayfly.remote.agent.words import say

_LAST_SECONDS = 15.0
"""Patience with S3 ends so long before the deadline, at which the switch acts."""
_NONE = outputs.Found([], [], [])


class Bound(NamedTuple):
    """Seconds: how long go.json may take, and from TERM to KILL."""

    go_wait: float = 600.0
    grace: float = 30.0


NORMAL = Bound()


class NoGo(Exception):
    """Nobody said that this server should run anything."""


def run(control: str, kind: str, environ: Mapping[str, str], bound: Bound = NORMAL) -> NoReturn:
    """Live, then power off. `control` is the folder that the switch watches. Never returns."""
    reason = "the agent broke"
    try:
        hold = _claim(control)
        reason = Life(kind, environ, bound).live()
        del hold
    except NoGo as why:
        reason = str(why)
    except BaseException:  # whatever it is, the server must go
        traceback.print_exc()
    with contextlib.suppress(OSError), open(control + "/agent-ended", "w") as file:
        file.write(reason)  # tells off.sh that this is no accident
    power.off(reason, kind, "agent")


class Life:
    """One agent's life; what is known so far stands in its attributes, so that a broken life can still be recorded."""

    def __init__(self, kind: str, environ: Mapping[str, str], bound: Bound) -> None:
        self._environ, self._bound = environ, bound
        self._guest = kind == power.GUEST
        home = environ.get("HOME") or "/tmp"
        self._home = home if self._guest else "/home/dayfly"
        self._spool = home + "/.dayfly/spool" if self._guest else "/var/lib/dayfly/spool"
        self._folder = self._home + "/job"
        self._kin = Kin()

    def live(self) -> str:
        """All of it; why the server now goes. Raises NoGo."""
        bucket, go = self._wait_for_go()
        prefix, limit = str(go["prefix"]), float(go["time_limit_s"])
        deadline = calendar.timegm(time.strptime(str(go["deadline"]), "%Y-%m-%dT%H:%M:%SZ"))
        bucket.until = time.monotonic() + max(20.0, deadline - time.time() - _LAST_SECONDS)
        for folder in (self._spool, self._folder):
            os.makedirs(folder, exist_ok=True)
        log = Log(bucket, prefix, self._spool)
        try:
            course, trouble = self._job(bucket, go, log, limit)
            log.finish()
            patterns = [str(pattern) for pattern in go.get("outputs") or []]
            found = outputs.find(self._folder, patterns)
            stored, unsaved = outputs.store(bucket, prefix, self._folder, found.paths)
            if log.problem:
                unsaved.append(log.problem)
            verdict = ended.judge(course, trouble, found, unsaved, limit, self._guest)
            facts = ended.record(verdict, course, found, stored, log.facts())
        except Exception as problem:
            traceback.print_exc()
            self._kin.kill()
            verdict = ended.Verdict("failed", "unknown", f"the agent broke: {type(problem).__name__}: {problem}")
            facts = ended.record(verdict, None, _NONE, [], log.facts())
        bucket.until = max(bucket.until, time.monotonic() + 10)
        bucket.put(prefix + "ended.json", json.dumps(facts).encode())
        return " ".join(word for word in (verdict.outcome, verdict.reason) if word)

    def _wait_for_go(self) -> tuple[Bucket, dict[str, Any]]:
        began = time.monotonic()
        until = began + self._bound.go_wait
        last = "none was written"
        try:
            meta = Metadata(self._environ)
            instance = meta.get("instance-id") or ""
            region = meta.get("placement/region") or ""
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
            time.sleep(min(3.0, 0.5 + (time.monotonic() - began) / 60))
        raise NoGo(f"no go within {self._bound.go_wait:g} s: {last}")

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
        bucket.put(str(go["prefix"]) + "started.json", json.dumps(_started(who)).encode())
        env = job.environment(go, self._folder, who, self._environ, self._guest)
        argv = job.arguments(go["command"])
        return job.run(argv, env, self._folder, who, log.write_end, limit, self._bound.grace, self._kin), None

    def _prepare(self, until: float, go: Mapping[str, Any], log: Log, limit: float) -> job.Owner:
        """The user, the folder with the code in it, setup. Raises Trouble, OSError."""
        who = job.owner(self._home, self._guest)
        code = go.get("bundle")
        if code:
            path = self._spool + "/bundle.zip"
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
        env = job.environment(go, self._folder, root, self._environ, self._guest)
        seconds = max(30.0, until - time.monotonic() - limit - 2 * self._bound.grace)
        course = job.run(
            job.arguments(str(go["setup"])), env, self._folder, root, log.write_end, seconds, 5.0, self._kin
        )
        if course.exit != 0 or course.timed_out:
            end = ended.judge(course, None, _NONE, [], seconds, self._guest)
            known = end.reason in ("disk-full", "out-of-memory")
            raise ended.Trouble(end.reason if known else "setup", f"setup: {end.reason} {end.detail}".strip())


def _started(who: job.Owner) -> dict[str, Any]:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "format": words.FORMAT,
        "at": words.utc_millis(time.time()),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "machine": os.uname().machine,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": pages >> 20,
        "user": who.name,
    }


def _claim(control: str) -> int:
    """Tell the switch that the agent lives: a locked file, which the kernel unlocks when the agent is gone."""
    os.makedirs(control, exist_ok=True)
    fresh = f"{control}/agent.{os.getpid()}"
    held = os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o644)
    fcntl.flock(held, fcntl.LOCK_EX)
    os.rename(fresh, control + "/agent.lock")
    return held
