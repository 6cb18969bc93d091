"""Further attempts of a run that is over."""

from __future__ import annotations

import pytest

from dayfly.core import names
from dayfly.core.event import Retry
from dayfly.core.versions import write_version
from dayfly.errors import NotFoundError
from dayfly.flows.launch import launch
from model.cloud import acting_as, cloud_with, version
from model.steps import RUN, closed, retry, sweep, tick


def test_retry_runs_what_is_deployed_now_as_attempt_2():
    cloud = cloud_with()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    new = version(since=cloud.now, command="fixed")
    cloud.objects[new.key] = write_version(new)
    cloud.pass_time(5)
    cloud.run(launch(Retry(run=RUN, request="r1"), acting_as("launcher")))
    second = list(cloud.servers)[1]
    assert cloud.go_of(second)["command"] == "fixed"
    cloud.run_agent(second)
    sweep(cloud)
    assert closed(cloud, attempt=2)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["attempt"] == 2
    done = [names.done_name(key) for key in cloud.objects if key.startswith("done/")]
    assert max(done, key=lambda name: name.attempt).outcome == "succeeded"
    assert not [key for key in cloud.objects if key.startswith("open/")]


def test_retry_with_same_code_runs_what_the_last_attempt_ran():
    cloud = cloud_with()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    new = version(since=cloud.now, command="fixed")
    cloud.objects[new.key] = write_version(new)
    cloud.run(launch(Retry(run=RUN, request="r1", same_code=True), acting_as("launcher")))
    assert cloud.go_of(list(cloud.servers)[1])["command"] == "pie 10 out/pi.txt"


def test_run_that_is_not_over_cannot_be_retried():
    cloud = cloud_with()
    tick(cloud)
    with pytest.raises(NotFoundError, match="is not over"):
        cloud.run(launch(Retry(run=RUN, request="r1"), acting_as("launcher")))


def test_second_delivery_of_a_retry_makes_no_third_attempt():
    cloud = cloud_with()
    tick(cloud)
    [first] = cloud.servers
    cloud.run_agent(first, exit_code=3)
    sweep(cloud)
    retry(cloud, request="one-retry")
    cloud.run_agent(next(server for server in cloud.servers if server != first), exit_code=3)
    sweep(cloud)
    retry(cloud, request="one-retry")
    assert len(cloud.servers) == 2
