"""Objects that dayfly never writes, and unreadable ones of a whole job or project: each stops nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core import names
from model.bad_objects import assert_healthy, assert_over, noted, two_jobs
from model.cloud import START, TICK, cloud_with, version
from model.steps import DAY, RUN, sweep, tick


def test_tick_of_an_unreadable_version_is_missed_or_rejected():
    cloud = two_jobs()
    cloud.objects[next(key for key in cloud.objects if key.startswith("jobs/pi/"))] = b"{}"
    tick(cloud)
    assert not cloud.servers
    assert names.open_key(RUN) not in cloud.objects
    assert_healthy(cloud)


def test_stray_keys_hide_no_version():
    cloud = two_jobs()
    bound = names.version_bound("pi", TICK)
    cloud.objects[f"{bound}~stray"] = b""
    cloud.objects["jobs/pi/0000000000"] = b"{"
    tick(cloud)
    assert len(cloud.servers) == 1


@pytest.mark.parametrize("stray", ["jobs/x", "jobs/pi/x.json", "jobs/pi/", "jobs//", "jobs/pi/0~1~2.json"])
def test_stray_object_in_jobs_stops_no_missed_ticks(stray):
    cloud = two_jobs(start_within_s=600)
    cloud.objects[stray] = b"{"
    cloud.pass_time(1200)
    sweep(cloud)
    assert cloud.json(names.claim_key(RUN))["reason"] == "not-delivered"
    assert noted(cloud) == [stray]


def test_schedule_that_cannot_be_used_stops_no_other_job():
    zone = version(name="aa", timezone="No/Where")
    times = version(name="bb", schedule=("whenever",))
    cloud = cloud_with(version(start_within_s=600), zone, times)
    cloud.pass_time(1200)
    sweep(cloud)
    assert cloud.json(names.claim_key(RUN))["reason"] == "not-delivered"
    assert len(noted(cloud)) == 2


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"at": "9999-01-01T00:00:00Z"}'])
def test_unreadable_heartbeat_is_an_unknown_last_sweep(body):
    cloud = two_jobs(start_within_s=600)
    run = names.RunName("pi", START - timedelta(days=200))
    cloud.objects[names.done_key(run, 1, "failed")] = b""
    cloud.objects[names.HEARTBEAT] = body
    cloud.pass_time(1200)
    sweep(cloud)
    assert cloud.json(names.claim_key(RUN))["reason"] == "not-delivered"
    assert names.done_key(run, 1, "failed") not in cloud.objects
    assert cloud.json(names.HEARTBEAT)["kept"] == "2026-11-24"


@pytest.mark.parametrize("marker", ["x", "2020-01-01T00:00:00Z~pi~x~failed", "2020-01-01T00:00:00Z~pi~1~a~b", "~~~"])
def test_bad_marker_stops_no_removal(marker):
    cloud = two_jobs()
    run = names.RunName("pi", START - timedelta(days=200))
    cloud.objects[names.done_key(run, 1, "failed")] = b""
    cloud.objects[f"done/2020-01-01/{marker}"] = b""
    sweep(cloud)
    assert names.done_key(run, 1, "failed") not in cloud.objects
    assert noted(cloud) == [f"done/2020-01-01/{marker}"]


def test_unreadable_latest_keeps_the_old_runs_of_its_job_only():
    cloud = two_jobs()
    old = [names.RunName(job, START - timedelta(days=200)) for job in ("pi", "zz")]
    for run in old:
        cloud.objects[names.done_key(run, 1, "succeeded")] = b""
    cloud.objects[names.latest_key("pi")] = b"{"
    sweep(cloud)
    assert [names.done_key(run, 1, "succeeded") in cloud.objects for run in old] == [True, False]


def test_unreadable_records_are_removed_with_their_run():
    cloud = two_jobs()
    tick(cloud)
    cloud.terminate(next(iter(cloud.servers)))
    sweep(cloud)
    for key in [key for key in cloud.objects if key.startswith(names.run_prefix(RUN))]:
        cloud.objects[key] = b"{"
    cloud.pass_time(100 * DAY)
    sweep(cloud)
    assert [key for key in cloud.objects if str(names.utc_text(TICK)) in key] == []


@pytest.mark.parametrize("name", ["x", "pi@", "pi@2026-11-24T22:41:00Z/x", "pi@0001-01-01T00:00:00Z", "@"])
def test_name_under_open_that_is_no_run_is_reported_once_a_sweep(name):
    cloud = two_jobs()
    cloud.objects[f"open/{name}"] = b"{}"
    sweep(cloud)
    assert noted(cloud) == [f"open/{name}"]
    assert_healthy(cloud)


def test_bad_markers_of_a_run_keep_it_from_no_end():
    cloud = two_jobs()
    cloud.objects[f"{names.done_prefix(RUN)}1~a~b"] = b""
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    assert names.done_key(RUN, 1, "succeeded") in cloud.objects
    assert_over(cloud)
