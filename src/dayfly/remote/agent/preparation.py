"""Prepare the server for the command: user, code, inputs, `setup`, secrets, credentials. main.py has what comes before and after.

Each step lives in a module of its own; here is their order. A cancelled run stops in the middle of any of them.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from dayfly.remote.agent import apt, bundle, disks, inputs, isolation, job, outcome, outputs, secret_values
from dayfly.remote.agent.api import Api
from dayfly.remote.agent.cancel import Watch
from dayfly.remote.agent.job_role import NONE, JobRole
from dayfly.remote.agent.log import Log
from dayfly.remote.agent.process_tree import ProcessTree
from dayfly.remote.agent.s3 import Bucket
from dayfly.remote.boot import download, names
from dayfly.remote.boot.s3 import Bucket as SignedBucket


class Ready(NamedTuple):
    """What the command is started with."""

    who: job.User
    folders: job.Folders
    env: dict[str, str]


class Server(NamedTuple):
    """The server and its role. `until`: monotonic seconds, after which nothing more can be stored; `api`: see api.py."""

    control: str
    home: str
    spool: str
    work: str
    guest: bool
    environ: Mapping[str, str]
    bucket: SignedBucket
    api: Callable[[str], Api]
    grace: float
    until: float


class Preparation:
    """Prepares one run. Its methods raise outcome.NotStarted."""

    def __init__(self, server: Server, go: Mapping[str, Any], log: Log, watch: Watch, tree: ProcessTree) -> None:
        self._server, self._go, self._log, self._watch, self._tree = server, go, log, watch, tree
        self._latest = server.until - float(go["time_limit_s"]) - server.grace

    def run(self) -> Ready:
        """Do every step, in their order."""
        try:
            return self._run()
        except OSError as problem:
            reason = "setup"
            if problem.errno == errno.ENOSPC:
                reason = "disk-full"
            raise outcome.NotStarted(reason, str(problem)) from problem

    def _run(self) -> Ready:
        server = self._server
        who = job.user(server.home, server.guest)
        if who.uid is not None and who.gid is not None:
            isolation.close_folders(server.control, server.spool)
            isolation.close_metadata(who.uid, who.gid)
        self._unpack()
        folders = job.Folders(server.work, server.home + "/last", self._scratch())
        os.makedirs(folders.last, exist_ok=True)
        held = Bucket(server.bucket, self._latest - server.grace)
        self._watch.unless_asked(lambda: inputs.download(held, self._go.get("inputs") or (), folders.last))
        self._give(who, folders)
        if self._go.get("setup"):
            self._setup(folders)
            self._give(who, folders)
        given = self._watch.unless_asked(self._secrets)
        self._log.mask(given.values())
        given.update(self._watch.unless_asked(self._credentials))
        return Ready(who, folders, job.environment(self._go, folders, who, server.environ, server.guest, given))

    def _scratch(self) -> str:
        root_disk = self._server.home + "/scratch"
        if self._server.guest:
            os.makedirs(root_disk, exist_ok=True)
            return root_disk
        return disks.scratch(root_disk)

    def _give(self, who: job.User, folders: job.Folders) -> None:
        for folder in folders:
            job.chown(folder, who)

    def _unpack(self) -> None:
        code = self._go.get("bundle")
        if not code:
            return
        path = self._server.spool + "/bundle.zip"
        try:
            self._watch.unless_asked(lambda: download.fetch("bundle", code, path, self._latest + self._server.grace))
            bundle.unpack(path, self._server.work)
        except download.NoNetwork as problem:
            raise outcome.NotStarted("no-network", str(problem)) from problem
        except (download.WrongFile, bundle.BadBundle) as problem:
            raise outcome.NotStarted("setup", str(problem)) from problem
        os.unlink(path)

    def _setup(self, folders: job.Folders) -> None:
        """Run `setup` as root, with the server's role, in the time that the job's own limit leaves."""
        server, root = self._server, job.User("root", "/root")
        given = dict(apt.VARIABLES)
        if not server.guest:
            apt.make_way()
        if server.environ.get(names.METADATA_ENDPOINT):
            given[names.METADATA_ENDPOINT] = server.environ[names.METADATA_ENDPOINT]
        env = job.environment(self._go, folders, root, server.environ, server.guest, given)
        argv = job.arguments(str(self._go["setup"]))
        seconds = max(30.0, self._latest - server.grace - time.monotonic())
        output, asked = self._log.write_end, self._watch.asked
        result = job.run(argv, env, folders.work, root, output, seconds, server.grace, self._tree, asked)
        if result.cancelled:
            raise outcome.Cancelled
        if result.exit != 0 or result.timed_out:
            end = outcome.decide(result, None, outputs.NONE, [], seconds, server.guest)
            reason = "setup"
            if end.reason in ("disk-full", "out-of-memory"):
                reason = end.reason
            raise outcome.NotStarted(reason, f"setup: {end.reason} {end.detail}".strip())

    def _secrets(self) -> dict[str, str]:
        return secret_values.fetch(self._go.get("secrets") or {}, self._server.api, self._latest)

    def _credentials(self) -> dict[str, str]:
        """Return the variables by which the job finds its role's credentials."""
        arn = self._go.get("job_role")
        if not arn:
            return dict(NONE)
        role = JobRole(str(arn), _session(str(self._go["prefix"])), self._server.api("sts"))
        role.assume(self._latest)
        return role.serve()


def _session(prefix: str) -> str:
    """Return the name of the job's session, which CloudTrail shows: the server's id, as in the server's own session."""
    return prefix.rstrip("/").rpartition(":")[2]
