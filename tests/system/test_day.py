"""What a day brings, on the local cloud by the commands of a user: a cancel, a pause, and a tick that is run later."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from dayfly.core import names
from system.conftest import Folder
from system.projects import project, state

pytestmark = [pytest.mark.cloud, pytest.mark.slow]

WRITES_AND_WAITS = (
    "mkdir -p out; echo half >out/a.txt; trap 'echo told >out/b.txt; exit 1' TERM; echo waiting; sleep 600 & wait"
)


def started(cloud: Folder) -> dict:
    """Start a run and return the answer once its command has written its first line."""
    cloud.dayfly("local", "up")
    document = cloud.json("run", "hello", "--local")
    until = time.monotonic() + 60
    while "waiting" not in cloud.dayfly("logs", document["run"], "--local").stdout:
        assert time.monotonic() < until, cloud.dayfly("show", document["run"], "--local").stdout
        time.sleep(0.5)
    return document


def test_cancel_keeps_what_the_job_had_written(own_folder):
    own_folder.write(project("keeps", WRITES_AND_WAITS, outputs=["out/*.txt"], time_limit="20m"))
    run = started(own_folder)
    began = time.monotonic()
    said = own_folder.dayfly("cancel", run["run"], "--local")
    assert said.returncode == 0, said.stdout + said.stderr
    assert time.monotonic() - began < 60, "its agent looks for the cancel every 5 s"
    assert "cancelled " in said.stdout
    assert "the log and 2 files" in said.stdout
    assert own_folder.json("show", run["run"], "--local")["server"]["ended_by"] == "agent: cancelled"
    fetched = own_folder.dayfly("fetch", run["run"], "--local")
    assert fetched.returncode == 1, "the run did not succeed"
    folder = own_folder.path / ".dayfly/results" / run["run"] / "out"
    assert ((folder / "a.txt").read_text(), (folder / "b.txt").read_text()) == ("half\n", "told\n")
    assert state(own_folder, run["server"]) == "terminated"


def test_paused_tick_is_skipped_and_run_later(own_folder):
    command = "echo $DAYFLY_TICK $DAYFLY_DAY >tick.txt"
    own_folder.write(project("later", command, schedule="* * * * *", timezone="Asia/Tokyo", outputs=["tick.txt"]))
    own_folder.dayfly("local", "up")
    assert own_folder.dayfly("deploy", "--local", "--yes").returncode == 0
    assert own_folder.dayfly("pause", "hello", "--local").returncode == 0
    planned = own_folder.dayfly("deploy", "--plan", "--local")
    assert "hello stays paused" in planned.stdout, planned.stdout + planned.stderr
    tick = skipped(own_folder)
    shown = own_folder.json("show", f"hello@{tick}", "--local")
    assert (shown["outcome"], shown["reason"]) == ("skipped", "paused")
    assert shown["next"] == f"dayfly run hello --tick {tick[:16]}Z --local"
    document = own_folder.json("run", "hello", "--tick", tick, "--wait", "--local")
    assert document["outcome"] == "succeeded"
    assert own_folder.json("show", "hello", "--local")["latest"] == f"hello@{tick}"
    own_folder.dayfly("fetch", "hello", "--local")
    day = datetime.fromisoformat(tick).astimezone(UTC)
    written = (own_folder.path / ".dayfly/results" / document["run"] / "tick.txt").read_text().split()
    assert written[0] == names.utc_text(day)
    again = own_folder.dayfly("run", "hello", "--tick", tick, "--local")
    assert (again.returncode, "succeeded already" in again.stderr) == (4, True)
    assert own_folder.dayfly("resume", "hello", "--local").returncode == 0


def skipped(cloud: Folder) -> str:
    """Return the first tick that was skipped, once there is one."""
    until = time.monotonic() + 100
    while time.monotonic() < until:
        for one in reversed(cloud.json("runs", "hello", "--local")["runs"]):
            if one["outcome"] == "skipped":
                return one["tick"]
        time.sleep(2)
    raise AssertionError(cloud.dayfly("runs", "hello", "--local").stdout)


def test_disk_has_the_speed_that_the_job_asks_for(own_folder):
    disk = '{ size = "500GB", throughput = 500, iops = 6000 }'
    own_folder.write(project("fast", "echo waiting; sleep 600") + f"\ndisk = {disk}\n")
    run = started(own_folder)
    filters = [{"Name": "attachment.instance-id", "Values": [run["server"]]}]
    [volume] = own_folder.client("ec2").describe_volumes(Filters=filters)["Volumes"]
    assert (volume["Size"], volume["Throughput"], volume["Iops"]) == (500, 500, 6000)
    said = own_folder.dayfly("cancel", run["run"], "--now", "--local")
    assert said.returncode == 0, said.stdout + said.stderr
