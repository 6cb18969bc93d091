"""The steps that tests of a run on the model cloud share: a wish that is due, a tick delivered, a sweep, a closed attempt."""

from __future__ import annotations

from dayfly.core import names
from dayfly.core.event import LaunchRequest
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from model.cloud import TICK, acting_as

RUN = names.RunName("pi", TICK)
DAY = 24 * 3600


def due(**changes):
    return LaunchRequest(**{"job": "pi", "tick": TICK, "source": "schedule", "request": "delivery-1", **changes})


def tick(cloud, **changes):
    return cloud.run(launch(due(**changes), acting_as("launcher")))


def sweep(cloud, keep_s=90 * DAY):
    return cloud.run(sweep_project(acting_as("sweeper"), keep_s))


def closed(cloud, run=RUN, attempt=1):
    return cloud.json(names.attempt_key(run, attempt, "closed"))
