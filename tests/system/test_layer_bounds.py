"""Each layer alone ends a server within its bound, in real time, with the agent and the two other layers away.

The sweeps of these tests are a minute apart, as near as Scheduler's rates come, where those of a project are five: so the sweeper's
bound is four minutes less. The bounds are read from the README.
"""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from dayfly.core import names
from system.conftest import Folder
from system.projects import BUCKET, HUNG, state

pytestmark = [pytest.mark.cloud, pytest.mark.slow]

README = (Path(__file__).parents[2] / "README.md").read_text()
BOOT_S = 8
"""How long a process guest takes to boot and to go away on a busy machine."""
SWEEPS_SAVED_S = 4 * 60
STOPS_THE_AGENT = "kill -STOP $PPID; sleep 600"
FILE = """project = "{name}"
regions = ["eu-west-1"]
[defaults]
servers = ["c8g.large"]
time_limit = "12s"
margin = "8s"
"""


def bound(layer: str) -> int:
    """Return how many seconds after the deadline a server may run by the README's table."""
    [minutes] = re.findall(rf"\| {layer} \|.*\| deadline \+ (\d+) minutes \|", README)
    return int(minutes) * 60


@dataclass
class Started:
    """A server that runs its job, and its deadline in seconds since 1970."""

    cloud: Folder
    project: str
    id: str
    deadline: float

    @property
    def name(self) -> str:
        return names.kill_schedule(self.id)

    def disarm(self) -> None:
        self.cloud.client("scheduler").delete_schedule(Name=self.name, GroupName=names.stack(self.project))

    def running(self) -> bool:
        return state(self.cloud, self.id) == "running"

    def wait_until_it_leaves_running(self, within_s: float) -> float:
        """Return how many seconds after its deadline it was seen to have left `running`."""
        while self.running():
            assert time.time() < self.deadline + within_s, f"running {within_s} s after its deadline"
            time.sleep(0.2)
        return time.time() - self.deadline


def closed(cloud: Folder, project: str, run: str) -> dict[str, object]:
    """Return the closing record of a run, which a sweep or an event of EC2 writes."""
    job, tick = run.split("@")
    until = time.monotonic() + 30
    while True:
        try:
            key = f"runs/{job}/{tick}/1/closed.json"
            return json.load(cloud.client("s3").get_object(Bucket=BUCKET.format(project), Key=key)["Body"])
        except ClientError:
            assert time.monotonic() < until, f"{run} was not closed"
            time.sleep(0.5)


def set_sweeps(cloud: Folder, project: str, status: str, every: str) -> None:
    scheduler = cloud.client("scheduler")
    found = scheduler.get_schedule(Name="dayfly-sweeper", GroupName=names.stack(project))
    kept = {key: found[key] for key in ("Name", "GroupName", "FlexibleTimeWindow", "Target")}
    scheduler.update_schedule(**kept, ScheduleExpression=every, State=status)


def deploy(cloud: Folder, project: str, jobs: dict[str, str]) -> None:
    """Deploy a project with these commands as jobs, and without sweeps."""
    tables = [f"[jobs.{name}]\ncommand = {json.dumps(command)}\n" for name, command in jobs.items()]
    cloud.write(FILE.format(name=project) + "".join(tables))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    set_sweeps(cloud, project, "DISABLED", "rate(5 minutes)")


def start(cloud: Folder, project: str, job: str) -> tuple[str, Started]:
    """Start a run by hand, and return its name and its server."""
    started = cloud.json("run", job, "--local")
    [group] = cloud.client("ec2").describe_instances(InstanceIds=[started["server"]])["Reservations"]
    tags = {tag["Key"]: tag["Value"] for tag in group["Instances"][0]["Tags"]}
    deadline = names.utc_moment(tags[names.TAG_DEADLINE]).timestamp()
    return started["run"], Started(cloud, project, started["server"], deadline)


def test_each_layer_alone_ends_a_server_within_its_bound(cloud: Folder) -> None:
    deploy(cloud, "boundsweep", {"swept": HUNG})
    swept_run, swept = start(cloud, "boundsweep", "swept")
    swept.disarm()
    deploy(cloud, "bounds", {"killed": HUNG, "switched": STOPS_THE_AGENT})
    killed_run, killed = start(cloud, "bounds", "killed")
    switched_run, switched = start(cloud, "bounds", "switched")
    switched.disarm()

    time.sleep(max(0, swept.deadline - time.time()))
    assert swept.running()
    set_sweeps(cloud, "boundsweep", "ENABLED", "rate(1 minute)")

    after_switch = switched.wait_until_it_leaves_running(BOOT_S)
    after_kill = killed.wait_until_it_leaves_running(bound("kill schedule"))
    after_sweep = swept.wait_until_it_leaves_running(bound("sweeper") - SWEEPS_SAVED_S)
    figures = {"switch": after_switch, "kill schedule": after_kill, "sweeper": after_sweep}
    logging.getLogger(__name__).info("left `running` so many seconds after the deadline: %s", figures)

    assert closed(cloud, "bounds", switched_run)["ended_by"] == "switch: past its deadline"
    assert closed(cloud, "bounds", killed_run)["ended_by"] == "kill schedule: past its deadline"
    assert closed(cloud, "boundsweep", swept_run)["ended_by"] == "sweeper: past its deadline"
