"""A run from tick to end, on the model cloud: every step, what it leaves, and what a second delivery changes (nothing)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.advance import State
from dayfly.core.event import Wish
from dayfly.core.records import Cancel, FleetError, Opened, encode
from dayfly.core.versions import write_version
from dayfly.errors import NotFoundError, Unclear
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.flows.walk import walk
from model.cloud import BUCKET, ROLE, START, TICK, cloud_with, place, version

RUN = names.RunName("pi", TICK)
NO_CAPACITY = (FleetError(code="InsufficientInstanceCapacity", message="none", pool="c8g.large eu-west-1a"),)
DAY = 24 * 3600


def due(**changes):
    return Wish(**{"job": "pi", "tick": TICK, "source": "schedule", "request": "delivery-1", **changes})


def tick(cloud, **changes):
    return cloud.run(launch(due(**changes), place("launcher")))


def sweep(cloud, keep_s=90 * DAY):
    return cloud.run(sweep_project(place("sweeper"), keep_s))


def closed(cloud, run=RUN, attempt=1):
    return cloud.json(names.attempt_key(run, attempt, "closed"))


def test_a_tick_becomes_one_server_a_result_and_nothing_left_over():
    cloud = cloud_with()
    launched = tick(cloud)
    assert launched.walked.step.state is State.RUNNING
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
    assert launched.run is None
    assert cloud.objects == before


def test_a_tick_uses_the_version_in_force_at_the_tick_and_keeps_it():
    old, new = version(), version(since=TICK + timedelta(seconds=1), command="new")
    cloud = cloud_with(old, new)
    tick(cloud)
    [server] = cloud.servers
    assert cloud.go_of(server)["command"] == old.job.command


def test_a_run_by_hand_takes_the_next_second_when_another_wish_has_this_one():
    cloud = cloud_with(version(overlap="allow"))
    first = cloud.run(launch(Wish(job="pi", request="a", by="ben"), place("launcher")))
    second = cloud.run(launch(Wish(job="pi", request="b", by="anna"), place("launcher")))
    again = cloud.run(launch(Wish(job="pi", request="a", by="ben"), place("launcher")))
    assert second.run.tick == first.run.tick + timedelta(seconds=1)
    assert again.run == first.run
    assert len(cloud.servers) == 2


@pytest.mark.parametrize("publish", [False, True])
def test_a_run_by_hand_moves_latest_only_when_published(publish):
    cloud = cloud_with()
    launched = cloud.run(launch(Wish(job="pi", request="a", publish=publish), place("launcher")))
    cloud.work(next(iter(cloud.servers)))
    sweep(cloud)
    assert closed(cloud, launched.run)["outcome"] == "succeeded"
    assert ("latest/pi.json" in cloud.objects) is publish


def test_env_given_by_hand_reaches_the_job_and_is_recorded():
    cloud = cloud_with(version(env={"MODE": "full", "A": "1"}))
    launched = cloud.run(launch(Wish(job="pi", request="a", env={"MODE": "fast"}), place("launcher")))
    assert cloud.go_of(next(iter(cloud.servers)))["env"] == {"MODE": "fast", "A": "1"}
    assert cloud.json(names.claim_key(launched.run))["env"] == {"MODE": "fast"}


def test_a_human_who_names_what_is_not_deployed_is_told_so():
    with pytest.raises(NotFoundError, match="no version of nope"):
        cloud_with().run(launch(Wish(job="nope", request="a"), place("launcher")))


def test_latest_never_moves_back_to_an_older_tick():
    cloud = cloud_with(version(overlap="allow"))
    tick(cloud)
    cloud.pass_time(60)
    newer = names.RunName("pi", TICK + timedelta(minutes=1))
    tick(cloud, tick=newer.tick, request="next")
    first, second = cloud.servers
    cloud.work(second)
    sweep(cloud)
    cloud.work(first)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == str(newer)


def test_retry_makes_attempt_2_with_what_is_deployed_now_and_the_outcome_is_the_last_ones():
    cloud = cloud_with()
    tick(cloud)
    cloud.work(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    new = version(since=cloud.now, command="mended")
    cloud.objects[new.key] = write_version(new)
    cloud.pass_time(5)
    cloud.run(launch(Wish(job="pi", retry=RUN, request="r1"), place("launcher")))
    second = list(cloud.servers)[1]
    assert cloud.go_of(second)["command"] == "mended"
    cloud.work(second)
    sweep(cloud)
    assert closed(cloud, attempt=2)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["attempt"] == 2
    done = [names.done_name(key) for key in cloud.objects if key.startswith("done/")]
    assert max(done, key=lambda name: name.attempt).outcome == "succeeded"
    assert not [key for key in cloud.objects if key.startswith("open/")]


def test_retry_with_the_same_code_runs_what_the_last_attempt_ran():
    cloud = cloud_with()
    tick(cloud)
    cloud.work(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    new = version(since=cloud.now, command="mended")
    cloud.objects[new.key] = write_version(new)
    cloud.run(launch(Wish(job="pi", retry=RUN, request="r1", same_code=True), place("launcher")))
    assert cloud.go_of(list(cloud.servers)[1])["command"] == "pie 10 out/pi.txt"


def test_a_run_that_is_not_over_can_not_be_retried():
    cloud = cloud_with()
    tick(cloud)
    with pytest.raises(NotFoundError, match="is not over"):
        cloud.run(launch(Wish(job="pi", retry=RUN, request="r1"), place("launcher")))


def test_a_cancel_ends_the_server_and_the_outcome_is_cancelled():
    cloud = cloud_with()
    tick(cloud)
    cloud.objects[names.attempt_key(RUN, 1, "cancel")] = encode(Cancel(at=cloud.now, by="ben"))
    walked = cloud.run(walk(RUN, place("cli:ben")))
    assert cloud.ends == list(cloud.servers)
    assert walked.step.state is State.FINISHED
    assert closed(cloud)["outcome"] == "cancelled"


def test_the_launcher_ends_no_server_even_for_a_cancelled_run():
    cloud = cloud_with()
    tick(cloud)
    cloud.objects[names.attempt_key(RUN, 1, "cancel")] = encode(Cancel(at=cloud.now, by="ben"))
    tick(cloud, request="again")
    assert cloud.ends == []


def test_the_cli_asks_ec2_for_nothing_and_leaves_the_launch_to_others():
    cloud = cloud_with()
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="schedule", at=cloud.now, request="x"))
    walked = cloud.run(walk(RUN, place("cli:ben")))
    assert walked.step.state is State.UNSLOTTED
    assert not cloud.servers


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
