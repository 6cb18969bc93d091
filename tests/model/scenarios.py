"""Scenarios of the table of states that need more than a line of their own, and what all scenarios share.

RUN_LATER: a tick that was missed, or never delivered, and that a person runs later. CANCELLED: a job that has started.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dayfly.core import names
from dayfly.core.event import LaunchAt
from dayfly.core.reasons import Source
from dayfly.core.versions import write_version
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.flows.walk import walk
from dayfly.project.deploy import plan
from model.cloud import TICK, TWO_MINUTES, ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import RUN, cancel, due, step_past, sweep, tick
from model.transitions import Transitions

NEXT_TICK = TICK + timedelta(minutes=1)


def run_agents(cloud: ModelCloud, exit_code: int = 0) -> None:
    for server in list(cloud.servers):
        cloud.run_agent(server, exit_code)


def look(cloud: ModelCloud) -> None:
    """Let the observer see the states as they are now."""
    cloud.answer(calls.Now())


def missed_tick(cloud: ModelCloud) -> None:
    """Deliver the tick too late; its start_within is a minute."""
    cloud.pass_time(100)
    tick(cloud)


def later() -> LaunchAt:
    return LaunchAt(job="pi", tick=TICK, source=Source.BACKFILL, request="later")


def open_later(cloud: ModelCloud) -> None:
    """Ask for the tick later, up to the record that opens it."""
    opening = Stepper(cloud, launch(later(), acting_as("launcher")))
    step_past(
        opening, lambda call: isinstance(call, (calls.PutNew, calls.PutMatch)) and call.key == names.open_key(RUN)
    )
    look(cloud)


def deploy(cloud: ModelCloud, **changes: Any) -> None:
    new = version(since=cloud.now, **changes)
    cloud.objects[new.key] = write_version(new)


def remove(cloud: ModelCloud) -> None:
    gone = plan.removed("pi", cloud.now, "ben")
    cloud.objects[gone.key] = write_version(gone)


def is_election(call: object) -> bool:
    return isinstance(call, calls.PutNew) and call.key == names.attempt_key(RUN, 1, "server")


def kill_schedule_is_made_again_after_the_election(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    step_past(Stepper(cloud, launch(due(), acting_as("launcher"))), is_election)
    cloud.kill_schedules.clear()
    look(cloud)
    tick(cloud)


def missed_tick_is_run_later(seen: Transitions) -> None:
    for overlap, told in (("skip", False), ("allow", False), ("allow", True)):
        cloud = seen.watch(cloud_with(version(overlap=overlap, start_within_s=60)))
        missed_tick(cloud)
        if told:
            sweep(cloud)
        cloud.run(launch(later(), acting_as("launcher")))
        run_agents(cloud)
        sweep(cloud)


def tick_run_later_waits_for_the_slot(seen: Transitions) -> None:
    for change in (look, lambda cloud: deploy(cloud, overlap="allow")):
        cloud = seen.watch(cloud_with(version(schedule=TWO_MINUTES, start_within_s=60)))
        cloud.pass_time(100)
        tick(cloud, tick=NEXT_TICK)
        open_later(cloud)
        change(cloud)
        run_agents(cloud)
        sweep(cloud)
        sweep(cloud)


def job_is_removed_before_a_missed_tick_is_run_later(seen: Transitions) -> None:
    for busy in (False, True):
        cloud = seen.watch(cloud_with(version(schedule=TWO_MINUTES, start_within_s=60)))
        missed_tick(cloud)
        if busy:
            tick(cloud, tick=NEXT_TICK)
        open_later(cloud)
        remove(cloud)
        cloud.pass_time(1)
        sweep(cloud)


def started(cloud: ModelCloud) -> str:
    """Start a run, up to its command, and return its server."""
    tick(cloud)
    [server] = cloud.servers
    cloud.start_job(server)
    look(cloud)
    return server


def cancelled_job_ends_by_itself(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(time_limit_s=3600)))
    server = started(cloud)
    cancel(cloud)
    look(cloud)
    cloud.run(walk(RUN, acting_as("cli:ben")))
    cloud.obey_cancel(server)
    sweep(cloud)


def cancelled_job_does_not_end(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(time_limit_s=3600)))
    started(cloud)
    cancel(cloud)
    sweep(cloud)
    cloud.pass_time(301)
    sweep(cloud)


def cancelled_job_is_not_told(seen: Transitions) -> None:
    """Nobody comes to tell the server: its kill schedule goes, its five minutes pass, or it ends."""
    for change in (
        lambda cloud: cloud.kill_schedules.clear(),
        lambda cloud: cloud.pass_time(301),
        lambda cloud: cloud.terminate(next(iter(cloud.servers))),
    ):
        cloud = seen.watch(cloud_with(version(time_limit_s=3600)))
        started(cloud)
        cancel(cloud)
        look(cloud)
        change(cloud)
        look(cloud)


def kill_schedule_of_a_cancelled_job_is_made_again(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with(version(time_limit_s=3600)))
    started(cloud)
    cancel(cloud)
    cloud.kill_schedules.clear()
    look(cloud)
    sweep(cloud)


CANCELLED = (
    cancelled_job_ends_by_itself,
    cancelled_job_does_not_end,
    cancelled_job_is_not_told,
    kill_schedule_of_a_cancelled_job_is_made_again,
)


def kill_schedule_goes_before_the_job_is_sent(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    launching = Stepper(cloud, launch(due(), acting_as("launcher")))
    step_past(launching, lambda call: isinstance(call, calls.PutNew) and call.key.endswith("/server.json"))
    cloud.kill_schedules.clear()
    look(cloud)
    tick(cloud)


def run_is_armed_late_before_its_open_key_goes(seen: Transitions) -> None:
    cloud = seen.watch(cloud_with())
    tick(cloud)
    run_agents(cloud)
    walking = Stepper(cloud, walk(RUN, acting_as("sweeper")))
    step_past(walking, lambda call: isinstance(call, calls.Disarm))
    look(cloud)
    cloud.kill_schedules = dict.fromkeys(cloud.servers, cloud.now + timedelta(hours=1))
    look(cloud)


RUN_LATER = (
    missed_tick_is_run_later,
    tick_run_later_waits_for_the_slot,
    job_is_removed_before_a_missed_tick_is_run_later,
)
