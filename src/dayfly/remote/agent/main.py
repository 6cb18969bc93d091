"""The agent: run the job, store what it made, power the server off.

The first stage (boot/first_stage.py) started it in its own process and gives it go.json. Each step lives in a module of its own.
This one has their order, and ensures that the server always goes away.
"""

from __future__ import annotations

import calendar
import errno
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any, NoReturn

from dayfly.remote.agent import bundle, job, outcome, outputs
from dayfly.remote.agent.log import Log
from dayfly.remote.agent.process_tree import ProcessTree
from dayfly.remote.agent.s3 import Bucket
from dayfly.remote.boot import download, names, power, s3
from dayfly.remote.boot.first_stage import START
from dayfly.remote.boot.metadata import Metadata

_LAST_SECONDS = 15.0
"""Retries to S3 end this many seconds before the deadline, at which the switch powers off."""
GRACE = 30.0
"""Seconds from TERM to KILL."""
_NONE = outputs.Matches([], [], [])


def main() -> None:
    """Run `CONTROL KIND LOCK` of the command line."""
    control, kind, lock = sys.argv[1:4]
    os.set_inheritable(int(lock), False)  # a process of the job that held it would pass for the agent
    run(control, kind, os.environ)


def run(control: str, kind: str, environ: Mapping[str, str], grace: float = GRACE) -> NoReturn:
    """Run the agent, then power off. `control` is the folder that the switch watches. Never returns."""
    reason = "the agent failed"
    try:
        with open(f"{control}/{START}") as file:
            start = json.load(file)
        os.unlink(file.name)
        reason = Agent(start, kind, environ, grace).run()
    except BaseException:  # the server must go away after any error
        traceback.print_exc()
    power.agent_off(control, reason, kind)


class Agent:
    """One run of the agent on one server."""

    def __init__(self, start: Mapping[str, Any], kind: str, environ: Mapping[str, str], grace: float) -> None:
        self._start, self._environ, self._grace = start, environ, grace
        self._guest = kind == power.GUEST
        self._home, self._spool = "/home/dayfly", "/var/lib/dayfly/spool"
        if self._guest:
            self._home = environ.get("HOME") or "/tmp"
            self._spool = self._home + "/.dayfly/spool"
        self._folder = self._home + "/job"
        self._tree = ProcessTree()

    def run(self) -> str:
        """Do everything, from the bundle to ended.json. Returns the reason to power off."""
        go = self._start["go"]
        prefix, limit = str(go["prefix"]), float(go["time_limit_s"])
        deadline = calendar.timegm(time.strptime(str(go["deadline"]), "%Y-%m-%dT%H:%M:%SZ"))
        until = time.monotonic() + max(20.0, deadline - time.time() - _LAST_SECONDS)
        credentials = Metadata(self._environ).credentials
        endpoint = self._environ.get(names.ENDPOINT) or None
        bucket = Bucket(s3.Bucket(self._start["bucket"], self._start["region"], credentials, endpoint), until)
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
        return job.run(argv, env, self._folder, who, log.write_end, limit, self._grace, self._tree), None

    def _prepare(self, until: float, go: Mapping[str, Any], log: Log, limit: float) -> job.User:
        """Make the user, unpack the code, run `setup`. Returns the user. Raises NotStarted or OSError."""
        who = job.user(self._home, self._guest)
        code = go.get("bundle")
        if code:
            path = self._spool + "/bundle.zip"
            try:
                download.fetch("bundle", code, path, until - limit)
                bundle.unpack(path, self._folder)
            except download.NoNetwork as problem:
                raise outcome.NotStarted("no-network", str(problem)) from problem
            except (download.WrongFile, bundle.BadBundle) as problem:
                raise outcome.NotStarted("setup", str(problem)) from problem
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
        seconds = max(30.0, until - time.monotonic() - limit - 2 * self._grace)
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
