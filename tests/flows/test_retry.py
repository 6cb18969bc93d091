"""Further attempts of a run that is over."""

from __future__ import annotations

import pytest

from dayfly.core import names
from dayfly.core.event import Retry
from dayfly.core.versions import write_version
from dayfly.errors import NotFoundError
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.project.deploy.plan import removed
from model.cloud import ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
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


def failed_run() -> ModelCloud:
    cloud = cloud_with()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    return cloud


def retrying(cloud: ModelCloud, request: str, same_code: bool = False) -> Stepper:
    asked = Retry(run=RUN, request=request, same_code=same_code)
    return Stepper(cloud, launch(asked, acting_as("launcher")))


def opens(call: calls.Call) -> bool:
    return isinstance(call, calls.PutNew) and call.key == names.open_key(RUN)


def test_retry_that_comes_second_is_refused_and_not_answered_as_made():
    cloud = failed_run()
    second = retrying(cloud, "r2")
    while second.call is None or not opens(second.call):
        second.step()
    cloud.run(retrying(cloud, "r1").flow)
    while not second.over:
        second.step()
    assert isinstance(second.error, NotFoundError)
    assert cloud.json(names.attempt_key(RUN, 2, "intent"))["request"] == "r1"
    with pytest.raises(NotFoundError, match="another request got attempt 2"):
        cloud.run(retrying(cloud, "r2").flow)
    assert len(cloud.servers) == 2


def test_the_same_retry_twice_at_once_is_one_attempt():
    cloud = failed_run()
    late = retrying(cloud, "r1")
    while late.call is None or not opens(late.call):
        late.step()
    cloud.run(retrying(cloud, "r1").flow)
    while not late.over:
        late.step()
    assert late.outcome().facts.attempt.number == 2
    assert len(cloud.servers) == 2


def test_retry_of_a_removed_job_takes_the_slot():
    """Whether its runs may overlap is in the version that the last attempt ran."""
    cloud = cloud_with()
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    gone = removed("pi", cloud.now, "ben")
    cloud.objects[gone.key] = write_version(gone)
    cloud.pass_time(5)
    cloud.run(launch(Retry(run=RUN, request="r1", same_code=True), acting_as("launcher")))
    assert cloud.json("slots/pi.json")["holder"] == str(RUN)
