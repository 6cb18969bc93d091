"""Runs that somebody wished for by hand, on the model cloud: versions, retries, cancels."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchRequest
from dayfly.core.records import Cancel, Opened, encode
from dayfly.core.step import State
from dayfly.core.versions import write_version
from dayfly.errors import NotFoundError
from dayfly.flows.launch import launch
from dayfly.flows.walk import walk
from model.cloud import TICK, acting_as, cloud_with, version
from model.steps import RUN, closed, sweep, tick


def test_a_tick_uses_the_version_in_force_at_the_tick_and_keeps_it():
    old, new = version(), version(since=TICK + timedelta(seconds=1), command="new")
    cloud = cloud_with(old, new)
    tick(cloud)
    [server] = cloud.servers
    assert cloud.go_of(server)["command"] == old.job.command


def test_a_run_by_hand_takes_the_next_second_when_another_wish_has_this_one():
    cloud = cloud_with(version(overlap="allow"))
    first = cloud.run(launch(LaunchRequest(job="pi", request="a", by="ben"), acting_as("launcher")))
    second = cloud.run(launch(LaunchRequest(job="pi", request="b", by="anna"), acting_as("launcher")))
    again = cloud.run(launch(LaunchRequest(job="pi", request="a", by="ben"), acting_as("launcher")))
    assert second.facts.run.tick == first.facts.run.tick + timedelta(seconds=1)
    assert again.facts.run == first.facts.run
    assert len(cloud.servers) == 2


@pytest.mark.parametrize("publish", [False, True])
def test_a_run_by_hand_moves_latest_only_when_published(publish):
    cloud = cloud_with()
    launched = cloud.run(launch(LaunchRequest(job="pi", request="a", publish=publish), acting_as("launcher")))
    cloud.work(next(iter(cloud.servers)))
    sweep(cloud)
    assert closed(cloud, launched.facts.run)["outcome"] == "succeeded"
    assert ("latest/pi.json" in cloud.objects) is publish


def test_env_given_by_hand_reaches_the_job_and_is_recorded():
    cloud = cloud_with(version(env={"MODE": "full", "A": "1"}))
    launched = cloud.run(launch(LaunchRequest(job="pi", request="a", env={"MODE": "fast"}), acting_as("launcher")))
    assert cloud.go_of(next(iter(cloud.servers)))["env"] == {"MODE": "fast", "A": "1"}
    assert cloud.json(names.claim_key(launched.facts.run))["env"] == {"MODE": "fast"}


def test_a_human_who_names_what_is_not_deployed_is_told_so():
    with pytest.raises(NotFoundError, match="no version of nope"):
        cloud_with().run(launch(LaunchRequest(job="nope", request="a"), acting_as("launcher")))


def test_latest_never_moves_back_to_an_older_tick():
    cloud = cloud_with(version(overlap="allow"))
    tick(cloud)
    cloud.pass_time(60)
    newer = names.RunName("pi", TICK + timedelta(minutes=1))
    tick(cloud, tick=newer.tick, request="next")
    first, second = cloud.servers
    cloud.work(second)
    sweep(cloud)
    cloud.work(first)
    sweep(cloud)
    assert closed(cloud)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["run"] == str(newer)


def test_retry_makes_attempt_2_with_what_is_deployed_now_and_the_outcome_is_the_last_ones():
    cloud = cloud_with()
    tick(cloud)
    cloud.work(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    new = version(since=cloud.now, command="mended")
    cloud.objects[new.key] = write_version(new)
    cloud.pass_time(5)
    cloud.run(launch(LaunchRequest(job="pi", retry=RUN, request="r1"), acting_as("launcher")))
    second = list(cloud.servers)[1]
    assert cloud.go_of(second)["command"] == "mended"
    cloud.work(second)
    sweep(cloud)
    assert closed(cloud, attempt=2)["outcome"] == "succeeded"
    assert cloud.json("latest/pi.json")["attempt"] == 2
    done = [names.done_name(key) for key in cloud.objects if key.startswith("done/")]
    assert max(done, key=lambda name: name.attempt).outcome == "succeeded"
    assert not [key for key in cloud.objects if key.startswith("open/")]


def test_retry_with_the_same_code_runs_what_the_last_attempt_ran():
    cloud = cloud_with()
    tick(cloud)
    cloud.work(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    new = version(since=cloud.now, command="mended")
    cloud.objects[new.key] = write_version(new)
    cloud.run(launch(LaunchRequest(job="pi", retry=RUN, request="r1", same_code=True), acting_as("launcher")))
    assert cloud.go_of(list(cloud.servers)[1])["command"] == "pie 10 out/pi.txt"


def test_a_run_that_is_not_over_can_not_be_retried():
    cloud = cloud_with()
    tick(cloud)
    with pytest.raises(NotFoundError, match="is not over"):
        cloud.run(launch(LaunchRequest(job="pi", retry=RUN, request="r1"), acting_as("launcher")))


def test_a_cancel_ends_the_server_and_the_outcome_is_cancelled():
    cloud = cloud_with()
    tick(cloud)
    cloud.objects[names.attempt_key(RUN, 1, "cancel")] = encode(Cancel(at=cloud.now, by="ben"))
    walked = cloud.run(walk(RUN, acting_as("cli:ben")))
    assert cloud.ends == list(cloud.servers)
    assert walked.step.state is State.FINISHED
    assert closed(cloud)["outcome"] == "cancelled"


def test_the_launcher_ends_no_server_even_for_a_cancelled_run():
    cloud = cloud_with()
    tick(cloud)
    cloud.objects[names.attempt_key(RUN, 1, "cancel")] = encode(Cancel(at=cloud.now, by="ben"))
    tick(cloud, request="again")
    assert cloud.ends == []


def test_the_cli_asks_ec2_for_nothing_and_leaves_the_launch_to_others():
    cloud = cloud_with()
    cloud.objects[names.open_key(RUN)] = encode(Opened(run=str(RUN), source="schedule", at=cloud.now, request="x"))
    walked = cloud.run(walk(RUN, acting_as("cli:ben")))
    assert walked.step.state is State.UNSLOTTED
    assert not cloud.servers
