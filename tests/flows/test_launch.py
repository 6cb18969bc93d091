"""From a tick to its server: which records are written, and what the server gets. A second delivery changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dayfly.core import names
from dayfly.core.record_json import encode
from dayfly.core.records import Opened
from dayfly.core.states import State
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.launch import Rejected, launch
from dayfly.flows.walk import walk
from model.cloud import BUCKET, ROLE, TICK, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import RUN, cancel, closed, due, step_past, sweep, tick


def test_tick_becomes_one_server_one_result_and_no_leftovers():
    cloud = cloud_with()
    launched = tick(cloud)
    assert launched.step.state is State.RUNNING
    [server] = cloud.servers
    assert cloud.kill_schedules[server] == TICK + timedelta(seconds=1 + 60 + 900 + 60)
    assert cloud.run_agent(server)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == str(RUN)
    assert "slots/pi.json" not in cloud.objects
    assert names.done_key(RUN, 1, "succeeded") in cloud.objects
    assert not cloud.kill_schedules
    assert not [key for key in cloud.objects if key.startswith("open/")]
    receipt = cloud.json(names.attempt_key(RUN, 1, "receipt"))
    assert receipt["server"]["id"] == server
    assert receipt["code"]["commit"] == "9f2c1ab"
    assert receipt["times"]["tick"] == "2026-11-24T22:41:00.000Z"


def test_launch_request_tags_the_server_with_its_deadline():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers.values()
    assert server.tags[names.TAG_DEADLINE] == "2026-11-24T22:57:01Z"
    assert server.tags[names.TAG_LIFETIME] == "960"
    assert server.tags[names.TAG_ROLE] == ROLE
    assert server.tags[names.TAG_BUCKET] == BUCKET
    assert server.tags["CostCenter"] == "lake"


def test_go_names_the_last_good_results_that_the_job_reads():
    cloud = cloud_with(
        version(
            schedule=("* * * * *",), reads=("job:pi", "job:other", "s3://acme-raw/"), secrets={"DB": "ssm:/lake/db"}
        )
    )
    tick(cloud)
    [first] = cloud.servers
    assert (cloud.go_of(first)["inputs"], cloud.go_of(first)["secrets"]) == ([], {"DB": "ssm:/lake/db"})
    cloud.run_agent(first)
    sweep(cloud)
    cloud.now = TICK + timedelta(minutes=1)
    tick(cloud, tick=cloud.now)
    [_, second] = cloud.servers
    ended = f"out/pi/2026-11-24T22:41:00Z/1/{ROLE}:{first}/ended.json"
    assert cloud.go_of(second)["inputs"] == [{"job": "pi", "run": str(RUN), "ended": ended}]
    assert ended in cloud.objects


def test_unreadable_latest_sends_no_job_that_would_think_it_is_the_first():
    cloud = cloud_with(version(reads=("job:other",)))
    cloud.objects["latest/other.json"] = b"{"
    with pytest.raises(Unclear, match="the last result of other is unknown"):
        tick(cloud)
    [server] = cloud.servers
    assert cloud.go_of(server) is None


def test_go_names_the_role_of_the_job_or_none():
    cloud = cloud_with()
    tick(cloud)
    assert cloud.go_of(*cloud.servers)["job_role"] is None
    one = version()
    arn = "arn:aws:iam::123456789012:role/dayfly-pi-JobRole"
    cloud = cloud_with(replace(one, launch=replace(one.launch, job_role=arn)))
    tick(cloud)
    assert cloud.go_of(*cloud.servers)["job_role"] == arn


def test_go_has_the_job_its_prefix_and_a_link_to_the_bundle():
    cloud = cloud_with(version(schedule=("41 0 25 11 *",), timezone="Europe/Tallinn"))
    tick(cloud)
    [server] = cloud.servers
    go = cloud.go_of(server)
    assert go["command"] == "pie 10 out/pi.txt"
    assert go["prefix"] == f"out/pi/2026-11-24T22:41:00Z/1/{ROLE}:{server}/"
    assert go["day"] == "2026-11-25"  # Tallinn is two hours ahead of UTC
    assert go["bundle"]["url"].startswith("https://model/bundles/abc.zip")
    assert go["agent"]["url"].startswith("https://model/agents/def.zip")
    assert (go["agent"]["sha256"], go["agent"]["size"]) == ("def", 5)


def test_tick_runs_the_version_in_force_at_the_tick():
    old, new = version(), version(since=TICK + timedelta(seconds=1), command="new")
    cloud = cloud_with(old, new)
    tick(cloud)
    [server] = cloud.servers
    assert cloud.go_of(server)["command"] == old.job.command


def test_twenty_deliveries_of_a_tick_launch_one_server():
    cloud = cloud_with()
    tick(cloud)
    before = dict(cloud.objects)
    for number in range(19):
        tick(cloud, request=f"delivery-{number + 2}")
    assert len(cloud.servers) == 1
    assert cloud.objects == before


def test_delivery_after_the_run_is_over_changes_nothing():
    cloud = cloud_with()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    before = dict(cloud.objects)
    tick(cloud, request="late")
    assert cloud.objects == before


@pytest.mark.parametrize("when", [TICK + timedelta(seconds=30), TICK + timedelta(hours=1)])
def test_time_that_is_not_a_tick_of_the_schedule_writes_nothing(when):
    cloud = cloud_with()
    before = dict(cloud.objects)
    launched = tick(cloud, tick=when)
    assert isinstance(launched, Rejected)
    assert cloud.objects == before


def test_sweep_creates_a_missing_kill_schedule_again():
    cloud = cloud_with()
    tick(cloud)
    before = dict(cloud.kill_schedules)
    cloud.kill_schedules.clear()
    cloud.pass_time(60)
    sweep(cloud)
    assert cloud.kill_schedules == before


def test_surplus_server_keeps_its_kill_schedule():
    cloud = cloud_with(version(market="on-demand"), forgets_tokens=True)
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    step_past(launching, lambda call: isinstance(call, calls.Arm))
    [surplus] = cloud.servers
    cloud.hidden = {surplus}
    tick(cloud, request="again")
    [elected] = [server for server in cloud.servers if server != surplus]
    assert cloud.run_agent(elected)
    cloud.hidden = set()
    cloud.run(walk(RUN, acting_as("cli")))
    assert cloud.servers[surplus].state == "running"
    assert surplus in cloud.kill_schedules


def test_launcher_ends_no_server_of_a_cancelled_run():
    cloud = cloud_with()
    tick(cloud)
    cancel(cloud)
    tick(cloud, request="again")
    assert cloud.terminate_calls == []


def test_cli_launches_nothing():
    cloud = cloud_with()
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="schedule", at=cloud.now, request="x"))
    walked = cloud.run(walk(RUN, acting_as("cli:ben")))
    assert walked.step.state is State.NEEDS_SLOT
    assert not cloud.servers


def test_schedules_tick_before_the_first_version_is_rejected():
    cloud = cloud_with()
    before = dict(cloud.objects)
    answer = tick(cloud, tick=datetime(1970, 1, 1, tzinfo=UTC))
    assert answer == Rejected("no version of pi was deployed by then")
    assert cloud.objects == before


def test_tick_by_hand_long_before_the_first_version_runs_and_closes():
    cloud = cloud_with()
    run = names.RunName("pi", datetime(1970, 1, 1, tzinfo=UTC))
    tick(cloud, tick=run.tick, source="hand")
    [server] = cloud.servers
    cloud.run_agent(server)
    sweep(cloud, keep_s=10**10)
    assert closed(cloud, run)["outcome"] == "succeeded"
    assert names.open_key(run) not in cloud.objects
