"""The layers that end a server, removed one by one on the local cloud: a remaining layer still ends it, and is recorded.

The job kills its agent and the switch, so that nothing on the server can power it off. Then the kill schedule alone, and
then the sweeper alone, must end it.
"""

from __future__ import annotations

import json
import time

import pytest

from system.projects import HUNG, state

pytestmark = pytest.mark.slow

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
    started = cloud.json("run", "hung", "--local")
    time.sleep(2)
    return started


def wait_gone(cloud, server, seconds):
    until = time.monotonic() + seconds
    while state(cloud, server) != "terminated":
        assert time.monotonic() < until, "the server still exists"
        time.sleep(1)


def test_kill_schedule_alone_ends_the_server(cloud):
    started = start(cloud, "killed", 5)
    assert state(cloud, started["server"]) == "running"
    # The local cloud's clock, not the server's: the layers on the server do not see this.
    cloud.control("clock", {"advance": 10 + 5 + 60 + 15})
    try:
        wait_gone(cloud, started["server"], 60)
    finally:
        cloud.control("clock", method="DELETE")
    row = cloud.json("retry", started["run"], "--local", code=0)
    assert row["attempt"] == 2
    cloud.json("cancel", started["run"], "--now", "--local")
    shown = cloud.client("s3").get_object(
        Bucket="dayfly-killed-000000000000-eu-west-1", Key=f"runs/hung/{started['run'].split('@')[1]}/1/closed.json"
    )
    assert json.loads(shown["Body"].read())["ended_by"].startswith("kill schedule")


def test_sweeper_alone_ends_the_server(cloud):
    started = start(cloud, "swept", 5)
    cloud.client("scheduler").delete_schedule(Name=f"kill-{started['server']}", GroupName="dayfly-swept")
    time.sleep(14)
    assert state(cloud, started["server"]) == "running"
    swept = cloud.client("lambda").invoke(FunctionName="dayfly-swept-sweeper", Payload=b"{}")
    assert started["server"] in json.loads(swept["Payload"].read())["ended"]
    wait_gone(cloud, started["server"], 60)
    cloud.client("lambda").invoke(FunctionName="dayfly-swept-sweeper", Payload=b"{}")
    document = cloud.json("show", started["run"], "--local")
    assert "sweeper: past its deadline" in json.dumps(document)
