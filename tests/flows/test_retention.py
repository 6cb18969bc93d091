"""`keep`: sweeps remove old runs, in parts, but never the run that `latest` names."""

from __future__ import annotations

from datetime import timedelta

from dayfly.core import names
from model.cloud import ROLE, START, TICK, cloud_with, version
from model.steps import sweep, tick


def test_keep_removes_old_runs_but_not_what_latest_names():
    cloud = cloud_with(version(overlap="allow", schedule=("41-43 22 24 11 *",), timezone="UTC"))
    for minute in range(3):
        when = TICK + timedelta(minutes=minute)
        cloud.now = when + timedelta(seconds=1)
        tick(cloud, tick=when, request=f"d{minute}")
        cloud.run_agent(list(cloud.servers)[minute])
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


def old_runs(cloud, count, files=0):
    begin = START - timedelta(days=200)
    for number in range(count):
        run = names.RunName("pi", (begin + timedelta(minutes=number)).replace(second=0))
        cloud.objects[names.done_key(run, 1, "failed")] = b""
        for file in range(files):
            cloud.objects[names.out_prefix(run, 1, ROLE, "i-1") + f"output/{file}"] = b"x"


def test_keep_removes_a_day_of_one_run_a_minute():
    cloud = cloud_with(version(schedule=()))
    old_runs(cloud, 1440)
    for _ in range(4):
        cloud.pass_time(300)
        sweep(cloud)
    assert not [key for key in cloud.objects if key.startswith("done/")]


def test_one_sweep_removes_at_most_what_its_time_allows():
    cloud = cloud_with(version(schedule=()))
    old_runs(cloud, 60, files=1000)
    before = len(cloud.objects)
    sweep(cloud)
    assert before - len(cloud.objects) <= 21_100
