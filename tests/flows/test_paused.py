"""Ticks of a paused job."""

from __future__ import annotations

from datetime import timedelta

from dayfly.core import names
from dayfly.core.event import LaunchAt, LaunchNow
from dayfly.core.reasons import Source
from dayfly.core.record_json import encode
from dayfly.core.records import Paused
from dayfly.core.versions import write_version
from dayfly.flows.launch import launch
from model.cloud import TICK, ModelCloud, acting_as, cloud_with, version
from model.steps import RUN, closed, retry, sweep, tick


def pause(cloud: ModelCloud) -> None:
    cloud.objects[names.paused_key("pi")] = encode(Paused(at=cloud.now, by="ben"))


def paused(**changes) -> ModelCloud:
    """Return a cloud on which the job was paused before the tick."""
    cloud = cloud_with(version(**changes))
    cloud.now = TICK - timedelta(seconds=10)
    pause(cloud)
    cloud.now = TICK + timedelta(seconds=1)
    return cloud


def test_tick_of_a_paused_job_is_skipped():
    cloud = paused()
    tick(cloud)
    claim = cloud.json(names.claim_key(RUN))
    assert (claim["decision"], claim["reason"]) == ("skipped", "paused")
    assert claim["why"] == "paused since 2026-11-24T22:40:50Z by ben"
    assert not cloud.servers
    assert names.done_key(RUN, 0, "skipped") in cloud.objects
    assert not [key for key in cloud.objects if key.startswith(("open/", "slots/"))]


def test_unreadable_pause_pauses():
    cloud = cloud_with()
    cloud.objects[names.paused_key("pi")] = b"{"
    tick(cloud)
    assert cloud.json(names.claim_key(RUN))["reason"] == "paused"


def test_late_tick_of_a_paused_job_is_skipped_and_not_missed():
    cloud = paused(start_within_s=60)
    cloud.pass_time(300)
    tick(cloud)
    assert cloud.json(names.claim_key(RUN))["reason"] == "paused"


def test_undelivered_tick_of_a_paused_job_is_skipped_by_a_sweep():
    cloud = paused(start_within_s=60)
    cloud.pass_time(400)
    assert sweep(cloud).missed == []
    assert cloud.json(names.claim_key(RUN))["reason"] == "paused"
    assert names.done_key(RUN, 0, "skipped") in cloud.objects


def test_undelivered_tick_before_the_pause_is_missed():
    cloud = cloud_with(version(start_within_s=60))
    cloud.pass_time(10)
    pause(cloud)
    cloud.pass_time(400)
    assert sweep(cloud).missed == [str(RUN)]


def test_sweep_that_delivers_a_tick_of_a_paused_job_skips_it():
    cloud = paused()
    cloud.pass_time(180)
    sweep(cloud)
    assert cloud.json(names.claim_key(RUN))["reason"] == "paused"


def test_pause_of_one_job_leaves_the_others():
    cloud = paused()
    one = version(name="zz")
    cloud.objects[one.key] = write_version(one)
    tick(cloud, job="zz")
    assert len(cloud.servers) == 1


def test_run_by_hand_of_a_paused_job_starts():
    cloud = paused()
    cloud.run(launch(LaunchNow(job="pi", request="a"), acting_as("launcher")))
    assert len(cloud.servers) == 1


def test_retry_of_a_paused_job_starts():
    cloud = cloud_with()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    pause(cloud)
    retry(cloud)
    assert len(cloud.servers) == 2


def test_live_run_of_a_paused_job_goes_on():
    cloud = cloud_with()
    tick(cloud)
    pause(cloud)
    sweep(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"


def test_skipped_tick_runs_later_also_while_paused():
    cloud = paused()
    tick(cloud)
    asked = LaunchAt(job="pi", tick=TICK, source=Source.BACKFILL, request="b")
    cloud.run(launch(asked, acting_as("launcher")))
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == str(RUN)


def test_paused_tick_is_skipped_while_another_run_holds_the_slot():
    cloud = cloud_with(version(schedule=("41-42 22 24 11 *",)))
    tick(cloud)
    pause(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1))
    later = names.RunName("pi", TICK + timedelta(minutes=1))
    assert cloud.json(names.claim_key(later))["reason"] == "paused"
    assert cloud.json("slots/pi.json")["holder"] == str(RUN)
