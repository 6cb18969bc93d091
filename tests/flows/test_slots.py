"""Jobs whose runs do not overlap: the slot is taken, handed on and freed."""

from __future__ import annotations

from datetime import timedelta

from dayfly.core import names
from dayfly.core.event import Retry
from dayfly.core.versions import write_version
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.flows.walk import walk
from dayfly.project.deploy import plan
from model.cloud import START, TICK, TWO_MINUTES, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import NO_CAPACITY, RUN, closed, due, retry, step_past, sweep, tick


def test_next_tick_closes_the_last_run_and_runs():
    cloud = cloud_with(version(schedule=TWO_MINUTES))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="next")
    assert len(cloud.servers) == 2
    assert closed(cloud)["outcome"] == "succeeded"


def test_tick_during_the_last_run_is_skipped():
    cloud = cloud_with(version(schedule=TWO_MINUTES))
    tick(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="next")
    run = names.RunName("pi", TICK + timedelta(minutes=1))
    assert len(cloud.servers) == 1
    assert cloud.json(names.claim_key(run))["reason"] == "overlap"
    assert names.done_key(run, 0, "skipped") in cloud.objects
    assert cloud.json("slots/pi.json")["holder"] == str(RUN)


def test_overlap_allow_takes_no_slot_and_runs_both():
    cloud = cloud_with(version(overlap="allow", schedule=TWO_MINUTES))
    tick(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="next")
    assert len(cloud.servers) == 2
    assert "slots/pi.json" not in cloud.objects


def test_stale_read_of_a_finished_run_frees_no_slot():
    cloud = cloud_with(version(market="on-demand", schedule=TWO_MINUTES))
    tick(cloud)
    [first] = cloud.servers
    cloud.run_agent(first, exit_code=3)
    sweep(cloud)
    late = Stepper(cloud, walk(RUN, acting_as("cli")))
    step_past(late, lambda call: isinstance(call, calls.Get) and call.key == names.open_key(RUN))
    retry(cloud)
    assert cloud.json("slots/pi.json")["holder"] == str(RUN)
    while not late.over:
        late.step()
    cloud.now = TICK + timedelta(seconds=61)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="next")
    alive = {server.run for server in cloud.servers.values() if not server.gone and cloud.go_of(server.id)}
    assert len(alive) == 1


def test_slot_given_to_a_finished_run_blocks_no_retry():
    before = START - timedelta(minutes=1)
    cloud = cloud_with(
        version(before, market="on-demand", schedule=("40-41 22 24 11 *",)), refuse={"on-demand": NO_CAPACITY}
    )
    old = names.RunName("pi", TICK - timedelta(minutes=1))
    tick(cloud, tick=old.tick, request="old")
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    step_past(launching, lambda call: isinstance(call, calls.PutNew) and call.key == names.open_key(RUN))
    late = Stepper(cloud, walk(RUN, acting_as("sweeper")))
    step_past(late, lambda call: isinstance(call, calls.List) and call.prefix == names.run_prefix(RUN))
    while not isinstance(launching.call, calls.Delete):
        launching.step()
    while not late.over and not isinstance(late.call, calls.PutMatch):
        late.step()
    while not launching.over:
        launching.step()
    if not late.over:
        cloud.faults = {cloud.calls_answered + 1: "after"}
        late.step()
    cloud.faults, cloud.refuse = {}, {}
    retry(cloud, old)
    for _ in range(12):
        cloud.pass_time(300)
        sweep(cloud)
    assert names.attempt_key(old, 2, "intent") in cloud.objects


def test_retry_of_a_removed_job_waits_for_the_slot():
    cloud = cloud_with(version(schedule=TWO_MINUTES, time_limit_s=3600))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1))
    gone = plan.removed("pi", cloud.now, "ben")
    cloud.objects[gone.key] = write_version(gone)
    cloud.pass_time(10)
    cloud.run(launch(Retry(run=RUN, request="r1", same_code=True), acting_as("launcher")))
    assert len(cloud.servers) == 2
    cloud.run_agent(list(cloud.servers)[1])
    sweep(cloud)
    sweep(cloud)
    assert len(cloud.servers) == 3
    assert cloud.json("slots/pi.json")["holder"] == str(RUN)
