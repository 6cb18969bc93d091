"""The invariants hold with launchers, sweepers and servers in any order, and with answers lost at any call.

Hypothesis chooses which process continues and which answers are lost. Then sweeps alone finish all runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dayfly.core import names
from dayfly.core.event import LaunchAt, Retry
from dayfly.core.reasons import Source
from dayfly.core.record_json import encode
from dayfly.core.records import Cancel, FleetError
from dayfly.core.sweeper_event import ServerState, StateChange
from dayfly.errors import NotFoundError, Unclear
from dayfly.flows.closing import close_after
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.flows.walk import walk
from model.cloud import TICK, TWO_MINUTES, ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper

RUN = names.RunName("pi", TICK)
POOLS = [
    (market, kind, subnet)
    for market in ("spot", "on-demand")
    for kind in ("c8g.large", "c7g.large")
    for subnet in ("subnet-1", "subnet-2")
]
KEEP_S = 90 * 24 * 3600


def delivery(cloud: ModelCloud, number: int, minute: int = 0) -> Stepper:
    asked = LaunchAt(job="pi", tick=TICK + timedelta(minutes=minute), source="schedule", request=f"d{number}")
    return Stepper(cloud, launch(asked, acting_as("launcher")))


def sweeper(cloud: ModelCloud) -> Stepper:
    return Stepper(cloud, sweep_project(acting_as("sweeper"), KEEP_S))


def event_of(cloud: ModelCloud, server: str, state: str) -> Stepper:
    """EC2's event that a server entered a state."""
    change = StateChange(server=server, state=ServerState(state), at=cloud.now.replace(microsecond=0))
    return Stepper(cloud, close_after(change, acting_as("sweeper")))


def new_events(cloud: ModelCloud, told: set[tuple[str, str]], chance: Random) -> list[Stepper]:
    """The events of the servers that ended since the last look: most are delivered once, some twice, some never."""
    ended = {
        (server.id, server.state) for server in cloud.servers.values() if server.state in ("stopped", "terminated")
    }
    fresh = sorted(ended - told)
    told |= ended
    return [event_of(cloud, *each) for each in fresh for _ in range(chance.choice([0, 1, 1, 1, 2]))]


def sent_a_job(cloud: ModelCloud) -> Iterator[str]:
    return (server for server in cloud.servers if cloud.go_of(server) is not None)


def finish_by_sweeps(cloud: ModelCloud, sweeps: int = 8) -> None:
    """Sweep, without faults, until every deadline has passed."""
    cloud.faults, cloud.hidden = {}, set()
    for _ in range(sweeps):
        cloud.pass_time(300)
        cloud.run(sweep_project(acting_as("sweeper"), KEEP_S))


def assert_all_over(cloud: ModelCloud, ticks: int) -> None:
    attempts = [(cloud.servers[one].run, cloud.servers[one].attempt) for one in sent_a_job(cloud)]
    assert len(attempts) == len(set(attempts)), "two servers of one attempt were sent the job"
    assert all(server.gone for server in cloud.servers.values())
    assert not cloud.kill_schedules
    assert not [key for key in cloud.objects if key.startswith("open/")]
    assert "slots/pi.json" not in cloud.objects
    done = [names.done_name(key) for key in cloud.objects if key.startswith("done/")]
    assert len({name.run for name in done}) == ticks, "every tick that was due ends as a run or a claim"
    for name in done:
        if name.outcome == "succeeded":
            closed = cloud.json(names.attempt_key(name.run, name.attempt, "closed"))
            assert closed["exit"] == 0


def interleave(
    cloud: ModelCloud,
    actors: list[Stepper],
    chance: Random,
    losing: float,
    exit_code: int = 0,
    allowed: tuple[type[Exception], ...] = (Unclear,),
) -> None:
    """Run all flows to their ends in a random order. Answers are lost at random, and servers run their jobs in between.

    Each end of a server is an event, whose flow joins the others. Sometimes a server stops instead of terminating, and sometimes an
    event is false: its server is alive.
    """
    told: set[tuple[str, str]] = set()
    closed: set[str] = set()
    actors = list(actors)
    while any(not actor.over for actor in actors):
        if chance.random() < losing:
            cloud.faults = {cloud.calls_answered + 1: chance.choice(["before", "after"])}
        if chance.random() < 0.05:  # sometimes EC2 lists a new server late
            cloud.hidden = {server for server in cloud.servers if chance.random() < 0.5} - set(sent_a_job(cloud))
        if chance.random() < 0.02:
            for server in list(cloud.servers):
                cloud.run_agent(server, exit_code)
        if chance.random() < 0.002:
            for server in list(cloud.servers.values()):
                if server.state == "running":
                    cloud.servers[server.id] = replace(server, state="stopped")
        events = new_events(cloud, told, chance)
        if chance.random() < 0.002:
            events += [event_of(cloud, server, "terminated") for server in list(cloud.servers)]
        for actor in events:
            actor.watch = actors[0].watch
            actors.append(actor)
        chance.choice([actor for actor in actors if not actor.over]).step()
        sent = [(cloud.servers[one].run, cloud.servers[one].attempt) for one in sent_a_job(cloud)]
        assert len(sent) == len(set(sent)), "two servers of one attempt were sent the job"
        for key in [key for key in cloud.objects if key.endswith("/closed.json") and key not in closed]:
            closed.add(key)
            server = cloud.json(key)["server"]
            assert server is None or cloud.servers[server].gone, "closed while its server was alive"
    assert not [actor.error for actor in actors if actor.error and not isinstance(actor.error, allowed)]


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    losing=st.sampled_from([0, 0.005, 0.03]),
    spot=st.booleans(),
    on_demand=st.booleans(),
    exit_code=st.sampled_from([0, 3]),
    forgets_tokens=st.booleans(),
    token_busy_s=st.sampled_from([0, 60]),
    full=st.sets(st.sampled_from(POOLS)),
)
def test_tick_delivered_three_times_has_one_job_and_one_end(
    seed, losing, spot, on_demand, exit_code, forgets_tokens, token_busy_s, full
):
    full = (FleetError(code="InsufficientInstanceCapacity", message=""),)
    refuse = {}
    if not spot:
        refuse["spot"] = full
    if not on_demand:
        refuse["on-demand"] = full
    cloud = cloud_with(refuse=refuse, forgets_tokens=forgets_tokens, token_busy_s=token_busy_s, full=full)
    actors = [delivery(cloud, 1), delivery(cloud, 2), delivery(cloud, 3), sweeper(cloud), sweeper(cloud)]
    interleave(cloud, actors, Random(seed), losing, exit_code)
    finish_by_sweeps(cloud)
    assert_all_over(cloud, ticks=1)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_two_callers_at_once_launch_one_server_in_one_market(seed):
    """EC2 answers the second call of a token with IdempotentCallInProgress: no refusal, so on-demand is not asked."""
    chance = Random(seed)
    cloud = cloud_with(token_busy_s=60)
    actors = [delivery(cloud, 1), delivery(cloud, 2)]
    while any(not actor.over for actor in actors):
        chance.choice([actor for actor in actors if not actor.over]).step()
    cloud.pass_time(61)
    cloud.run(sweep_project(acting_as("sweeper"), KEEP_S))
    [server] = cloud.servers.values()
    assert server.market == "spot"
    assert set(cloud.kill_schedules) == {server.id} == set(sent_a_job(cloud))
    assert names.attempt_key(RUN, 1, "spot-refused") not in cloud.objects


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32), losing=st.sampled_from([0, 0.005, 0.03]))
def test_two_ticks_at_once_never_overlap(seed, losing):
    cloud = cloud_with(version(schedule=TWO_MINUTES))
    cloud.now = TICK + timedelta(seconds=61)
    actors = [delivery(cloud, number, minute=number % 2) for number in range(4)] + [sweeper(cloud)]
    alive_sets: list[frozenset[str]] = []
    for actor in actors:
        actor.watch = lambda: alive_sets.append(alive_runs(cloud))
    interleave(cloud, actors, Random(seed), losing)
    assert all(len(alive) <= 1 for alive in alive_sets)
    finish_by_sweeps(cloud)
    assert_all_over(cloud, ticks=2)


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32), losing=st.sampled_from([0, 0.005, 0.03]), claimed=st.booleans())
def test_missed_tick_run_later_by_two_people_has_one_server(seed, losing, claimed):
    """Two people ask for a missed tick, one of them twice, while its late delivery and the next tick come and sweeps run."""
    cloud = cloud_with(version(schedule=TWO_MINUTES, start_within_s=60))
    cloud.now = TICK + timedelta(seconds=115)
    if claimed:
        cloud.run(delivery(cloud, 0).flow)
    asked = [LaunchAt(job="pi", tick=TICK, source=Source.BACKFILL, request=request) for request in ("b1", "b1", "b2")]
    actors = [Stepper(cloud, launch(one, acting_as("launcher"))) for one in asked]
    actors += [delivery(cloud, 1), delivery(cloud, 2, minute=1), sweeper(cloud), sweeper(cloud)]
    alive_sets: list[frozenset[str]] = []
    for actor in actors:
        actor.watch = lambda: alive_sets.append(alive_runs(cloud))
    interleave(cloud, actors, Random(seed), losing, allowed=(Unclear, NotFoundError))
    assert all(len(alive) <= 1 for alive in alive_sets), "two runs of a job that does not overlap"
    finish_by_sweeps(cloud, 20)
    attempts = [key for key in cloud.objects if key.endswith("/intent.json") and "22:41:00Z" in key]
    assert len(attempts) <= 1, "a tick that is run later has one attempt"
    assert_all_over(cloud, ticks=2)


def alive_runs(cloud: ModelCloud) -> frozenset[str]:
    return frozenset(server.run for server in cloud.servers.values() if not server.gone and cloud.go_of(server.id))


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    losing=st.sampled_from([0, 0.005, 0.03]),
    shutdown_s=st.sampled_from([0, 40]),
    cancelled=st.booleans(),
)
def test_retries_and_cancels_keep_one_run_alive(seed, losing, shutdown_s, cancelled):
    """Two requests retry a finished run while the next tick is delivered, the CLI walks the run, and a person may cancel."""
    chance = Random(seed)
    cloud = cloud_with(version(market="on-demand", schedule=TWO_MINUTES), shutdown_s=shutdown_s)
    cloud.run(launch(LaunchAt(job="pi", tick=TICK, source="schedule", request="d0"), acting_as("launcher")))
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    cloud.run(sweep_project(acting_as("sweeper"), KEEP_S))
    cloud.now = TICK + timedelta(seconds=61)
    again = [Retry(run=RUN, request=request) for request in ("r1", "r1", "r2")]
    actors = [Stepper(cloud, launch(asked, acting_as("launcher"))) for asked in again]
    actors += [delivery(cloud, 7, minute=1), sweeper(cloud), Stepper(cloud, walk(RUN, acting_as("cli:ben")))]
    if cancelled:
        cloud.objects[names.attempt_key(RUN, 2, "cancel")] = encode(Cancel(at=cloud.now, by="ben"))
    alive_sets: list[frozenset[str]] = []
    for actor in actors:
        actor.watch = lambda: alive_sets.append(alive_runs(cloud))
    interleave(cloud, actors, chance, losing, allowed=(Unclear, NotFoundError))
    assert all(len(alive) <= 1 for alive in alive_sets), "two runs of a job that does not overlap"
    finish_by_sweeps(cloud, 20)  # three runs, one after the other, to their deadlines
    attempts = [key for key in cloud.objects if key.endswith("/intent.json") and "22:41:00Z" in key]
    assert len(attempts) <= 3, "the same request twice is one attempt"
    assert all(key.replace("intent", "closed") in cloud.objects for key in attempts)
    assert all(server.gone for server in cloud.servers.values())
    assert not [key for key in cloud.objects if key.startswith("open/")]
    assert "slots/pi.json" not in cloud.objects
    assert not cloud.kill_schedules
