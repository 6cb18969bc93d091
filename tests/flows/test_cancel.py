"""Runs that a person cancels."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dayfly.core import names
from dayfly.core.states import State
from dayfly.flows.walk import walk
from model.cloud import ROLE, ModelCloud, acting_as, cloud_with, version
from model.steps import DAY, RUN, cancel, closed, sweep, tick


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


def started_run(**state) -> tuple[ModelCloud, str]:
    """Return a cloud with a run whose command has started, and its server."""
    cloud = cloud_with(version(time_limit_s=3600), **state)
    tick(cloud)
    [server] = cloud.servers
    cloud.start_job(server)
    return cloud, server


def walk_as_cli(cloud: ModelCloud):
    return cloud.run(walk(RUN, acting_as("cli:ben")))


def test_server_of_a_started_job_is_told_and_not_ended():
    cloud, server = started_run()
    cancel(cloud)
    walked = walk_as_cli(cloud)
    assert names.go_cancel_key(ROLE, server) in cloud.objects
    assert cloud.terminate_calls == []
    assert walked.step.state is State.RUNNING
    assert "its command is to end" in walked.step.reason


def test_cancelled_job_keeps_what_it_had_written():
    cloud, server = started_run()
    cancel(cloud)
    walk_as_cli(cloud)
    assert cloud.obey_cancel(server)
    walked = walk_as_cli(cloud)
    assert walked.step.state is State.FINISHED
    assert closed(cloud)["outcome"] == "cancelled"
    assert closed(cloud)["ended_by"] == "agent: cancelled"
    assert [output.path for output in walked.facts.attempt.outputs] == ["out/part.txt"]
    assert cloud.terminate_calls == []
    assert "latest/pi.json" not in cloud.objects


def test_server_that_does_not_obey_is_ended_after_five_minutes():
    cloud, server = started_run()
    cancel(cloud)
    sweep(cloud)
    cloud.pass_time(299)
    sweep(cloud)
    assert cloud.terminate_calls == []
    cloud.pass_time(2)
    sweep(cloud)
    assert cloud.terminate_calls == [server]
    assert closed(cloud)["outcome"] == "cancelled"


def test_cancel_now_ends_a_started_job_at_once():
    cloud, server = started_run()
    cancel(cloud)
    walk_as_cli(cloud)
    actor = acting_as("cli:ben")
    at_once = replace(actor, intervals=replace(actor.intervals, after_cancel=timedelta(0)))
    cloud.run(walk(RUN, at_once))
    assert cloud.terminate_calls == [server]


def test_unreadable_cancel_ends_the_server_at_once():
    cloud, server = started_run()
    cloud.objects[names.attempt_key(RUN, 1, "cancel")] = b"{"
    walk_as_cli(cloud)
    assert cloud.terminate_calls == [server]


def test_cancelled_server_keeps_its_kill_schedule_until_it_is_gone():
    cloud, server = started_run()
    cloud.kill_schedules.clear()
    cancel(cloud)
    sweep(cloud)
    assert server in cloud.kill_schedules


def test_launcher_tells_no_server_to_end():
    cloud, server = started_run()
    cancel(cloud)
    cloud.run(walk(RUN, acting_as("launcher")))
    assert names.go_cancel_key(ROLE, server) not in cloud.objects


def test_job_that_succeeds_beside_a_cancel_succeeded():
    cloud, server = started_run()
    cancel(cloud)
    walk_as_cli(cloud)
    cloud.run_agent(server)
    walk_as_cli(cloud)
    assert closed(cloud)["outcome"] == "succeeded"


def test_cancel_reported_by_a_server_alone_is_not_believed():
    cloud, server = started_run()
    cloud.objects[names.go_cancel_key(ROLE, server)] = b"{}"
    cloud.obey_cancel(server)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "failed"


def test_removed_run_leaves_no_cancel_behind():
    cloud, server = started_run()
    cancel(cloud)
    walk_as_cli(cloud)
    cloud.obey_cancel(server)
    sweep(cloud)
    cloud.pass_time(3 * DAY)
    sweep(cloud, keep_s=DAY)
    assert not [key for key in cloud.objects if key.startswith(("go/", "runs/"))]
