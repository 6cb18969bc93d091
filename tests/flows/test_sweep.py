"""The sweeper: runs continued, servers ended or left alone, failures isolated."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.intervals import NORMAL
from dayfly.core.record_json import encode
from dayfly.core.records import Opened
from dayfly.errors import Refused, Unclear
from dayfly.flows import calls
from dayfly.flows.sweep import sweep_project
from model.cloud import START, TICK, TWO_MINUTES, ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import DAY, RUN, closed, number_of, sweep, tick


def test_sweep_continues_a_run_whose_launcher_died():
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
def test_server_with_a_bad_tag_is_ended(tags, why):
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    cloud.servers[name] = replace(cloud.servers[name], tags={**cloud.servers[name].tags, **tags})
    sweep(cloud)
    assert cloud.terminate_calls == [name], why


def test_stopped_server_is_ended_because_its_disk_costs():
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    cloud.servers[name] = replace(cloud.servers[name], state="stopped")
    sweep(cloud)
    assert cloud.terminate_calls == [name]


def test_server_of_another_project_is_never_ended():
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    foreign = replace(
        cloud.servers[name], id="i-foreign", tags={**cloud.servers[name].tags, names.TAG_PROJECT: "other"}
    )
    cloud.servers["i-foreign"] = foreign
    cloud.now = START + timedelta(days=2)
    sweep(cloud)
    assert cloud.terminate_calls == [name]


def test_server_without_intent_is_ended_after_15_minutes():
    cloud = cloud_with(version(time_limit_s=4 * 3600))
    tick(cloud)
    [name] = cloud.servers
    for key in [key for key in cloud.objects if key.startswith(("runs/", "open/"))]:
        del cloud.objects[key]
    cloud.pass_time(14 * 60)
    sweep(cloud)
    assert cloud.terminate_calls == []
    cloud.pass_time(2 * 60)
    sweep(cloud)
    assert cloud.terminate_calls == [name]


def test_run_with_an_unreadable_open_key_is_missed_and_stops_no_other():
    cloud = cloud_with(version(overlap="allow"))
    bad = names.RunName("broken", TICK)
    cloud.objects[names.open_key(bad)] = b"{}"
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="schedule", at=cloud.now, request="x"))
    sweep(cloud)
    assert len(cloud.servers) == 1
    assert cloud.json(names.claim_key(bad))["reason"] == "unreadable"
    assert names.done_key(bad, 0, "missed") in cloud.objects
    assert names.open_key(bad) not in cloud.objects
    assert "heartbeat.json" in cloud.objects


def test_unreadable_record_keeps_no_other_surplus_server_alive():
    cloud = cloud_with()
    tick(cloud)
    [server] = cloud.servers
    surplus = [f"i-{number:017x}" for number in (1, 2, 3)]
    for name in surplus:
        cloud.servers[name] = replace(cloud.servers[server], id=name)
    sweeping = Stepper(cloud, sweep_project(acting_as("sweeper"), DAY))
    hit = False
    while not sweeping.over:
        call = sweeping.call
        if (
            not hit
            and len(cloud.terminate_calls) == 1
            and isinstance(call, calls.Get)
            and call.key.endswith("1/intent.json")
        ):
            cloud.faults, hit = {cloud.calls_answered + 1: "before"}, True
        sweeping.step()
    assert hit
    assert isinstance(sweeping.error, Unclear)
    assert len(cloud.terminate_calls) == 2
    sweep(cloud)
    assert sorted(cloud.terminate_calls) == surplus


def test_protected_server_keeps_no_other_alive():
    class Protected(ModelCloud):
        def terminate_server(self, call):
            if call.server == min(self.servers):
                raise Refused("OperationNotPermitted: termination protection")
            super().terminate_server(call)

    there = cloud_with(version(overlap="allow", schedule=TWO_MINUTES))
    cloud = Protected(now=there.now, objects=there.objects)
    tick(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="d2")
    cloud.kill_schedules.clear()
    cloud.now = TICK + timedelta(days=1)
    with pytest.raises(Unclear, match="OperationNotPermitted"):
        sweep(cloud)
    assert cloud.terminate_calls == [max(cloud.servers)]


@pytest.mark.parametrize(
    "deadline", ["9999-12-31T23:59:59Z", "2199-12-31T23:59:59Z", "٢٠٢٦-١١-٢٤T22:57:00Z", "2026-11-24T22:57:00+09:00"]
)
def test_a_changed_deadline_tag_keeps_no_server_alive(deadline):
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    cloud.servers[name] = replace(cloud.servers[name], tags={**cloud.servers[name].tags, names.TAG_DEADLINE: deadline})
    sweep(cloud)
    assert cloud.terminate_calls == [name]


def test_a_later_deadline_tag_does_not_move_the_deadline_of_the_intent():
    cloud = cloud_with()
    tick(cloud)
    [name] = cloud.servers
    later = names.utc_text(TICK + timedelta(days=3))
    cloud.servers[name] = replace(cloud.servers[name], tags={**cloud.servers[name].tags, names.TAG_DEADLINE: later})
    cloud.kill_schedules.clear()
    cloud.now = TICK + timedelta(seconds=1 + 60 + 900)
    sweep(cloud)
    assert cloud.terminate_calls == [name]


def test_a_server_without_its_project_tag_is_not_taken_for_gone():
    """Its job still runs: nothing is closed, its kill schedule stays, and the next run does not start beside it."""
    cloud = cloud_with(version(schedule=TWO_MINUTES))
    tick(cloud)
    [name] = cloud.servers
    tags = {key: value for key, value in cloud.servers[name].tags.items() if key != names.TAG_PROJECT}
    cloud.servers[name] = replace(cloud.servers[name], tags=tags)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="next")
    sweep(cloud)
    assert names.attempt_key(RUN, 1, "closed") not in cloud.objects
    assert list(cloud.kill_schedules) == [name]
    assert list(cloud.servers) == [name]
    cloud.run_agent(name)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert not cloud.kill_schedules


# --- every server that lives has a kill schedule after a sweep -----------------------------------------------------------


def launched_and_not_armed(cloud: ModelCloud) -> str:
    """Let the launcher die between CreateFleet and the kill schedule. Return the server."""
    cloud.faults = {number_of(cloud_with(), "Arm"): "before"}
    with pytest.raises(Unclear):
        tick(cloud)
    cloud.faults = {}
    [name] = cloud.servers
    assert not cloud.kill_schedules
    return name


def test_sweep_arms_a_server_whose_run_it_cannot_read():
    cloud = cloud_with()
    name = launched_and_not_armed(cloud)
    cloud.objects[names.attempt_key(RUN, 1, "intent")] = b"{"
    with suppress(Unclear):
        sweep(cloud)
    assert cloud.kill_schedules == {name: TICK + timedelta(seconds=1 + 60 + 900) + NORMAL.kill_after}


def test_sweep_arms_a_server_whose_bucket_does_not_answer():
    cloud = cloud_with()
    name = launched_and_not_armed(cloud)
    sweeping = Stepper(cloud, sweep_project(acting_as("sweeper"), DAY))
    while not sweeping.over:
        if isinstance(sweeping.call, (calls.Get, calls.List, calls.ListFrom, calls.PutNew)):
            cloud.faults = {cloud.calls_answered + 1: "before"}
        sweeping.step()
    assert isinstance(sweeping.error, Unclear)
    assert list(cloud.kill_schedules) == [name]


def test_sweep_arms_a_server_that_nobody_elected_yet():
    cloud = cloud_with()
    name = launched_and_not_armed(cloud)
    del cloud.objects[names.open_key(RUN)]
    sweep(cloud)
    assert list(cloud.kill_schedules) == [name]


def test_sweep_arms_the_server_of_a_run_that_was_closed_too_early():
    """EC2 did not show the server for more than an hour, so its run was closed; then EC2 shows it again."""
    cloud = cloud_with(version(time_limit_s=4 * 3600))
    tick(cloud)
    [name] = cloud.servers
    cloud.hidden = {name}
    for seconds in (3700, 300):
        cloud.pass_time(seconds)
        sweep(cloud)
    assert names.open_key(RUN) not in cloud.objects
    cloud.hidden.clear()
    cloud.kill_schedules.clear()
    sweep(cloud)
    assert list(cloud.kill_schedules) == [name]


def test_sweep_arms_no_server_that_it_ends():
    cloud = cloud_with()
    tick(cloud)
    [elected] = cloud.servers
    cloud.servers["i-surplus"] = replace(cloud.servers[elected], id="i-surplus")
    sweep(cloud)
    assert cloud.terminate_calls == ["i-surplus"]
    assert list(cloud.kill_schedules) == [elected]


def test_failed_kill_schedule_keeps_no_other_server_unarmed():
    cloud = cloud_with()
    name = launched_and_not_armed(cloud)
    cloud.objects[names.attempt_key(RUN, 1, "intent")] = b"{"
    cloud.servers["i-0"] = replace(cloud.servers[name], id="i-0")

    def arm(call, before=cloud.arm):
        if call.server == name:
            raise Refused("ServiceQuotaExceededException")
        before(call)

    cloud.arm = arm  # type: ignore[method-assign]
    with pytest.raises(Unclear, match="ServiceQuotaExceeded"):
        sweep(cloud)
    assert list(cloud.kill_schedules) == ["i-0"]
