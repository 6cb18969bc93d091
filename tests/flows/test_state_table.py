"""The table of states is right: runs change state only along its edges, and tests see every edge."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchAt, Retry
from dayfly.core.record_json import encode
from dayfly.core.records import FleetError, Opened, Slot
from dayfly.core.states import FIRST_STATES, TABLE, State
from dayfly.errors import DayflyError
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.flows.walk import walk
from flows.scenarios_of_telling import SCENARIOS_OF_TELLING
from model import scenarios
from model.cloud import TICK, TWO_MINUTES, ModelCloud, acting_as, cloud_with, version
from model.scenarios import later, look, run_agents
from model.stepper import Stepper
from model.steps import RUN, cancel, due, retry, sweep, tick
from model.transitions import LISTED_WITHIN, Transitions

FULL = (FleetError(code="InsufficientInstanceCapacity", message=""),)
NEXT = TICK + timedelta(minutes=1)


def whole_run(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    tick(cloud)
    run_agents(cloud)
    sweep(cloud)


def whole_run_that_may_overlap(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(overlap="allow")))
    tick(cloud)
    run_agents(cloud)
    sweep(cloud)


def failed_runs(seen: Transitions) -> None:
    for overlap in ("skip", "allow"):
        cloud = seen.watch(cloud_with(version(overlap=overlap)))
        tick(cloud)
        run_agents(cloud, exit_code=3)
        sweep(cloud)
        retry(cloud)
        run_agents(cloud)
        sweep(cloud)


def refused_launches(seen: Transitions) -> None:
    for refuse in ({"spot": FULL}, {"spot": FULL, "on-demand": FULL}):
        cloud = seen.watch(cloud_with(refuse=refuse))
        tick(cloud)
        run_agents(cloud)
        sweep(cloud)


def skipped_and_missed_ticks(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(start_within_s=60, schedule=("41-43 22 24 11 *",))))
    tick(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=NEXT)
    cloud.pass_time(1200)
    sweep(cloud)
    late = seen.watch(cloud_with(version(start_within_s=60)))
    late.pass_time(61)
    tick(late)


def absent_server(cloud: ModelCloud) -> str:
    """Start a run whose server EC2 then no longer shows, sweep once, and return the server."""
    tick(cloud)
    [server] = cloud.servers
    cloud.hidden = {server}
    cloud.pass_time(3601)
    sweep(cloud)
    return server


def four_hours(seen: Transitions) -> ModelCloud:
    return seen.watch(cloud_with(version(time_limit_s=4 * 3600)))


def cancelled_server_shuts_down_slowly(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(shutdown_s=40))
    tick(cloud)
    cancel(cloud)
    look(cloud)
    sweep(cloud)


def removed_run(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    tick(cloud)
    run_agents(cloud, exit_code=3)
    sweep(cloud)
    cloud.pass_time(91 * 24 * 3600)
    sweep(cloud)


def server_absent_twice(seen: Transitions) -> None:
    cloud = four_hours(seen)
    absent_server(cloud)
    cloud.pass_time(300)
    sweep(cloud)


def server_absent_and_shown_again(seen: Transitions) -> None:
    cloud = four_hours(seen)
    absent_server(cloud)
    cloud.pass_time(300)
    look(cloud)
    cloud.hidden = set()
    look(cloud)


def first_sighting_expires(seen: Transitions) -> None:
    cloud = four_hours(seen)
    server = absent_server(cloud)
    cloud.pass_time(300)
    look(cloud)
    cloud.pass_time(900)
    look(cloud)
    cloud.hidden = set()
    cloud.terminate(server)
    look(cloud)


def elected_server_is_listed_late(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(time_limit_s=4 * 3600)))
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    while names.attempt_key(RUN, 1, "server") not in cloud.objects:
        launching.step()
    look(cloud)
    cloud.hidden = set(cloud.servers)
    cloud.pass_time(400)
    look(cloud)
    cloud.hidden = set()
    look(cloud)


def elected_server_is_cancelled_or_ends(seen: Transitions) -> None:
    for hit in (cancel, lambda cloud: cloud.terminate(next(iter(cloud.servers)))):
        cloud = seen.watch(cloud_with())
        launching = Stepper(cloud, launch(due(), acting_as("launcher")))
        while names.attempt_key(RUN, 1, "server") not in cloud.objects:
            launching.step()
        look(cloud)
        hit(cloud)
        look(cloud)


def server_ends_before_its_election(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not cloud.servers:
        launching.step()
    cloud.terminate(next(iter(cloud.servers)))
    tick(cloud)


def launcher_dies_before_ec2_lists_its_server(seen: Transitions) -> None:
    for armed, looked in ((False, False), (True, False), (True, True)):
        cloud = seen.watch(cloud_with())
        launching = Stepper(cloud, launch(due(), acting_as("launcher")))
        while not cloud.servers or (armed and not cloud.kill_schedules):
            launching.step()
        look(cloud)
        cloud.hidden = cloud.orphans = set(cloud.servers)
        look(cloud)
        cloud.hidden = set()
        look(cloud)
        cloud.hidden = set(cloud.servers)
        if looked:
            look(cloud)
        cloud.pass_time(301)
        look(cloud)
        cloud.hidden = set()
        look(cloud)


def kill_schedule_goes_before_the_election(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not cloud.kill_schedules:
        launching.step()
    look(cloud)
    cloud.kill_schedules.clear()
    look(cloud)


def kill_schedule_goes_before_a_cancel(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    tick(cloud)
    cloud.kill_schedules.clear()
    look(cloud)
    cancel(cloud)
    look(cloud)


def server_shuts_down_before_its_election(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(shutdown_s=40))
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not cloud.kill_schedules:
        launching.step()
    cloud.terminate_server(calls.TerminateServer(next(iter(cloud.servers))))
    tick(cloud)


def server_is_listed_after_the_last_time_to_ask(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not cloud.servers:
        launching.step()
    cloud.hidden = set(cloud.servers)
    cloud.pass_time(301)
    look(cloud)
    cloud.hidden = set()
    look(cloud)


def next_tick_takes_the_slot_before_a_retry(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(schedule=TWO_MINUTES)))
    tick(cloud)
    run_agents(cloud, exit_code=3)
    sweep(cloud)
    launching = Stepper(cloud, launch(Retry(run=RUN, request="r"), acting_as("launcher")))
    while names.open_key(RUN) not in cloud.objects:
        launching.step()
    cloud.pass_time(60)
    tick(cloud, tick=NEXT)


def retry_waits_for_the_slot(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(schedule=TWO_MINUTES)))
    tick(cloud)
    run_agents(cloud, exit_code=3)
    sweep(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=NEXT)
    retry(cloud)
    run_agents(cloud)
    sweep(cloud)
    sweep(cloud)


def cancelled_before_its_intent(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="schedule", at=cloud.now, request="d1"))
    cancel(cloud)
    tick(cloud)


def finished_run_gets_the_slot(seen: Transitions) -> None:
    """A slow process takes the slot for a run that another process has finished."""
    cloud = seen.watch(cloud_with(version(schedule=TWO_MINUTES), refuse={"spot": FULL, "on-demand": FULL}))
    tick(cloud)
    sweep(cloud)
    cloud.objects[names.slot_key("pi")] = encode(Slot(holder=str(RUN), attempt=0, at=cloud.now))
    look(cloud)
    cloud.pass_time(60)
    tick(cloud, tick=NEXT)


def surplus_server_ends_after_its_run(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(market="on-demand"), forgets_tokens=True))
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    while not cloud.kill_schedules:
        launching.step()
    [surplus] = cloud.servers
    cloud.hidden = {surplus}
    tick(cloud)
    run_agents(cloud)
    cloud.hidden = set()
    cloud.run(walk(RUN, acting_as("cli")))
    cloud.terminate(surplus)
    look(cloud)
    cloud.run(walk(RUN, acting_as("cli")))


def finished_run_is_armed_late_and_retried(seen: Transitions) -> None:
    for overlap in ("skip", "allow"):
        cloud = seen.watch(cloud_with(version(overlap=overlap)))
        tick(cloud)
        run_agents(cloud, exit_code=3)
        sweep(cloud)
        cloud.kill_schedules = dict.fromkeys(cloud.servers, cloud.now + timedelta(hours=1))
        look(cloud)
        retry(cloud)


SCENARIOS = (
    *scenarios.RUN_LATER,
    *scenarios.CANCELLED,
    scenarios.kill_schedule_goes_before_the_job_is_sent,
    scenarios.run_is_armed_late_before_its_open_key_goes,
    *SCENARIOS_OF_TELLING,
    finished_run_is_armed_late_and_retried,
    whole_run,
    whole_run_that_may_overlap,
    failed_runs,
    refused_launches,
    skipped_and_missed_ticks,
    cancelled_server_shuts_down_slowly,
    removed_run,
    server_absent_twice,
    server_absent_and_shown_again,
    first_sighting_expires,
    elected_server_is_listed_late,
    elected_server_is_cancelled_or_ends,
    server_ends_before_its_election,
    launcher_dies_before_ec2_lists_its_server,
    kill_schedule_goes_before_the_election,
    scenarios.kill_schedule_is_made_again_after_the_election,
    kill_schedule_goes_before_a_cancel,
    server_shuts_down_before_its_election,
    server_is_listed_after_the_last_time_to_ask,
    next_tick_takes_the_slot_before_a_retry,
    retry_waits_for_the_slot,
    cancelled_before_its_intent,
    finished_run_gets_the_slot,
    surplus_server_ends_after_its_run,
)


def is_new(cloud: ModelCloud, server: str) -> bool:
    return cloud.now - cloud.servers[server].launched < LISTED_WITHIN


def random_run(seen: Transitions, seed: int) -> None:
    """Two ticks, a retry, sweeps, walks by the CLI and a cancel in any order; answers are lost, kill schedules deleted."""
    chance = Random(seed)
    refuse = {market: FULL for market in ("spot", "on-demand") if chance.random() < 0.2}
    changes = {
        "schedule": TWO_MINUTES,
        "overlap": chance.choice(["skip", "allow"]),
        "market": chance.choice(["spot-first", "on-demand"]),
    }
    cloud = seen.watch(cloud_with(version(**changes), refuse=refuse, shutdown_s=chance.choice([0, 40])))
    requests = [LaunchAt(job="pi", tick=TICK, source="schedule", request="d1")]
    requests += [
        LaunchAt(job="pi", tick=NEXT, source="schedule", request="d2"),
        Retry(run=RUN, request="r"),
        later(),
    ]
    for _ in range(4):
        actors = [Stepper(cloud, launch(chance.choice(requests), acting_as("launcher"))) for _ in range(2)]
        actors.append(Stepper(cloud, sweep_project(acting_as("sweeper"), 90 * 24 * 3600)))
        actors.append(Stepper(cloud, walk(RUN, acting_as("cli:ben"))))
        while any(not actor.over for actor in actors):
            if chance.random() < 0.02:
                cloud.faults = {cloud.calls_answered + 1: chance.choice(["before", "after"])}
            if chance.random() < 0.01:
                run_agents(cloud, chance.choice([0, 3]))
            if chance.random() < 0.005:
                cancel(cloud, chance.choice([1, 2]))
            if chance.random() < 0.02:
                cloud.hidden = {server for server in cloud.servers if is_new(cloud, server) and chance.random() < 0.3}
            if chance.random() < 0.005:
                cloud.kill_schedules.clear()
            chance.choice([actor for actor in actors if not actor.over]).step()
        assert not [actor.error for actor in actors if actor.error and not isinstance(actor.error, DayflyError)]
        cloud.faults, cloud.hidden = {}, set()
        cloud.pass_time(chance.choice([20, 70, 310, 1000]))


@pytest.fixture(scope="module")
def seen() -> Transitions:
    found = Transitions()
    for scenario in SCENARIOS:
        scenario(found)
    for seed in range(60):
        random_run(found, seed)
    return found


def test_a_run_changes_state_only_along_the_table(seen):
    known = {(None, first) for first in FIRST_STATES}
    known |= {(state, after) for state, row in TABLE.items() for after in (*row.then, *row.events)}
    assert {edge: why for edge, why in seen.seen.items() if edge not in known} == {}


def test_every_edge_of_the_table_is_seen(seen):
    edges = {(state, after) for state, row in TABLE.items() for after in (*row.then, *row.events)}
    assert edges - set(seen.seen) == set()


def test_every_state_has_a_row():
    assert set(TABLE) == set(State)
