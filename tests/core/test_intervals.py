"""Intervals: the normal ones, and those that a test sets."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core import intervals
from dayfly.core.event import LaunchAt
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from model.cloud import TICK, acting_as, cloud_with, version
from model.steps import DAY, RUN, closed

FAST = intervals.from_json('{"kill_after": 10, "absent_after": 60, "between_sightings": 20, "sighting_expires": 90}')


def test_unset_intervals_are_the_normal_ones():
    assert intervals.from_json("") == intervals.NORMAL


@pytest.mark.parametrize("text", ['{"kill": 1}', "[]", "{", '{"kill_after": "x"}'])
def test_unknown_intervals_are_refused(text):
    with pytest.raises((ValueError, TypeError)):
        intervals.from_json(text)


def test_an_actor_arms_and_closes_by_its_own_intervals():
    cloud = cloud_with(version(time_limit_s=4 * 3600))
    wanted = LaunchAt(job="pi", tick=TICK, source="schedule", request="d1")
    cloud.run(launch(wanted, replace(acting_as("launcher"), intervals=FAST)))
    [server] = cloud.servers
    assert cloud.kill_schedules[server] == TICK + timedelta(seconds=1 + 4 * 3600 + 900 + 10)
    cloud.hidden = {server}
    sweeper = replace(acting_as("sweeper"), intervals=FAST)
    for _ in range(2):
        cloud.pass_time(61)
        cloud.run(sweep_project(sweeper, 90 * DAY))
    assert closed(cloud, RUN)["reason"] == "unknown"
