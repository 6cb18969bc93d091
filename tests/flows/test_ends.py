"""How runs end: outcome, reason, what ended the server, and what `latest` names."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.flows.walk import walk
from model.cloud import TICK, TWO_MINUTES, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import RUN, closed, sweep, tick


def test_exit_3_fails_and_latest_does_not_move():
    cloud = cloud_with()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    assert (closed(cloud)["outcome"], closed(cloud)["reason"]) == ("failed", "exit 3")
    assert "latest/pi.json" not in cloud.objects


def test_success_with_a_missing_output_is_failed():
    cloud = cloud_with()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), missing=("out/pi.txt",))
    sweep(cloud)
    assert (closed(cloud)["outcome"], closed(cloud)["reason"]) == ("failed", "output-missing")


@pytest.mark.parametrize(
    ("code", "reason"),
    [("Server.SpotInstanceTermination", "interrupted"), ("Client.UserInitiatedShutdown", "lost"), ("", "unknown")],
)
def test_server_gone_without_report_has_the_reason_of_ec2(code, reason):
    cloud = cloud_with()
    tick(cloud)
    cloud.terminate(next(iter(cloud.servers)), code)
    sweep(cloud)
    assert (closed(cloud)["outcome"], closed(cloud)["reason"]) == ("failed", reason)


def test_kill_schedule_ends_a_hung_server():
    cloud = cloud_with()
    tick(cloud)
    cloud.pass_time(960 + 61)
    sweep(cloud)
    assert cloud.terminate_calls == []
    assert closed(cloud)["ended_by"].startswith("kill schedule")


def test_sweeper_ends_a_hung_server_without_kill_schedule():
    cloud = cloud_with()
    tick(cloud)
    cloud.kill_schedules.clear()
    cloud.now += timedelta(seconds=961)
    sweep(cloud)
    assert cloud.terminate_calls == list(cloud.servers)
    sweep(cloud)
    assert closed(cloud)["ended_by"] == "sweeper: past its deadline"


def test_console_names_the_switch_when_the_agent_died():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    cloud.consoles[server] = ("dayfly switch: powering off: the agent is gone",)
    cloud.terminate(server)
    sweep(cloud)
    assert closed(cloud)["ended_by"] == "switch: the agent is gone"
    assert closed(cloud)["reason"] == "lost"


def test_absent_server_is_gone_after_two_sightings():
    cloud = cloud_with(version(time_limit_s=4 * 3600))
    tick(cloud)
    [server] = cloud.servers
    cloud.hidden = {server}
    cloud.pass_time(1800)
    sweep(cloud)
    assert names.attempt_key(RUN, 1, "absent") not in cloud.objects
    cloud.pass_time(1801)
    sweep(cloud)
    assert names.attempt_key(RUN, 1, "closed") not in cloud.objects
    cloud.pass_time(300)
    sweep(cloud)
    assert closed(cloud)["reason"] == "unknown"


def test_sightings_hours_apart_do_not_make_a_server_gone():
    cloud = cloud_with(version(time_limit_s=12 * 3600))
    tick(cloud)
    [server] = cloud.servers
    cloud.pass_time(2 * 3600)
    cloud.hidden = {server}
    sweep(cloud)
    cloud.hidden = set()
    for _ in range(60):
        cloud.pass_time(300)
        sweep(cloud)
    cloud.hidden = {server}
    cloud.pass_time(300)
    sweep(cloud)
    assert names.attempt_key(RUN, 1, "closed") not in cloud.objects
    assert server in cloud.kill_schedules


def test_latest_never_moves_back_to_an_older_tick():
    cloud = cloud_with(version(overlap="allow", schedule=TWO_MINUTES))
    tick(cloud)
    cloud.pass_time(60)
    newer = names.RunName("pi", TICK + timedelta(minutes=1))
    tick(cloud, tick=newer.tick, request="next")
    first, second = cloud.servers
    cloud.run_agent(second)
    sweep(cloud)
    cloud.run_agent(first)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == str(newer)


def test_end_that_is_stored_while_its_run_is_read_is_not_lost():
    """EC2 is asked before the bucket, so a server seen as gone has stored its end before the bucket is read."""
    moment, over = 0, False
    while not over:
        moment += 1
        cloud = cloud_with()
        tick(cloud)
        walking = Stepper(cloud, walk(RUN, acting_as("cli:ben")))
        for _ in range(moment):
            walking.step()
        over = walking.over
        cloud.run_agent(next(iter(cloud.servers)))
        while not walking.over:
            walking.step()
        sweep(cloud)
        assert closed(cloud)["outcome"] == "succeeded", f"lost after {moment} calls"
