"""The sweeper on the model cloud: runs carried on, servers ended or left alone, old runs removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.records import Opened, encode
from dayfly.errors import Unclear
from model.cloud import START, TICK, cloud_with, version
from model.steps import RUN, sweep, tick


def test_a_run_whose_launcher_died_at_once_is_carried_on_by_the_sweep():
    cloud = cloud_with()
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="schedule", at=cloud.now, request="x"))
    sweep(cloud)
    assert len(cloud.servers) == 1
    assert cloud.go_of(next(iter(cloud.servers))) is not None


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({names.TAG_DEADLINE: "never"}, "bad deadline"),
        ({names.TAG_RUN: "?"}, "bad run"),
        ({names.TAG_ATTEMPT: "x"}, "bad attempt"),
    ],
)
def test_a_server_of_this_project_with_a_bad_tag_is_ended(tags, why):
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    cloud.servers[name] = replace(cloud.servers[name], tags={**cloud.servers[name].tags, **tags})
    sweep(cloud)
    assert cloud.ends == [name], why


def test_a_stopped_server_is_ended_because_its_disk_costs():
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    cloud.servers[name] = replace(cloud.servers[name], state="stopped")
    sweep(cloud)
    assert cloud.ends == [name]


def test_a_server_of_another_project_is_never_touched():
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    foreign = replace(
        cloud.servers[name], id="i-foreign", tags={**cloud.servers[name].tags, names.TAG_PROJECT: "other"}
    )
    cloud.servers["i-foreign"] = foreign
    cloud.now = START + timedelta(days=2)
    sweep(cloud)
    assert cloud.ends == [name]


def test_a_server_without_an_intent_goes_after_15_minutes():
    cloud = cloud_with(version(time_limit_s=4 * 3600))
    tick(cloud)
    [name] = cloud.servers
    for key in [key for key in cloud.objects if key.startswith(("runs/", "open/"))]:
        del cloud.objects[key]
    cloud.pass_time(14 * 60)
    sweep(cloud)
    assert cloud.ends == []
    cloud.pass_time(2 * 60)
    sweep(cloud)
    assert cloud.ends == [name]


def test_one_run_that_can_not_be_walked_stops_no_other_and_leaves_no_heartbeat():
    cloud = cloud_with(version(overlap="allow"))
    bad = names.RunName("broken", TICK)
    cloud.objects[names.open_key(bad)] = b"{}"
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="schedule", at=cloud.now, request="x"))
    with pytest.raises(Unclear, match="broken"):
        sweep(cloud)
    assert len(cloud.servers) == 1
    assert "heartbeat.json" not in cloud.objects


def test_keep_removes_old_runs_but_never_what_latest_points_to():
    cloud = cloud_with(version(overlap="allow", schedule=("41-43 22 24 11 *",), timezone="UTC"))
    for minute in range(3):
        when = TICK + timedelta(minutes=minute)
        cloud.now = when + timedelta(seconds=1)
        tick(cloud, tick=when, request=f"d{minute}")
        cloud.work(list(cloud.servers)[minute])
        sweep(cloud)
    cloud.now = TICK + timedelta(days=91)
    sweep(cloud)
    left = {key.split("/")[2] for key in cloud.objects if key.startswith("out/")}
    assert left == {"2026-11-24T22:43:00Z"}
    assert [names.done_name(key).run.tick for key in cloud.objects if key.startswith("done/")] == [
        TICK + timedelta(minutes=2)
    ]
    assert not [
        key for key in cloud.objects if key.startswith("go/") and "000000000000" in key and key.endswith("0/go.json")
    ]
