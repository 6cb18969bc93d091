"""Launchers, sweepers and servers in any order, with answers lost at any call: the invariants hold all the same.

Hypothesis chooses who moves next and which answers get lost; every example then comes to rest by sweeps alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dayfly.core import names
from dayfly.core.event import Wish
from dayfly.core.records import FleetError
from dayfly.errors import Unclear
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from model.cloud import TICK, ModelCloud, Stepper, cloud_with, place, version

RUN = names.RunName("pi", TICK)
KEEP_S = 90 * 24 * 3600


def delivery(cloud: ModelCloud, number: int, minute: int = 0) -> Stepper:
    wish = Wish(job="pi", tick=TICK + timedelta(minutes=minute), source="schedule", request=f"d{number}")
    return Stepper(cloud, launch(wish, place("launcher")))


def sweeping(cloud: ModelCloud) -> Stepper:
    return Stepper(cloud, sweep_project(place("sweeper"), KEEP_S))


def told_to_go(cloud: ModelCloud) -> Iterator[str]:
    return (server for server in cloud.servers if cloud.go_of(server) is not None)


def come_to_rest(cloud: ModelCloud) -> None:
    """No more faults; time passes beyond every deadline and the sweeper comes by."""
    cloud.faults = {}
    for _ in range(8):
        cloud.pass_time(300)
        cloud.run(sweep_project(place("sweeper"), KEEP_S))


def check(cloud: ModelCloud, runs: int) -> None:
    attempts = [(cloud.servers[one].run, cloud.servers[one].attempt) for one in told_to_go(cloud)]
    assert len(attempts) == len(set(attempts)), "two servers of one attempt were told to run the job"
    assert all(server.gone for server in cloud.servers.values())
    assert not cloud.kills
    assert not [key for key in cloud.objects if key.startswith("open/")]
    slot = cloud.json("slots/pi.json") if "slots/pi.json" in cloud.objects else {"holder": None}
    assert slot["holder"] is None
    done = [names.done_name(key) for key in cloud.objects if key.startswith("done/")]
    assert len(done) == runs
    for name in done:
        if name.outcome == "succeeded":
            closed = cloud.json(names.attempt_key(name.run, name.attempt, "closed"))
            assert closed["exit"] == 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    order=st.lists(st.integers(0, 5), max_size=400),
    faults=st.dictionaries(st.integers(1, 250), st.sampled_from(["before", "after"]), max_size=6),
    spot=st.booleans(),
    on_demand=st.booleans(),
    exit_code=st.sampled_from([0, 3]),
    hidden=st.booleans(),
)
def test_one_tick_delivered_three_times_beside_two_sweepers_has_one_job_and_one_end(
    order, faults, spot, on_demand, exit_code, hidden
):
    no = (FleetError(code="InsufficientInstanceCapacity", message=""),)
    refuse = {market: no for market, there in (("spot", spot), ("on-demand", on_demand)) if not there}
    cloud = cloud_with(faults=dict(faults), refuse=refuse)
    actors = [delivery(cloud, 1), delivery(cloud, 2), delivery(cloud, 3), sweeping(cloud), sweeping(cloud)]
    opened = False
    for who in order:
        if who == 5:
            for server in list(cloud.servers):
                cloud.work(server, exit_code)
            cloud.hidden = set(cloud.servers) if hidden and not cloud.hidden else set()
        elif not actors[who].over:
            actors[who].step()
        opened = opened or names.open_key(RUN) in cloud.objects
    cloud.hidden = set()
    for actor in actors[3:]:
        while not actor.over:
            actor.step()
    assert not [actor.error for actor in actors if actor.error and not isinstance(actor.error, Unclear)]
    come_to_rest(cloud)
    check(cloud, 1 if opened else 0)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    order=st.lists(st.integers(0, 5), max_size=500),
    faults=st.dictionaries(st.integers(1, 300), st.sampled_from(["before", "after"]), max_size=4),
)
def test_two_ticks_at_once_of_a_job_that_does_not_overlap_never_run_side_by_side(order, faults):
    cloud = cloud_with(version(), faults=dict(faults))
    cloud.now = TICK + timedelta(seconds=61)
    actors = [
        delivery(cloud, 1),
        delivery(cloud, 2, minute=1),
        delivery(cloud, 3),
        delivery(cloud, 4, minute=1),
        sweeping(cloud),
    ]
    for who in order:
        if who == 5:
            for server in list(cloud.servers):
                cloud.work(server)
        elif not actors[who].over:
            actors[who].step()
        alive = {server.run for server in cloud.servers.values() if not server.gone and cloud.go_of(server.id)}
        assert len(alive) <= 1
    assert not [actor.error for actor in actors if actor.error and not isinstance(actor.error, Unclear)]
    opened = {key for key in cloud.objects if key.startswith("open/")}
    claimed = {key for key in cloud.objects if key.endswith("/claim.json")}
    come_to_rest(cloud)
    check(cloud, len({key.removeprefix("open/pi@") for key in opened} | {key.split("/")[2] for key in claimed}))
