"""The agent: wait for go.json, run the job, store what it made, power the server off.

Each step lives in a module of its own. This one has their order, and ensures that the server always goes away.
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

from dayfly.remote.agent import bundle, job, names, outcome, outputs, power
from dayfly.remote.agent.log import Log
from dayfly.remote.agent.metadata import Metadata
from dayfly.remote.agent.names import say
from dayfly.remote.agent.process_tree import ProcessTree
from dayfly.remote.agent.s3 import Bucket, Refused

_LAST_SECONDS = 15.0
"""Retries to S3 end this many seconds before the deadline, at which the switch powers off."""
_NONE = outputs.Matches([], [], [])


class Limits(NamedTuple):
    """Seconds: how long to wait for go.json, and from TERM to KILL."""

    go_wait: float = 600.0
    grace: float = 30.0


NORMAL = Limits()


class NoGo(Exception):
    """No go.json was found, so this server has nothing to run."""


def run(control: str, kind: str, environ: Mapping[str, str], limits: Limits = NORMAL) -> NoReturn:
    """Run the agent, then power off. `control` is the folder that the switch watches. Never returns."""
    reason = "the agent failed"
    try:
        lock = _lock(control)
        reason = Agent(kind, environ, limits).run()
        del lock
    except NoGo as why:
        reason = str(why)
    except BaseException:  # the server must go away after any error
        traceback.print_exc()
    with contextlib.suppress(OSError), open(control + "/agent-ended", "w") as file:
        file.write(reason)  # tells off.sh that the agent ended as it should
    power.off(reason, kind, "agent")


class Agent:
    """One run of the agent on one server."""

    def __init__(self, kind: str, environ: Mapping[str, str], limits: Limits) -> None:
        self._environ, self._limits = environ, limits
        self._guest = kind == power.GUEST
        self._home, self._spool = "/home/dayfly", "/var/lib/dayfly/spool"
        if self._guest:
            self._home = environ.get("HOME") or "/tmp"
            self._spool = self._home + "/.dayfly/spool"
        self._folder = self._home + "/job"
        self._tree = ProcessTree()

    def run(self) -> str:
        """Do everything, from waiting for go.json to ended.json. Returns the reason to power off. Raises NoGo."""
        bucket, go = self._wait_for_go()
        prefix, limit = str(go["prefix"]), float(go["time_limit_s"])
        deadline = calendar.timegm(time.strptime(str(go["deadline"]), "%Y-%m-%dT%H:%M:%SZ"))
        bucket.until = time.monotonic() + max(20.0, deadline - time.time() - _LAST_SECONDS)
        for folder in (self._spool, self._folder):
            os.makedirs(folder, exist_ok=True)
        log = Log(bucket, prefix, self._spool)
        try:
            result, problem = self._job(bucket, go, log, limit)
            log.finish()
            patterns = [str(pattern) for pattern in go.get("outputs") or []]
            found = outputs.find(self._folder, patterns)
            stored, unsaved = outputs.store(bucket, prefix, self._folder, found.paths)
            if log.problem:
                unsaved.append(log.problem)
            verdict = outcome.decide(result, problem, found, unsaved, limit, self._guest)
            record = outcome.record(verdict, result, found, stored, log.summary())
        except Exception as error:
            traceback.print_exc()
            self._tree.kill()
            verdict = outcome.Verdict("failed", "unknown", f"the agent failed: {type(error).__name__}: {error}")
            record = outcome.record(verdict, None, _NONE, [], log.summary())
        bucket.until = max(bucket.until, time.monotonic() + 10)
        bucket.put(prefix + "ended.json", json.dumps(record).encode())
        return " ".join(word for word in (verdict.outcome, verdict.reason) if word)

    def _wait_for_go(self) -> tuple[Bucket, dict[str, Any]]:
        """Return the bucket and the content of go.json. Raises NoGo."""
        began = time.monotonic()
        until = began + self._limits.go_wait
        last = "none was written"
        try:
            meta = Metadata(self._environ)
            instance = meta.get("instance-id") or ""
            region = meta.get("placement/region") or ""
            endpoint = self._environ.get(names.ENDPOINT) or None
            bucket = Bucket(meta.tag(names.TAG_BUCKET), region, meta.credentials, endpoint, until)
            key = names.go_key(meta.tag(names.TAG_ROLE), instance)
        except OSError as problem:
            raise NoGo(f"no metadata: {problem}") from problem
        say(f"instance {instance} waits for go.json")
        while time.monotonic() < until:
            try:
                found = bucket.get(key)
            except Refused as problem:
                last, found = str(problem), None
            if found is not None:
                go: dict[str, Any] = json.loads(found)
                say(f"starting {go['run']} attempt {go['attempt']}")
                return bucket, go
            time.sleep(min(3.0, 0.5 + (time.monotonic() - began) / 60))
        raise NoGo(f"no go.json within {self._limits.go_wait:g} s: {last}")

    def _job(
        self, bucket: Bucket, go: Mapping[str, Any], log: Log, limit: float
    ) -> tuple[job.Result | None, outcome.NotStarted | None]:
        """Prepare and run the job. Returns how its command ended, or why it was not started."""
        try:
            who = self._prepare(bucket.until, go, log, limit)
        except outcome.NotStarted as problem:
            return None, problem
        except OSError as error:
            reason = "setup"
            if error.errno == errno.ENOSPC:
                reason = "disk-full"
            return None, outcome.NotStarted(reason, str(error))
        bucket.put(str(go["prefix"]) + "started.json", json.dumps(_started(who)).encode())
        env = job.environment(go, self._folder, who, self._environ, self._guest)
        argv = job.arguments(go["command"])
        return job.run(argv, env, self._folder, who, log.write_end, limit, self._limits.grace, self._tree), None

    def _prepare(self, until: float, go: Mapping[str, Any], log: Log, limit: float) -> job.User:
        """Make the user, unpack the code, run `setup`. Returns the user. Raises NotStarted or OSError."""
        who = job.user(self._home, self._guest)
        code = go.get("bundle")
        if code:
            path = self._spool + "/bundle.zip"
            try:
                bundle.fetch(code["url"], code["sha256"], int(code["size"]), path, until - limit)
                bundle.unpack(path, self._folder)
            except bundle.BadBundle as problem:
                reason = "setup"
                if problem.network:
                    reason = "no-network"
                raise outcome.NotStarted(reason, str(problem)) from problem
            os.unlink(path)
        job.chown(self._folder, who)
        if go.get("setup"):
            self._setup(until, go, log, limit)
            job.chown(self._folder, who)
        return who

    def _setup(self, until: float, go: Mapping[str, Any], log: Log, limit: float) -> None:
        """Run `setup` as root, in the time that the job's own limit leaves. Raises NotStarted if it fails."""
        root = job.User("root", "/root")
        env = job.environment(go, self._folder, root, self._environ, self._guest)
        seconds = max(30.0, until - time.monotonic() - limit - 2 * self._limits.grace)
        result = job.run(
            job.arguments(str(go["setup"])), env, self._folder, root, log.write_end, seconds, 5.0, self._tree
        )
        if result.exit != 0 or result.timed_out:
            end = outcome.decide(result, None, _NONE, [], seconds, self._guest)
            reason = "setup"
            if end.reason in ("disk-full", "out-of-memory"):
                reason = end.reason
            raise outcome.NotStarted(reason, f"setup: {end.reason} {end.detail}".strip())


def _started(who: job.User) -> dict[str, Any]:
    """Return the content of started.json."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "format": names.FORMAT,
        "at": names.utc_millis(time.time()),
        "pid": os.getpid(),
        "python": sys.version.split()[0],
        "machine": os.uname().machine,
        "cpus": len(os.sched_getaffinity(0)),
        "memory_mb": pages >> 20,
        "user": who.name,
    }


def _lock(control: str) -> int:
    """Show the switch that the agent runs: return a locked file, which the kernel unlocks when the agent ends."""
    os.makedirs(control, exist_ok=True)
    fresh = f"{control}/agent.{os.getpid()}"
    lock = os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(fresh, control + "/agent.lock")
    return lock
