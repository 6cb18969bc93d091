"""Cancel on the model cloud: the server is terminated and the run is closed as cancelled, also if an answer is lost."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.event import Retry
from dayfly.errors import NotFoundError, Unclear, UnfinishedError
from dayfly.flows.calls import Sleep
from dayfly.flows.launch import launch
from dayfly.project.runs.cancel import GONE_WITHIN_S, cancel
from model.cloud import acting_as, cloud_with
from model.stepper import Stepper
from model.steps import RUN, closed, step_past, sweep, tick


def live_run(**state):
    cloud = cloud_with(**state)
    tick(cloud)
    return cloud


def cancel_run(cloud, run=RUN, **given):
    return cloud.run(cancel(run, acting_as("cli"), by="ben", poll_s=3, **given)).attempt.closed


def test_cancel_waits_until_the_server_is_gone():
    cloud = live_run(shutdown_s=30)
    assert cancel_run(cloud).outcome == "cancelled"
    assert {server.state for server in cloud.servers.values()} == {"terminated"}
    assert closed(cloud)["outcome"] == "cancelled"
    assert not cloud.kill_schedules


def test_cancel_of_a_finished_run_is_refused():
    cloud = live_run()
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    with pytest.raises(NotFoundError, match="over already"):
        cancel_run(cloud)


def test_run_that_ended_by_itself_first_keeps_its_outcome():
    cloud = live_run()
    cloud.run_agent(next(iter(cloud.servers)))
    assert cancel_run(cloud).outcome == "succeeded"


def test_server_that_takes_long_to_go_is_left_to_the_sweeper():
    cloud = live_run(shutdown_s=GONE_WITHIN_S + 100)
    began = cloud.now
    with pytest.raises(UnfinishedError, match="cancel requested; not over yet"):
        cancel_run(cloud)
    assert GONE_WITHIN_S <= (cloud.now - began).total_seconds() < GONE_WITHIN_S + 10
    cloud.pass_time(200)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "cancelled"


def test_cancel_of_a_retry_ends_the_second_attempt():
    cloud = live_run()
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    asked = Retry(request="again", run=RUN)
    cloud.run(launch(asked, acting_as("launcher")))
    assert cancel_run(cloud).outcome == "cancelled"
    assert names.attempt_key(RUN, 2, "cancel") in cloud.objects
    assert names.attempt_key(RUN, 1, "cancel") not in cloud.objects
    assert closed(cloud)["outcome"] == "failed"


def started_run(**state):
    cloud = live_run(**state)
    [server] = cloud.servers
    cloud.start_job(server)
    return cloud, server


def agents_obey(cloud):
    """Let the servers see what they were told, each time that the CLI waits."""
    sleep = cloud.sleep

    def sleeping(call):
        for server in list(cloud.servers):
            cloud.obey_cancel(server)
        sleep(call)

    cloud.sleep = sleeping


def test_cancel_waits_for_the_job_and_keeps_what_it_wrote():
    cloud, _ = started_run()
    agents_obey(cloud)
    facts = cloud.run(cancel(RUN, acting_as("cli"), by="ben", poll_s=3))
    assert facts.attempt.closed.outcome == "cancelled"
    assert [output.path for output in facts.attempt.outputs] == ["out/part.txt"]
    assert cloud.terminate_calls == []


def test_cancel_ends_a_server_that_does_not_obey():
    cloud, server = started_run()
    began = cloud.now
    assert cancel_run(cloud).outcome == "cancelled"
    assert cloud.terminate_calls == [server]
    assert 300 <= (cloud.now - began).total_seconds() < 310


def test_cancel_now_waits_for_no_job():
    cloud, server = started_run()
    began = cloud.now
    assert cancel_run(cloud, at_once=True).outcome == "cancelled"
    assert cloud.terminate_calls == [server]
    assert cloud.now - began < timedelta(seconds=10)


def test_cancel_now_hurries_an_earlier_cancel():
    cloud, server = started_run(shutdown_s=5)
    waiting = Stepper(cloud, cancel(RUN, acting_as("cli"), by="ben", poll_s=3))
    step_past(waiting, lambda call: isinstance(call, Sleep))
    assert cancel_run(cloud, at_once=True).outcome == "cancelled"
    while not waiting.over:
        waiting.step()
    assert waiting.outcome().attempt.closed.outcome == "cancelled"
    assert cloud.terminate_calls == [server]


@pytest.mark.parametrize("when", ["before", "after"])
def test_cancel_with_any_one_answer_lost_ends_the_same(when):
    ready = live_run(shutdown_s=20)
    first = ready.calls_answered
    cancel_run(ready)
    for number in range(first + 1, ready.calls_answered + 1):
        cloud = live_run(shutdown_s=20)
        cloud.faults[number] = when
        try:
            cancel_run(cloud)
        except Unclear:
            with suppress(NotFoundError):  # the first cancel may have succeeded
                cancel_run(cloud)
        assert closed(cloud)["outcome"] == "cancelled", f"call {number}"
        assert {server.state for server in cloud.servers.values()} == {"terminated"}
