"""Runs that a person starts: which second they get, what they may change, and second deliveries."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchNow
from dayfly.errors import NotFoundError
from dayfly.flows.launch import launch
from model.cloud import TICK, acting_as, cloud_with, version
from model.steps import RUN, closed, sweep, tick


def test_run_by_hand_in_a_taken_second_takes_the_next():
    cloud = cloud_with(version(overlap="allow"))
    first = cloud.run(launch(LaunchNow(job="pi", request="a", by="ben"), acting_as("launcher")))
    second = cloud.run(launch(LaunchNow(job="pi", request="b", by="anna"), acting_as("launcher")))
    again = cloud.run(launch(LaunchNow(job="pi", request="a", by="ben"), acting_as("launcher")))
    assert second.run.tick == first.run.tick + timedelta(seconds=1)
    assert again.run == first.run
    assert len(cloud.servers) == 2


def test_second_delivery_two_seconds_later_is_the_same_run():
    cloud = cloud_with(version(overlap="allow"))
    first = cloud.run(launch(LaunchNow(job="pi", request="one-request"), acting_as("launcher")))
    cloud.pass_time(2)
    again = cloud.run(launch(LaunchNow(job="pi", request="one-request"), acting_as("launcher")))
    assert again.run == first.run
    assert len(cloud.servers) == 1


def test_run_by_hand_in_the_second_of_a_tick_leaves_the_tick():
    cloud = cloud_with(version(overlap="allow"))
    cloud.now = TICK + timedelta(milliseconds=300)
    cloud.run(launch(LaunchNow(job="pi", request="by hand", env={"QUICK": "1"}), acting_as("launcher")))
    cloud.pass_time(5)
    tick(cloud)
    assert cloud.json(names.claim_key(RUN))["source"] == "schedule"


@pytest.mark.parametrize("publish", [False, True])
def test_run_by_hand_moves_latest_only_if_published(publish):
    cloud = cloud_with()
    launched = cloud.run(launch(LaunchNow(job="pi", request="a", publish=publish), acting_as("launcher")))
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    assert closed(cloud, launched.run)["outcome"] == "succeeded"
    assert ("latest/pi.json" in cloud.objects) is publish


def test_env_of_a_run_by_hand_reaches_the_job_and_is_recorded():
    cloud = cloud_with(version(env={"MODE": "full", "A": "1"}))
    launched = cloud.run(launch(LaunchNow(job="pi", request="a", env={"MODE": "fast"}), acting_as("launcher")))
    assert cloud.go_of(next(iter(cloud.servers)))["env"] == {"MODE": "fast", "A": "1"}
    assert cloud.json(names.claim_key(launched.run))["env"] == {"MODE": "fast"}


def test_run_of_a_job_that_is_not_deployed_is_not_found():
    with pytest.raises(NotFoundError, match="no version of nope"):
        cloud_with().run(launch(LaunchNow(job="nope", request="a"), acting_as("launcher")))
