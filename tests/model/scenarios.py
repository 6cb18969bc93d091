"""Scenarios of the table of states that need more than a line of their own, and what all scenarios share.

RUN_LATER: a tick that was missed, or never delivered, and that a person runs later.
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
from dayfly.project.deploy import plan
from model.cloud import TICK, TWO_MINUTES, ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import RUN, step_past, sweep, tick
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
    step_past(opening, lambda call: isinstance(call, calls.PutNew) and call.key == names.open_key(RUN))
    look(cloud)


def deploy(cloud: ModelCloud, **changes: Any) -> None:
    new = version(since=cloud.now, **changes)
    cloud.objects[new.key] = write_version(new)


def remove(cloud: ModelCloud) -> None:
    gone = plan.removed("pi", cloud.now, "ben")
    cloud.objects[gone.key] = write_version(gone)


def missed_tick_is_run_later(seen: Transitions) -> None:
    for overlap in ("skip", "allow"):
        cloud = seen.watch(cloud_with(version(overlap=overlap, start_within_s=60)))
        missed_tick(cloud)
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


RUN_LATER = (
    missed_tick_is_run_later,
    tick_run_later_waits_for_the_slot,
    job_is_removed_before_a_missed_tick_is_run_later,
)
