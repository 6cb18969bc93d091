"""The sweeper: runs continued, servers ended or left alone, failures isolated."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.records import Opened, encode
from dayfly.errors import Refused, Unclear
from dayfly.flows import calls
from dayfly.flows.sweep import sweep_project
from model.cloud import START, TICK, ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import DAY, RUN, sweep, tick


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


def test_broken_run_stops_no_other_and_leaves_no_heartbeat():
    cloud = cloud_with(version(overlap="allow"))
    bad = names.RunName("broken", TICK)
    cloud.objects[names.open_key(bad)] = b"{}"
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="schedule", at=cloud.now, request="x"))
    with pytest.raises(Unclear, match="broken"):
        sweep(cloud)
    assert len(cloud.servers) == 1
    assert "heartbeat.json" not in cloud.objects


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

    there = cloud_with(version(overlap="allow"))
    cloud = Protected(now=there.now, objects=there.objects)
    tick(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=TICK + timedelta(minutes=1), request="d2")
    cloud.kill_schedules.clear()
    cloud.now = TICK + timedelta(days=1)
    with pytest.raises(Unclear, match="OperationNotPermitted"):
        sweep(cloud)
    assert cloud.terminate_calls == [max(cloud.servers)]
