"""Runs that a person cancels."""

from __future__ import annotations

from dayfly.core import names
from dayfly.core.states import State
from dayfly.flows.walk import walk
from model.cloud import ModelCloud, acting_as, cloud_with
from model.steps import RUN, cancel, closed, sweep, tick


def test_cancel_ends_the_server_and_the_outcome_is_cancelled():
    cloud = cloud_with()
    tick(cloud)
    cancel(cloud)
    walked = cloud.run(walk(RUN, acting_as("cli:ben")))
    assert cloud.terminate_calls == list(cloud.servers)
    assert walked.step.state is State.FINISHED
    assert closed(cloud)["outcome"] == "cancelled"


def test_cancelled_server_is_ended_once_while_it_shuts_down():
    cloud = cloud_with(shutdown_s=40)
    tick(cloud)
    cancel(cloud)
    cloud.run(walk(RUN, acting_as("cli:ben")))
    sweep(cloud)
    assert len(cloud.terminate_calls) == 1
    assert names.HEARTBEAT in cloud.objects
    cloud.pass_time(41)
    sweep(cloud)
    assert cloud.json(names.attempt_key(RUN, 1, "closed"))["outcome"] == "cancelled"


def test_one_walk_ends_a_server_once_while_ec2_still_shows_it():
    class Slow(ModelCloud):
        def terminate_server(self, call):
            self.terminate_calls.append(call.server)

    deployed = cloud_with()
    cloud = Slow(now=deployed.now, objects=deployed.objects)
    tick(cloud)
    cancel(cloud)
    walked = cloud.run(walk(RUN, acting_as("cli:ben")))
    assert walked.step.state is State.MUST_END
    assert cloud.terminate_calls == list(cloud.servers)
