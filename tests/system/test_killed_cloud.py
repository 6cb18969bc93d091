"""The local cloud is killed at random moments of a run: no process is left, and the run gets a true outcome.

What the cloud had answered exists again after `up`; its servers ended with it, and the next sweeps close their runs.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from system.projects import BUCKET, project

pytestmark = [pytest.mark.cloud, pytest.mark.slow]

MOMENTS = 5
GUEST = os.environ.get("DAYFLY_TEST_GUEST", "process")
"""The kind of guest. With `vm` each moment takes minutes; CONTRIBUTING says how to ask for it."""

SPAN = {"process": 6.0, "vm": 60.0}[GUEST]
"""Seconds after the event within which such a run starts, runs and ends."""

MARGIN = {"process": "1m", "vm": "10m"}[GUEST]
GOOD = {"succeeded"}
BAD = {"failed", "lost", "cancelled", "timed-out"}


def until(condition: Callable[[], bool], limit: float, what: str) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def processes_of(folder: Path, *ignored: int) -> list[str]:
    """Return processes that name the folder in their command line, environment, working directory or root."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) in (os.getpid(), *ignored):
            continue
        seen = []
        for name in ("cmdline", "environ"):
            try:
                seen.append((entry / name).read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                continue
        for name in ("cwd", "root"):
            try:
                seen.append(os.readlink(entry / name))
            except OSError:
                continue
        if any(str(folder) in text for text in seen):
            found.append(f"{entry.name}: {seen[0][:200]}")
    return found


def kill_at(folder: Any, name: str, tick: str, seconds: float) -> None:
    """Let the launcher start a run, as its schedule would, and kill the local cloud that many seconds later."""
    pid = folder.json("local", "status")["pid"]
    event = json.dumps({"job": "hello", "tick": tick})
    functions = folder.client("lambda")
    functions.invoke(FunctionName=f"dayfly-{name}-launcher", InvocationType="Event", Payload=event)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)


def closed(folder: Any, name: str, tick: str) -> bool:
    """Sweep once; return whether that run was claimed and no run is open."""
    folder.client("lambda").invoke(FunctionName=f"dayfly-{name}-sweeper", Payload=b"{}")
    s3, bucket = folder.client("s3"), BUCKET.format(name)
    claimed = s3.list_objects_v2(Bucket=bucket, Prefix=f"runs/hello/{tick}/claim.json")
    return claimed["KeyCount"] == 1 and s3.list_objects_v2(Bucket=bucket, Prefix="open/")["KeyCount"] == 0


def check_records(folder: Any, name: str) -> list[str]:
    """Check every run's outcome against its facts, and return the outcomes in order."""
    s3, bucket = folder.client("s3"), BUCKET.format(name)

    def keys(prefix: str) -> list[str]:
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(key: str) -> Any:
        return json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])

    runs = [key.removesuffix("claim.json") for key in keys("runs/") if key.endswith("/claim.json")]
    shown = {row["run"]: row["outcome"] for row in folder.json("runs", "--local")["runs"]}
    outcomes = []
    for run in runs:
        tick = run.split("/")[2]
        for intent in [key for key in keys(run) if key.endswith("/intent.json")]:
            receipt = read(intent.replace("intent.json", "receipt.json"))
            outcome = receipt["outcome"]
            assert outcome == shown[f"hello@{tick}"]
            assert outcome in GOOD | BAD, receipt
            ended = [key for key in keys(f"out/hello/{tick}/") if key.endswith("/ended.json")]
            if outcome in GOOD:
                assert read(ended[0])["exit"] == 0
                stored = [key for key in keys(f"out/hello/{tick}/") if "/output/" in key]
                assert [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in stored] == [b"hello\n"]
            else:
                assert receipt["reason"], receipt
            outcomes.append(outcome)
    return outcomes


def test_run_gets_a_true_outcome_whenever_the_cloud_is_killed(own_folder):
    seed = int(os.environ.get("DAYFLY_TEST_SEED") or time.time_ns() % 10**6)
    moments = random.Random(seed)
    name = "killed-cloud"
    own_folder.write(project(name, "sleep 2; echo hello >a.txt", outputs=["a.txt"], time_limit="1m", margin=MARGIN))
    assert own_folder.dayfly("local", "up", "--guest", GUEST).returncode == 0
    assert own_folder.dayfly("deploy", "--local", "--yes").returncode == 0
    for number in range(MOMENTS):
        moment = (number + moments.random()) * SPAN / MOMENTS
        tick = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        sys.stderr.write(f"seed {seed}: {tick} killed {moment:.2f} s after its event\n")
        kill_at(own_folder, name, tick, moment)
        until(lambda: not processes_of(own_folder.path), 20, "\n".join(processes_of(own_folder.path)))
        up = own_folder.dayfly("local", "up", "--guest", GUEST)
        assert up.returncode == 0, up.stderr
        until(lambda tick=tick: closed(own_folder, name, tick), 120, "a run stays open")
        sys.stderr.write(f"{check_records(own_folder, name)}\n")
    assert len(check_records(own_folder, name)) >= MOMENTS
    groups = own_folder.client("ec2").describe_instances()["Reservations"]
    assert {one["State"]["Name"] for group in groups for one in group["Instances"]} <= {"terminated"}
    left = own_folder.client("scheduler").list_schedules(GroupName=f"dayfly-{name}", NamePrefix="kill-")["Schedules"]
    assert left == []
    # The next run works as usual.
    document = own_folder.json("run", "hello", "--local", "--wait", "--publish")
    assert document["outcome"] == "succeeded"
    assert check_records(own_folder, name)[-1] == "succeeded"
