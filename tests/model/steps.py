"""The steps that tests of a run on the model cloud share: a wish that is due, a tick delivered, a sweep, a closed attempt."""

from __future__ import annotations

from dayfly.core import names
from dayfly.core.event import Wish
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from model.cloud import TICK, place

RUN = names.RunName("pi", TICK)
DAY = 24 * 3600


def due(**changes):
    return Wish(**{"job": "pi", "tick": TICK, "source": "schedule", "request": "delivery-1", **changes})


def tick(cloud, **changes):
    return cloud.run(launch(due(**changes), place("launcher")))


def sweep(cloud, keep_s=90 * DAY):
    return cloud.run(sweep_project(place("sweeper"), keep_s))


def closed(cloud, run=RUN, attempt=1):
    return cloud.json(names.attempt_key(run, attempt, "closed"))
