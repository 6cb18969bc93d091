"""A run from tick to end, on the model cloud: every step, what it leaves, and what a second delivery changes (nothing)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.records import FleetError
from dayfly.core.step import State
from dayfly.errors import Unclear
from dayfly.flows.launch import Rejected
from model.cloud import BUCKET, ROLE, TICK, cloud_with, version
from model.steps import RUN, closed, sweep, tick

NO_CAPACITY = (FleetError(code="InsufficientInstanceCapacity", message="none", pool="c8g.large eu-west-1a"),)


def test_a_tick_becomes_one_server_a_result_and_nothing_left_over():
    cloud = cloud_with()
    launched = tick(cloud)
    assert launched.step.state is State.RUNNING
    [server] = cloud.servers
    assert cloud.kills[server] == TICK + timedelta(seconds=1 + 60 + 900 + 60)
    assert cloud.work(server)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == str(RUN)
    assert cloud.json("slots/pi.json")["holder"] is None
    assert names.done_key(RUN, 1, "succeeded") in cloud.objects
    assert not cloud.kills
    assert not [key for key in cloud.objects if key.startswith("open/")]
    receipt = cloud.json(names.attempt_key(RUN, 1, "receipt"))
    assert receipt["server"]["id"] == server
    assert receipt["code"]["commit"] == "9f2c1ab"
    assert receipt["times"]["tick"] == "2026-11-24T22:41:00.000Z"


def test_the_server_carries_its_deadline_and_lifetime_from_the_launch_itself():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers.values()
    assert server.tags[names.TAG_DEADLINE] == "2026-11-24T22:57:01Z"
    assert server.tags[names.TAG_LIFETIME] == "960"
    assert server.tags[names.TAG_ROLE] == ROLE
    assert server.tags[names.TAG_BUCKET] == BUCKET
    assert server.tags["CostCenter"] == "lake"


def test_twenty_deliveries_of_a_tick_make_one_server_and_change_nothing_after_the_first():
    cloud = cloud_with()
    tick(cloud)
    before = dict(cloud.objects)
    for number in range(19):
        tick(cloud, request=f"delivery-{number + 2}")
    assert len(cloud.servers) == 1
    assert cloud.objects == before


def test_a_delivery_after_the_run_is_over_opens_nothing():
    cloud = cloud_with()
    tick(cloud)
    cloud.work(next(iter(cloud.servers)))
    sweep(cloud)
    before = dict(cloud.objects)
    tick(cloud, request="late")
    assert cloud.objects == before


def test_go_names_the_job_its_prefix_and_a_link_to_the_bundle():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    go = cloud.go_of(server)
    assert go["command"] == "pie 10 out/pi.txt"
    assert go["prefix"] == f"out/pi/2026-11-24T22:41:00Z/1/{ROLE}:{server}/"
    assert go["day"] == "2026-11-25"  # Tallinn is two hours ahead of UTC
    assert go["bundle"]["url"].startswith("https://model/bundles/abc.zip")


def test_spot_first_asks_on_demand_only_after_a_definite_refusal():
    cloud = cloud_with(refuse={"spot": NO_CAPACITY})
    tick(cloud)
    [server] = cloud.servers.values()
    assert server.market == "on-demand"
    assert names.attempt_key(RUN, 1, "spot-refused") in cloud.objects


def test_an_unclear_answer_repeats_the_same_token_and_never_makes_a_second_server():
    cloud = cloud_with()
    asks = _number_of(cloud, "CreateFleet")
    cloud = cloud_with(faults={asks: "after"})
    with pytest.raises(Unclear):
        tick(cloud)
    assert len(cloud.servers) == 1
    tick(cloud, request="retry of the function")
    assert len(cloud.servers) == 1
    assert cloud.go_of(next(iter(cloud.servers))) is not None


def test_an_empty_replay_is_looked_up_by_the_fleets_id():
    cloud = cloud_with(empty_replay=True)
    cloud.faults = {_number_of(cloud_with(), "CreateFleet"): "after"}
    with pytest.raises(Unclear):
        tick(cloud)
    tick(cloud)
    assert len(cloud.servers) == 1
    assert cloud.go_of(next(iter(cloud.servers))) is not None


def test_no_capacity_anywhere_ends_as_failed_with_the_pools_named():
    cloud = cloud_with(refuse={"spot": NO_CAPACITY, "on-demand": NO_CAPACITY})
    tick(cloud)
    assert closed(cloud)["outcome"] == "failed"
    assert closed(cloud)["reason"] == "no-capacity"
    assert "c8g.large eu-west-1a" in closed(cloud)["detail"]
    assert cloud.json("slots/pi.json")["holder"] is None


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("VcpuLimitExceeded", "quota"),
        ("UnauthorizedOperation", "no-rights"),
        ("InvalidAMIID.NotFound", "image-gone"),
        ("Unsupported", "no-capacity"),
    ],
)
def test_a_refusal_has_the_reason_of_its_code(code, reason):
    errors = (FleetError(code=code, message=""),)
    cloud = cloud_with(version(market="on-demand"), refuse={"on-demand": errors})
    tick(cloud)
    assert closed(cloud)["reason"] == reason


def test_after_launch_until_nobody_asks_again_and_the_run_says_unknown():
    cloud = cloud_with(faults={_number_of(cloud_with(), "CreateFleet"): "before"})
    with pytest.raises(Unclear):
        tick(cloud)
    cloud.pass_time(301)
    sweep(cloud)
    assert not cloud.servers
    assert closed(cloud)["reason"] == "unknown"


def test_a_server_that_turns_up_after_the_election_of_none_is_ended_and_never_told_to_go():
    cloud = cloud_with()
    cloud.faults = {_number_of(cloud_with(), "CreateFleet"): "after"}
    with pytest.raises(Unclear):
        tick(cloud)
    [late] = cloud.servers
    cloud.hidden = {late}
    cloud.pass_time(301)
    sweep(cloud)
    cloud.hidden = set()
    sweep(cloud)
    assert cloud.ends == [late]
    assert cloud.go_of(late) is None


def test_a_job_that_exits_3_is_failed_exit_3_and_latest_does_not_move():
    cloud = cloud_with()
    tick(cloud)
    cloud.work(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    assert (closed(cloud)["outcome"], closed(cloud)["reason"]) == ("failed", "exit 3")
    assert "latest/pi.json" not in cloud.objects


def test_a_success_with_a_missing_output_is_not_believed():
    cloud = cloud_with()
    tick(cloud)
    cloud.work(next(iter(cloud.servers)), missing=("out/pi.txt",))
    sweep(cloud)
    assert (closed(cloud)["outcome"], closed(cloud)["reason"]) == ("failed", "output-missing")


@pytest.mark.parametrize(
    ("code", "reason"),
    [("Server.SpotInstanceTermination", "interrupted"), ("Client.UserInitiatedShutdown", "lost"), ("", "unknown")],
)
def test_a_server_gone_without_a_last_word_is_interrupted_lost_or_unknown(code, reason):
    cloud = cloud_with()
    tick(cloud)
    cloud.gone(next(iter(cloud.servers)), code)
    sweep(cloud)
    assert (closed(cloud)["outcome"], closed(cloud)["reason"]) == ("failed", reason)


def test_a_hung_server_is_ended_by_its_kill_schedule_and_the_record_says_so():
    cloud = cloud_with()
    tick(cloud)
    cloud.pass_time(960 + 61)
    sweep(cloud)
    assert cloud.ends == []
    assert closed(cloud)["ended_by"].startswith("kill schedule")


def test_without_the_kill_schedule_the_sweeper_ends_it_and_the_record_says_so():
    cloud = cloud_with()
    tick(cloud)
    cloud.kills.clear()
    cloud.now += timedelta(seconds=961)
    sweep(cloud)
    assert cloud.ends == list(cloud.servers)
    sweep(cloud)
    assert closed(cloud)["ended_by"] == "sweeper: past its deadline"


def test_a_missing_kill_schedule_is_armed_again_by_the_sweep():
    cloud = cloud_with()
    tick(cloud)
    cloud.kills.clear()
    cloud.pass_time(60)
    sweep(cloud)
    assert list(cloud.kills) == list(cloud.servers)


def test_the_console_names_the_switch_when_the_agent_died():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    cloud.consoles[server] = ("dayfly switch: powering off: the agent is gone",)
    cloud.gone(server)
    sweep(cloud)
    assert closed(cloud)["ended_by"] == "switch: the agent is gone"
    assert closed(cloud)["reason"] == "lost"


def test_absence_is_unknown_until_two_looks_more_than_an_hour_after_launch():
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


def test_the_next_tick_closes_the_last_run_itself_instead_of_skipping():
    cloud = cloud_with()
    tick(cloud)
    cloud.work(next(iter(cloud.servers)))
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="next")
    assert len(cloud.servers) == 2
    assert closed(cloud)["outcome"] == "succeeded"


def test_a_tick_while_the_last_run_lives_is_skipped_for_overlap():
    cloud = cloud_with()
    tick(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="next")
    run = names.RunName("pi", TICK + timedelta(minutes=1))
    assert len(cloud.servers) == 1
    assert cloud.json(names.claim_key(run))["reason"] == "overlap"
    assert names.done_key(run, 0, "skipped") in cloud.objects
    assert cloud.json("slots/pi.json")["holder"] == str(RUN)


def test_overlap_allow_takes_no_slot_and_runs_both():
    cloud = cloud_with(version(overlap="allow"))
    tick(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="next")
    assert len(cloud.servers) == 2
    assert "slots/pi.json" not in cloud.objects


def test_a_tick_delivered_after_start_within_is_missed_and_starts_nothing():
    cloud = cloud_with(version(start_within_s=60))
    cloud.pass_time(61)
    tick(cloud)
    assert not cloud.servers
    assert cloud.json(names.claim_key(RUN))["decision"] == "missed"
    assert names.done_key(RUN, 0, "missed") in cloud.objects
    assert cloud.json("slots/pi.json")["holder"] is None


@pytest.mark.parametrize("when", [TICK + timedelta(seconds=30), TICK + timedelta(hours=1)])
def test_what_is_no_tick_of_the_schedule_writes_nothing(when):
    cloud = cloud_with()
    before = dict(cloud.objects)
    launched = tick(cloud, tick=when)
    assert isinstance(launched, Rejected)
    assert cloud.objects == before


def _number_of(cloud, call):
    """The number of the first call of a kind in a plain tick; faults are planted there."""
    kinds = []
    answer = cloud.answer

    def noting(wanted):
        kinds.append(type(wanted).__name__)
        return answer(wanted)

    cloud.answer = noting
    tick(cloud)
    return kinds.index(call) + 1
