"""`keep`: sweeps remove old runs, in parts, but never the run that `latest` names."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.event import Retry
from dayfly.core.record_json import encode
from dayfly.core.records import Opened
from dayfly.errors import NotFoundError
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.flows.walk import walk
from model.cloud import ROLE, START, TICK, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import DAY, RUN, retry, step_past, sweep, tick


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


def old_failed_run(source="schedule"):
    cloud = cloud_with(version(schedule=("41 22 24 11 *",), timezone="UTC"))
    tick(cloud, source=source)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    cloud.now = TICK + timedelta(days=91)
    return cloud


def at_each_call(cloud, flow):
    """Run a flow, and yield before each of its calls."""
    stepper = Stepper(cloud, flow)
    while not stepper.over:
        stepper.step()
        yield
    assert stepper.error is None


def test_a_retry_at_any_moment_of_a_removal_comes_before_it_or_is_refused():
    calls_made = sum(1 for _ in at_each_call(old_failed_run(), sweep_project(acting_as("sweeper"), 90 * DAY)))
    refused = 0
    for moment in range(calls_made):
        cloud = old_failed_run()
        for number, _ in enumerate(at_each_call(cloud, sweep_project(acting_as("sweeper"), 90 * DAY))):
            if number == moment:
                try:
                    retry(cloud)
                except NotFoundError:
                    refused += 1
        kept = [key for key in cloud.objects if key.startswith("runs/")]
        retried = names.attempt_key(RUN, 2, "intent") in cloud.objects
        assert retried == (names.attempt_key(RUN, 1, "intent") in cloud.objects) == bool(kept)
        assert len(cloud.servers) == 1 + retried
        sweep(cloud)
        assert (names.open_key(RUN) in cloud.objects) == retried
    assert 0 < refused < calls_made


def test_a_removal_that_was_cut_off_is_continued():
    calls_made = sum(1 for _ in at_each_call(old_failed_run(), sweep_project(acting_as("sweeper"), 90 * DAY)))
    for moment in range(calls_made):
        cloud = old_failed_run()
        for number, _ in enumerate(at_each_call(cloud, sweep_project(acting_as("sweeper"), 90 * DAY))):
            if number == moment:
                break
        sweep(cloud)
        cloud.pass_time(901)
        sweep(cloud)
        assert not [key for key in cloud.objects if key.startswith(("runs/", "open/", "done/", "out/", "go/"))]


def test_retry_after_a_whole_removal_is_refused_and_leaves_nothing():
    cloud = old_failed_run()
    late = Stepper(cloud, launch(Retry(run=RUN, request="late"), acting_as("launcher")))
    while late.call is None or not (isinstance(late.call, calls.PutNew) and late.call.key == names.open_key(RUN)):
        late.step()
    sweep(cloud)
    assert not [key for key in cloud.objects if key.startswith("runs/")]
    while not late.over:
        late.step()
    assert isinstance(late.error, NotFoundError)
    sweep(cloud)
    assert not [key for key in cloud.objects if key.startswith(("runs/", "open/", "done/", "slots/"))]
    assert len(cloud.servers) == 1


def removing(cloud):
    """Return a sweep that is about to mark RUN as being removed."""
    sweeping = Stepper(cloud, sweep_project(acting_as("sweeper"), 90 * DAY))
    while sweeping.call is None or not (
        isinstance(sweeping.call, calls.PutNew) and sweeping.call.key == names.open_key(RUN)
    ):
        sweeping.step()
    return sweeping


def test_run_that_became_latest_during_a_sweep_is_kept():
    cloud = old_failed_run()
    sweeping = removing(cloud)
    retry(cloud)
    cloud.run_agent(list(cloud.servers)[1])
    cloud.run(walk(RUN, acting_as("cli:ben")))
    assert cloud.json("latest/pi.json")["run"] == str(RUN)
    while not sweeping.over:
        sweeping.step()
    assert sweeping.error is None
    assert cloud.json(names.claim_key(RUN))["decision"] == "run"
    assert names.done_key(RUN, 2, "succeeded") in cloud.objects
    sweep(cloud)
    assert names.open_key(RUN) not in cloud.objects


def test_a_slow_removal_does_not_touch_the_same_run_started_again():
    cloud = old_failed_run()
    slow = removing(cloud)
    step_past(slow, lambda call: isinstance(call, calls.List) and call.prefix.startswith("out/"))
    cloud.pass_time(5)
    sweep(cloud)
    tick(cloud, source="hand", request="backfill")
    while not slow.over:
        slow.step()
    again = [server for server in cloud.servers.values() if not server.gone]
    assert all(names.attempt_key(RUN, 1, "intent") in cloud.objects for _ in again)
    assert not again or names.open_key(RUN) in cloud.objects


@pytest.mark.parametrize("source", ["schedule", "hand"])
def test_walk_that_reads_a_run_while_it_is_removed_starts_nothing(source):
    moment, over = 0, False
    while not over:
        moment += 1
        cloud = old_failed_run(source)
        opened = Opened(run=str(RUN), source=source, at=TICK, request="d1")
        cloud.objects[names.open_key(RUN)] = encode(opened)  # what the sweep removes first
        walking = Stepper(cloud, walk(RUN, acting_as("sweeper")))
        for _ in range(moment):
            walking.step()
        over = walking.over
        sweep(cloud)
        while not walking.over:
            walking.step()
        assert walking.error is None
        assert len(cloud.servers) == 1, f"started again after {moment} calls"
        assert not [key for key in cloud.objects if key.startswith(("open/", "slots/")) or key.endswith("/intent.json")]
