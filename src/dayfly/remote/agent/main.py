"""The agent: run the job, store what it made, power the server off.

The first stage (boot/first_stage.py) started it in its own process and gives it go.json. Each step lives in a module of its own.
This one has their order, and ensures that the server always goes away.
"""

from __future__ import annotations

import calendar
import json
import os
import sys
import time
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn

from dayfly.remote.agent import job, outcome, outputs
from dayfly.remote.agent.api import Api
from dayfly.remote.agent.cancel import Watch
from dayfly.remote.agent.log import Log
from dayfly.remote.agent.names import cancel_key
from dayfly.remote.agent.preparation import Preparation, Server
from dayfly.remote.agent.process_tree import ProcessTree
from dayfly.remote.agent.s3 import Bucket
from dayfly.remote.boot import names, power, s3
from dayfly.remote.boot.first_stage import START
from dayfly.remote.boot.metadata import Metadata

_LAST_SECONDS = 15.0
"""Retries to S3 end this many seconds before the deadline, at which the switch powers off."""
GRACE = 30.0
"""Seconds from TERM to KILL."""


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
        reason = Agent(start, control, kind, environ, grace).run()
    except BaseException:  # the server must go away after any error
        traceback.print_exc()
    power.agent_off(control, reason, kind)


class Agent:
    """One run of the agent on one server."""

    def __init__(
        self, start: Mapping[str, Any], control: str, kind: str, environ: Mapping[str, str], grace: float
    ) -> None:
        self._go: Mapping[str, Any] = start["go"]
        self._prefix, self._limit = str(self._go["prefix"]), float(self._go["time_limit_s"])
        self._tree = ProcessTree()
        deadline = calendar.timegm(time.strptime(str(self._go["deadline"]), "%Y-%m-%dT%H:%M:%SZ"))
        until = time.monotonic() + max(20.0, deadline - time.time() - _LAST_SECONDS)
        credentials, region = Metadata(environ).credentials, str(start["region"])
        endpoint = environ.get(names.ENDPOINT) or None
        guest, home, spool = kind == power.GUEST, "/home/dayfly", "/var/lib/dayfly/spool"
        if guest:
            home = environ.get("HOME") or "/tmp"
            spool = home + "/.dayfly/spool"
        signed = s3.Bucket(start["bucket"], region, credentials, endpoint)
        api = partial(Api, region=region, credentials=credentials, endpoint=endpoint)
        self._server = Server(control, home, spool, home + "/job", guest, environ, signed, api, grace, until)

    def run(self) -> str:
        """Do everything, from the bundle to ended.json. Returns the reason to power off."""
        server, prefix = self._server, self._prefix
        bucket = Bucket(server.bucket, server.until)
        for folder in (server.spool, server.work):
            os.makedirs(folder, exist_ok=True)
        log = Log(bucket, prefix, server.spool)
        try:
            result, problem = self._job(bucket, log)
            log.finish()
            patterns = [str(pattern) for pattern in self._go.get("outputs") or []]
            found = outputs.find(server.work, patterns)
            stored, unsaved = outputs.store(bucket, prefix, server.work, found.paths)
            if log.problem:
                unsaved.append(log.problem)
            verdict = outcome.decide(result, problem, found, unsaved, self._limit, server.guest)
            record = outcome.record(verdict, result, found, stored, log.summary())
        except Exception as error:
            traceback.print_exc()
            self._tree.kill()
            verdict = outcome.Verdict("failed", "unknown", f"the agent failed: {type(error).__name__}: {error}")
            record = outcome.record(verdict, None, outputs.NONE, [], log.summary())
        bucket.until = max(bucket.until, time.monotonic() + 10)
        bucket.put(prefix + "ended.json", json.dumps(record).encode())
        return " ".join(word for word in (verdict.outcome, verdict.reason) if word)

    def _job(self, bucket: Bucket, log: Log) -> tuple[job.Result | None, outcome.NotStarted | None]:
        """Prepare and run the job. Returns how its command ended, or why it was not started."""
        server = self._server
        watch = Watch(server.bucket, cancel_key(self._prefix))
        try:
            who, folders, env = Preparation(server, self._go, log, watch, self._tree).run()
        except outcome.NotStarted as problem:
            return None, problem
        bucket.put(self._prefix + "started.json", json.dumps(_started(who)).encode())
        argv = job.arguments(self._go["command"])
        output, asked = log.write_end, watch.asked
        result = job.run(argv, env, folders.work, who, output, self._limit, server.grace, self._tree, asked)
        watch.end()
        return result, None


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
