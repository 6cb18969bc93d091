"""The first stage: wait for go.json, download the agent that it names, verify it, and become the agent.

The process holds agent.lock, which the switch watches, until the agent ends: exec keeps the lock. If there is nothing to run, or no
agent to run it, the server powers off.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import time
import traceback
import zipfile
from collections.abc import Mapping
from typing import Any, NoReturn

from dayfly.remote.boot import download, names, power, web
from dayfly.remote.boot.metadata import Metadata
from dayfly.remote.boot.names import say
from dayfly.remote.boot.s3 import Bucket

START = "start.json"
"""The file in `control` by which the agent gets `bucket` (its name), `region` and `go` (the content of go.json)."""


class NoGo(Exception):
    """No go.json was found, so this server has nothing to run."""


def run(
    control: str, kind: str, environ: Mapping[str, str], go_wait: float = 600.0, patience: float = 120.0
) -> NoReturn:
    """Run the first stage and then the agent, or power off. `control`: the folder that the switch watches.

    Seconds: `go_wait` to wait for go.json, `patience` to retry the agent's download, and then as long to store ended.json.
    """
    reason = "the first stage failed"
    try:
        lock = _lock(control)
        bucket, start = _wait_for_go(environ, go_wait)
        reason = _start_agent(bucket, start, control, kind, lock, patience)
    except NoGo as why:
        reason = str(why)
    except BaseException:  # the server must go away after any error
        traceback.print_exc()
    power.agent_off(control, reason, kind)


def _lock(control: str) -> int:
    """Show the switch that the agent runs: return a locked file, which the kernel unlocks when this process ends."""
    os.makedirs(control, exist_ok=True)
    fresh = f"{control}/agent.{os.getpid()}"
    lock = os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o644)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.rename(fresh, control + "/agent.lock")
    return lock


def _wait_for_go(environ: Mapping[str, str], seconds: float) -> tuple[Bucket, dict[str, Any]]:
    """Return the bucket and the content of start.json. Raises NoGo."""
    began = time.monotonic()
    until = began + seconds
    last = "none was written"
    try:
        meta = Metadata(environ)
        instance = meta.get("instance-id") or ""
        region = meta.get("placement/region") or ""
        name = meta.tag(names.TAG_BUCKET)
        key = names.go_key(meta.tag(names.TAG_ROLE), instance)
    except OSError as problem:
        raise NoGo(f"no metadata: {problem}") from problem
    bucket = Bucket(name, region, meta.credentials, environ.get(names.ENDPOINT) or None)
    say(f"instance {instance} waits for go.json")
    while time.monotonic() < until:
        try:
            status, _, body = bucket.send("GET", key)
            if status == 200:
                go = json.loads(body)
                say(f"starting {go['run']} attempt {go['attempt']}")
                return bucket, {"bucket": name, "region": region, "go": go}
            if status not in (403, 404):  # 403: it does not exist, and this role may not list
                last = f"status {status}"
        except web.FAILURES as problem:
            last = repr(problem)
        time.sleep(min(3.0, 0.5 + (time.monotonic() - began) / 60))
    raise NoGo(f"no go.json within {seconds:g} s: {last}")


def _start_agent(bucket: Bucket, start: dict[str, Any], control: str, kind: str, lock: int, patience: float) -> str:
    """Replace this process by the agent. Returns only if that failed, after ended.json: the reason to power off."""
    go, archive, folder = start["go"], control + "/agent.zip", control + "/agent"
    try:
        download.fetch("agent", go["agent"], archive, time.monotonic() + patience)
        with zipfile.ZipFile(archive) as held:  # verified, so its names are trusted
            held.extractall(folder)
        with open(os.open(f"{control}/{START}", os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:  # it holds links
            json.dump(start, file)
        os.set_inheritable(lock, True)
        os.execv(sys.executable, [sys.executable, "-I", "-S", folder, control, kind, str(lock)])
    except download.NoNetwork as problem:
        reason, detail = "no-network", str(problem)
    except Exception as problem:
        traceback.print_exc()
        reason, detail = "no-agent", f"{type(problem).__name__}: {problem}"
    say(f"{reason}: {detail}")
    now = names.utc_millis(time.time())
    ended = {"format": names.FORMAT, "at": now, "stored_at": now, "outcome": "failed", "reason": reason}
    _store(bucket, go["prefix"] + "ended.json", json.dumps({**ended, "detail": detail[:2000]}).encode(), patience)
    return f"failed {reason}"


def _store(bucket: Bucket, key: str, body: bytes, patience: float) -> None:
    """Write an object if S3 takes it in time."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            status = bucket.send("PUT", key, "", body, len(body), hashlib.sha256(body).hexdigest(), True)[0]
            if status < 500:
                say(f"ended.json: status {status}")
                break
        except web.FAILURES as problem:
            say(f"ended.json: {problem!r}")
        time.sleep(1)
