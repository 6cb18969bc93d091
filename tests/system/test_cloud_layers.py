"""The layers that end a server, taken away one by one on the real local cloud: what is left still ends it, and says that it did.

A hung server is a job that killed its agent and the switch: nobody inside is left to power it off. Then the kill schedule alone,
and then the sweeper alone, must do it.
"""

from __future__ import annotations

import json
import time

import pytest

pytestmark = pytest.mark.slow

# The job kills everything of dayfly's on its server, the switch first, and sleeps on.
HUNG = (
    "for p in /proc/[0-9]*; do n=${p#/proc/}; [ $n != 1 ] && [ $n != $$ ] "
    "&& grep -qa 'remote.agent\\|/package' $p/cmdline && kill -KILL $n; done; sleep 600"
)
FILE = """project = "{name}"
regions = ["eu-west-1"]
[jobs.hung]
command = {command}
servers = ["c8g.large"]
time_limit = "10s"
margin = "{margin}s"
"""


def start(cloud, name, margin):
    cloud.write(FILE.format(name=name, command=json.dumps(HUNG), margin=margin))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    told = cloud.json("run", "hung", "--local")
    time.sleep(2)
    return told


def state(cloud, server):
    [group] = cloud.client("ec2").describe_instances(InstanceIds=[server])["Reservations"]
    return group["Instances"][0]["State"]["Name"]


def wait_gone(cloud, server, seconds):
    until = time.monotonic() + seconds
    while state(cloud, server) != "terminated":
        assert time.monotonic() < until, "still there"
        time.sleep(1)


def test_with_agent_and_switch_gone_the_kill_schedule_ends_the_server_by_itself(cloud):
    told = start(cloud, "killed", 5)
    assert state(cloud, told["server"]) == "running"
    # The cloud's clock, not the server's: its own layers do not see that time passed.
    cloud.control("clock", {"advance": 10 + 5 + 60 + 15})
    try:
        wait_gone(cloud, told["server"], 60)
    finally:
        cloud.control("clock", method="DELETE")
    row = cloud.json("retry", told["run"], "--local", code=0)
    assert row["attempt"] == 2
    cloud.json("cancel", told["run"], "--local")
    shown = cloud.client("s3").get_object(
        Bucket="dayfly-killed-000000000000-eu-west-1", Key=f"runs/hung/{told['run'].split('@')[1]}/1/closed.json"
    )
    assert json.loads(shown["Body"].read())["ended_by"].startswith("kill schedule")


def test_with_agent_switch_and_kill_schedule_gone_the_sweeper_ends_the_server(cloud):
    told = start(cloud, "swept", 5)
    cloud.client("scheduler").delete_schedule(Name=f"kill-{told['server']}", GroupName="dayfly-swept")
    time.sleep(14)
    assert state(cloud, told["server"]) == "running"
    swept = cloud.client("lambda").invoke(FunctionName="dayfly-swept-sweeper", Payload=b"{}")
    assert told["server"] in json.loads(swept["Payload"].read())["ended"]
    wait_gone(cloud, told["server"], 60)
    cloud.client("lambda").invoke(FunctionName="dayfly-swept-sweeper", Payload=b"{}")
    document = cloud.json("show", told["run"], "--local")
    assert "sweeper: past its deadline" in json.dumps(document)
