"""Cases that a review found: late looks, lost answers, servers slow to go, wishes delivered twice, one bad thing beside good ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchRequest
from dayfly.core.records import Cancel, FleetError, Opened, encode
from dayfly.core.versions import write_version
from dayfly.errors import Refused, Unclear
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.flows.walk import walk
from dayfly.project.deploy import plan
from model.cloud import ROLE, START, TICK, ModelCloud, Stepper, acting_as, cloud_with, version

RUN = names.RunName("pi", TICK)
DAY_S = 24 * 3600
NO = (FleetError(code="InsufficientInstanceCapacity", message=""),)


def due(**changes):
    return LaunchRequest(**{"job": "pi", "tick": TICK, "source": "schedule", "request": "d1", **changes})


def tick(cloud, **changes):
    return cloud.run(launch(due(**changes), acting_as("launcher")))


def sweep(cloud, keep_s=90 * DAY_S):
    return cloud.run(sweep_project(acting_as("sweeper"), keep_s))


def retry(cloud, run=RUN, request="r"):
    return cloud.run(launch(LaunchRequest(job="pi", retry=run, request=request), acting_as("launcher")))


def step_past(stepper, what):
    """Steps until the flow has had its answer to the call that is meant."""
    while stepper._call is None or not what(stepper._call):
        stepper.step()
        assert not stepper.over
    stepper.step()


def cancel(cloud):
    cloud.objects[names.attempt_key(RUN, 1, "cancel")] = encode(Cancel(at=cloud.now, by="ben"))


# --- servers that take their time to go ---------------------------------------------------------------------------------


def test_a_cancelled_server_is_ended_once_however_long_it_takes_to_go():
    cloud = cloud_with(leaves_after_s=40)
    tick(cloud)
    cancel(cloud)
    cloud.run(walk(RUN, acting_as("cli:ben")))
    sweep(cloud)
    assert len(cloud.ends) == 1
    assert names.HEARTBEAT in cloud.objects
    cloud.pass_time(41)
    sweep(cloud)
    assert cloud.json(names.attempt_key(RUN, 1, "closed"))["outcome"] == "cancelled"


# --- what EC2 does not say yet ------------------------------------------------------------------------------------------


def test_an_empty_replay_whose_server_is_not_listed_yet_is_elected_by_the_fleets_own_record():
    cloud = cloud_with(empty_replay=True)
    flow = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not isinstance(flow._call, calls.CreateFleet):
        flow.step()
    cloud.faults = {cloud.asked + 1: "after"}
    flow.step()
    cloud.faults, cloud.hidden = {}, set(cloud.servers)
    tick(cloud)
    [server] = cloud.servers
    assert cloud.go_of(server) is not None


def test_two_looks_that_are_hours_apart_do_not_make_a_living_server_gone():
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
    assert server in cloud.kills


def test_the_receipt_has_zone_and_image_as_ec2_shows_them_and_never_an_empty_text():
    class Terse(ModelCloud):
        def create_fleet(self, call):
            answer = super().create_fleet(call)
            self.hidden = set(self.servers)
            return replace(answer, servers=tuple(replace(one, image="", zone="") for one in answer.servers))

    there = cloud_with()
    cloud = Terse(now=there.now, objects=there.objects)
    tick(cloud)
    [server] = cloud.servers
    assert cloud.json(names.attempt_key(RUN, 1, "server"))["image"] is None
    cloud.hidden = set()
    cloud.work(server)
    sweep(cloud)
    assert cloud.json(names.attempt_key(RUN, 1, "receipt"))["server"]["image"] == "ami-0model"


def test_nothing_is_launched_after_its_deadline():
    cloud = cloud_with(version(time_limit_s=20, margin_s=60, market="on-demand"))
    dying = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not isinstance(dying._call, calls.CreateFleet):
        dying.step()
    cloud.pass_time(200)
    sweep(cloud)
    assert not cloud.servers


# --- late looks ---------------------------------------------------------------------------------------------------------


def test_a_late_look_at_a_finished_run_never_frees_the_slot_of_its_retry():
    cloud = cloud_with(version(market="on-demand"))
    tick(cloud)
    [first] = cloud.servers
    cloud.work(first, exit_code=3)
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


def test_a_late_sweeper_that_gives_the_slot_to_a_run_that_is_over_blocks_no_retry():
    before = START - timedelta(minutes=1)
    cloud = cloud_with(version(before, market="on-demand"), refuse={"on-demand": NO})
    old = names.RunName("pi", TICK - timedelta(minutes=1))
    tick(cloud, tick=old.tick, request="old")
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    step_past(launching, lambda call: isinstance(call, calls.PutNew) and call.key == names.open_key(RUN))
    late = Stepper(cloud, walk(RUN, acting_as("sweeper")))
    step_past(late, lambda call: isinstance(call, calls.List) and call.prefix == names.run_prefix(RUN))
    while not isinstance(launching._call, calls.Delete):
        launching.step()
    while not late.over and not isinstance(late._call, calls.PutMatch):
        late.step()
    while not launching.over:
        launching.step()
    if not late.over:
        cloud.faults = {cloud.asked + 1: "after"}
        late.step()
    cloud.faults, cloud.refuse = {}, {}
    retry(cloud, old)
    for _ in range(12):
        cloud.pass_time(300)
        sweep(cloud)
    assert names.attempt_key(old, 2, "intent") in cloud.objects


def test_the_kill_schedule_of_a_living_surplus_server_stays():
    cloud = cloud_with(version(market="on-demand"), token_forgets=True)
    dying = Stepper(cloud, launch(due(), acting_as("launcher")))
    step_past(dying, lambda call: isinstance(call, calls.Arm))
    [surplus] = cloud.servers
    cloud.hidden = {surplus}
    tick(cloud, request="again")
    [elected] = [server for server in cloud.servers if server != surplus]
    assert cloud.work(elected)
    cloud.hidden = set()
    cloud.run(walk(RUN, acting_as("cli")))
    assert cloud.servers[surplus].state == "running"
    assert surplus in cloud.kills


# --- delivered twice ----------------------------------------------------------------------------------------------------


def test_a_wish_by_hand_delivered_again_two_seconds_later_is_the_same_run():
    cloud = cloud_with(version(overlap="allow"))
    first = tick(cloud, tick=None, source="hand", request="one-wish")
    cloud.pass_time(2)
    again = tick(cloud, tick=None, source="hand", request="one-wish")
    assert again.facts.run == first.facts.run
    assert len(cloud.servers) == 1


def test_a_retry_delivered_again_after_its_attempt_is_over_makes_no_third_attempt():
    cloud = cloud_with()
    tick(cloud)
    [first] = cloud.servers
    cloud.work(first, exit_code=3)
    sweep(cloud)
    retry(cloud, request="one-retry")
    cloud.work(next(server for server in cloud.servers if server != first), exit_code=3)
    sweep(cloud)
    retry(cloud, request="one-retry")
    assert len(cloud.servers) == 2


def test_a_run_by_hand_in_the_second_of_a_tick_does_not_swallow_the_tick():
    cloud = cloud_with(version(overlap="allow"))
    cloud.now = TICK + timedelta(milliseconds=300)
    tick(cloud, tick=None, source="hand", request="by hand", env={"QUICK": "1"})
    cloud.pass_time(5)
    tick(cloud)
    assert cloud.json(names.claim_key(RUN))["source"] == "schedule"


# --- one bad thing beside good ones -------------------------------------------------------------------------------------


def test_an_open_run_of_a_job_no_longer_deployed_is_missed_and_stops_no_other():
    cloud = cloud_with()
    one = version(name="zz")
    cloud.objects[one.key] = write_version(one)
    tick(cloud, job="zz")
    [server] = cloud.servers
    cloud.work(server)
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="hand", at=cloud.now, request="r"))
    gone = plan.removed("pi", cloud.now, "ben")
    cloud.objects[gone.key] = write_version(gone)
    cloud.pass_time(10)
    sweep(cloud)
    assert names.done_key(names.RunName("zz", TICK), 1, "succeeded") in cloud.objects
    assert names.done_key(RUN, 0, "missed") in cloud.objects


def test_one_record_that_can_not_be_read_does_not_save_the_other_surplus_servers():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    surplus = [f"i-{number:017x}" for number in (1, 2, 3)]
    for name in surplus:
        cloud.servers[name] = replace(cloud.servers[server], id=name)
    sweeping = Stepper(cloud, sweep_project(acting_as("sweeper"), DAY_S))
    hit = False
    while not sweeping.over:
        call = sweeping._call
        if not hit and len(cloud.ends) == 1 and isinstance(call, calls.Get) and call.key.endswith("1/intent.json"):
            cloud.faults, hit = {cloud.asked + 1: "before"}, True
        sweeping.step()
    assert hit
    assert isinstance(sweeping.error, Unclear)
    assert len(cloud.ends) == 2
    sweep(cloud)
    assert sorted(cloud.ends) == surplus


def test_a_server_that_aws_refuses_to_end_does_not_keep_the_others_alive():
    class Protected(ModelCloud):
        def end_server(self, call):
            if call.server == min(self.servers):
                raise Refused("OperationNotPermitted: what no class of ours foresaw")
            super().end_server(call)

    there = cloud_with(version(overlap="allow"))
    cloud = Protected(now=there.now, objects=there.objects)
    tick(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="d2")
    cloud.kills.clear()
    cloud.now = TICK + timedelta(days=1)
    with pytest.raises(Unclear, match="OperationNotPermitted"):
        sweep(cloud)
    assert cloud.ends == [max(cloud.servers)]


# --- what time makes of things ------------------------------------------------------------------------------------------


def test_a_tick_that_nobody_delivered_is_claimed_as_missed_by_the_sweep():
    cloud = cloud_with(version(schedule=("41 22 * * *",), timezone="UTC", start_within_s=600))
    sweep(cloud)
    assert names.claim_key(RUN) not in cloud.objects
    cloud.pass_time(1200)
    sweep(cloud)
    claim = cloud.json(names.claim_key(RUN))
    assert (claim["decision"], claim["reason"]) == ("missed", "not-delivered")
    assert names.done_key(RUN, 0, "missed") in cloud.objects
    assert cloud.run(sweep_project(acting_as("sweeper"), DAY_S)).missed == []


def test_after_a_long_silence_every_tick_is_claimed_in_a_few_sweeps():
    cloud = cloud_with(version(start_within_s=60))
    cloud.now = TICK + timedelta(hours=20)
    missed: list[str] = []
    for _ in range(4):
        missed += sweep(cloud).missed
        cloud.pass_time(1)
    assert len(missed) == len(set(missed))
    # 22:41 to 18:38, one a minute; at 18:41 later ones are still within start_within and a delivery's grace.
    assert len(missed) == 20 * 60 - 2


def test_a_delivered_tick_is_not_claimed_as_missed():
    cloud = cloud_with(version(schedule=("41 22 * * *",), timezone="UTC", start_within_s=600))
    tick(cloud)
    cloud.work(next(iter(cloud.servers)))
    cloud.pass_time(1200)
    assert sweep(cloud).missed == []
    assert cloud.json(names.claim_key(RUN))["decision"] == "run"


def old_runs(cloud, count, files=0):
    begin = START - timedelta(days=200)
    for number in range(count):
        run = names.RunName("pi", (begin + timedelta(minutes=number)).replace(second=0))
        cloud.objects[names.done_key(run, 1, "failed")] = b""
        for file in range(files):
            cloud.objects[names.out_prefix(run, 1, ROLE, "i-1") + f"output/{file}"] = b"x"


def test_keep_is_kept_for_a_job_that_runs_every_minute():
    cloud = cloud_with(version(schedule=()))
    old_runs(cloud, 1440)
    for _ in range(4):
        cloud.pass_time(300)
        sweep(cloud)
    assert not [key for key in cloud.objects if key.startswith("done/")]


def test_one_sweep_removes_no_more_than_a_function_can_in_its_time():
    cloud = cloud_with(version(schedule=()))
    old_runs(cloud, 60, files=1000)
    before = len(cloud.objects)
    sweep(cloud)
    assert before - len(cloud.objects) <= 21_100
