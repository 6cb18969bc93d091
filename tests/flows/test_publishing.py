"""Results where others look: copied whole, the manifest last, `latest` forward only; through crashes, refusals and two sweeps at once."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from dayfly.core import names
from dayfly.core.event import LaunchAt, LaunchNow
from dayfly.core.record_json import decode, encode
from dayfly.core.records import Ended, Output
from dayfly.errors import Unclear
from dayfly.flows import calls
from dayfly.flows.launch import launch
from dayfly.flows.sweep import sweep_project
from dayfly.flows.walk import walk
from model.cloud import TICK, TWO_MINUTES, ModelCloud, acting_as, cloud_with, version
from model.stepper import Stepper
from model.steps import DAY, RUN, retry, sweep, tick

FOLDER = "lake/2026-11-24T22:41:00Z/1/"
LATEST = "lake/latest/manifest.json"


def job(results: str = "s3://acme/lake/", **changes: object):
    return version(results=results, schedule=TWO_MINUTES, **changes)


def good_run(cloud: ModelCloud, minutes: int = 0) -> None:
    tick(cloud, tick=TICK + timedelta(minutes=minutes), request=f"d{minutes}")
    cloud.run_agent(list(cloud.servers)[-1])


def add_outputs(cloud: ModelCloud, count: int) -> None:
    """Let the newest server have stored this many files."""
    [key] = [key for key in cloud.objects if key.endswith("/ended.json")]
    prefix = key.removesuffix("ended.json") + "output/"
    ended = decode(Ended, cloud.objects[key])
    made = []
    for number in range(count):
        body = str(number).encode()
        path = f"out/{number:05}.txt"
        cloud.objects[prefix + path] = body
        made.append(Output(path=path, key=prefix + path, size=len(body), sha256=hashlib.sha256(body).hexdigest()))
    cloud.objects[key] = encode(replace(ended, outputs=(*ended.outputs, *made)))


def latest(cloud: ModelCloud) -> dict:
    return json.loads(cloud.foreign["acme"][LATEST])


def published(cloud: ModelCloud) -> dict:
    return cloud.json(names.attempt_key(RUN, 1, "published"))


def test_good_result_stands_in_its_folder_with_a_manifest():
    cloud = cloud_with(job())
    good_run(cloud)
    sweep(cloud)
    body = cloud.foreign["acme"][FOLDER + "out/pi.txt"]
    manifest = json.loads(cloud.foreign["acme"][FOLDER + "manifest.json"])
    file = {"path": "out/pi.txt", "key": FOLDER + "out/pi.txt", "size": 5, "sha256": hashlib.sha256(body).hexdigest()}
    assert manifest["files"] == [file]
    assert (manifest["run"], manifest["folder"]) == (str(RUN), f"s3://acme/{FOLDER}")
    assert latest(cloud) == manifest
    assert (published(cloud)["folder"], published(cloud)["latest"]) == (f"s3://acme/{FOLDER}", True)
    assert names.open_key(RUN) not in cloud.objects


def test_results_of_the_projects_own_bucket_stand_under_the_job():
    cloud = cloud_with(job("project"))
    good_run(cloud)
    sweep(cloud)
    assert "results/pi/2026-11-24T22:41:00Z/1/out/pi.txt" in cloud.objects
    assert cloud.json("results/pi/latest/manifest.json")["run"] == str(RUN)


def test_older_tick_run_later_gets_its_folder_and_not_latest():
    cloud = cloud_with(job(start_within_s=60))
    cloud.pass_time(100)
    tick(cloud)
    good_run(cloud, minutes=1)
    sweep(cloud)
    cloud.run(launch(LaunchAt(job="pi", tick=TICK, source="backfill", request="l"), acting_as("launcher")))
    cloud.run_agent(list(cloud.servers)[-1])
    sweep(cloud)
    assert FOLDER + "manifest.json" in cloud.foreign["acme"]
    assert latest(cloud)["tick"] == "2026-11-24T22:42:00Z"
    assert published(cloud)["latest"] is False


def test_second_attempt_of_a_tick_replaces_no_file_of_the_first():
    cloud = cloud_with(job())
    good_run(cloud)
    sweep(cloud)
    before = dict(cloud.foreign["acme"])
    retry(cloud)
    cloud.run_agent(list(cloud.servers)[-1])
    sweep(cloud)
    after = cloud.foreign["acme"]
    assert {key: after[key] for key in before if key != LATEST} == {k: v for k, v in before.items() if k != LATEST}
    assert latest(cloud)["attempt"] == 2


@pytest.mark.parametrize(("exit_code", "source"), [(3, "schedule"), (0, "hand")])
def test_failed_runs_and_runs_by_hand_are_not_copied(exit_code, source):
    cloud = cloud_with(job())
    if source == "hand":
        cloud.run(launch(LaunchNow(job="pi", request="h"), acting_as("launcher")))
    else:
        tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code)
    sweep(cloud)
    assert not cloud.foreign


def test_cli_leaves_the_copy_to_the_sweeper_and_the_run_is_over():
    cloud = cloud_with(job())
    good_run(cloud)
    assert cloud.run(walk(RUN, acting_as("cli:ben"))).step.settled
    assert not cloud.foreign
    sweep(cloud)
    assert latest(cloud)["run"] == str(RUN)


class SlowCloud(ModelCloud):
    """A cloud in which each copy takes 25 seconds."""

    def copy(self, call: calls.Copy) -> None:
        self.pass_time(25)
        super().copy(call)


def test_long_copy_goes_on_in_the_next_sweep_where_it_stopped():
    cloud = SlowCloud(now=TICK + timedelta(seconds=1))
    cloud.objects = cloud_with(job()).objects
    good_run(cloud)
    add_outputs(cloud, 300)
    sweep(cloud)
    copied = cloud.json(names.attempt_key(RUN, 1, "publishing"))["copied"]
    assert 0 < copied < 301
    assert not any(key.endswith("manifest.json") for key in cloud.foreign["acme"])
    for _ in range(3):
        cloud.pass_time(300)
        sweep(cloud)
    assert len(latest(cloud)["files"]) == 301
    assert names.open_key(RUN) not in cloud.objects


def test_refusing_bucket_is_tried_again_and_given_up_after_a_day():
    cloud = cloud_with(job(), denied={"acme"})
    good_run(cloud)
    sweep(cloud)
    assert cloud.json(names.attempt_key(RUN, 1, "publishing"))["why"] == "AccessDenied: no rights in acme"
    assert names.open_key(RUN) in cloud.objects
    cloud.pass_time(DAY + 60)
    sweep(cloud)
    assert published(cloud)["why"] == "AccessDenied: no rights in acme"
    assert names.open_key(RUN) not in cloud.objects


def test_bucket_that_no_longer_refuses_gets_the_result():
    cloud = cloud_with(job(), denied={"acme"})
    good_run(cloud)
    sweep(cloud)
    cloud.denied.clear()
    cloud.pass_time(300)
    sweep(cloud)
    assert latest(cloud)["run"] == str(RUN)
    assert published(cloud)["why"] == ""


def test_refusing_bucket_holds_no_slot():
    cloud = cloud_with(job(), denied={"acme"})
    good_run(cloud)
    sweep(cloud)
    cloud.pass_time(60)
    good_run(cloud, minutes=1)
    assert len(cloud.servers) == 2


def whole(cloud: ModelCloud) -> None:
    """Every manifest names only files that are there, whole."""
    objects = cloud.foreign.get("acme", {})
    for key, body in objects.items():
        if key.endswith("manifest.json"):
            for file in json.loads(body)["files"]:
                assert hashlib.sha256(objects[file["key"]]).hexdigest() == file["sha256"]


def test_no_manifest_ever_names_a_file_that_is_not_there():
    for seed in range(40):
        cloud, chance = cloud_with(job()), Random(seed)
        good_run(cloud)
        add_outputs(cloud, 90)
        sweeps = [Stepper(cloud, sweep_project(acting_as("sweeper"), 90 * DAY)) for _ in range(2)]
        for _ in range(chance.randint(10, 200)):
            going = [each for each in sweeps if not each.over]
            if not going:
                break
            if chance.random() < 0.05:
                cloud.faults = {cloud.calls_answered + 1: chance.choice(["before", "after"])}
            chance.choice(going).step()
            whole(cloud)
        cloud.faults = {}
        cloud.pass_time(300)
        sweep(cloud)
        whole(cloud)
        assert len(latest(cloud)["files"]) == 91
        assert names.open_key(RUN) not in cloud.objects


def test_every_answer_lost_once_publishes_whole():
    for number in range(1, 70):
        for when in ("before", "after"):
            cloud = cloud_with(job())
            good_run(cloud)
            cloud.faults = {cloud.calls_answered + number: when}
            with suppress(Unclear):
                sweep(cloud)
            cloud.faults = {}
            cloud.pass_time(300)
            sweep(cloud)
            whole(cloud)
            assert latest(cloud)["run"] == str(RUN)
            assert names.open_key(RUN) not in cloud.objects


def test_old_folders_go_with_their_runs_and_never_what_latest_names():
    cloud = cloud_with(job("project"))
    good_run(cloud)
    sweep(cloud)
    cloud.pass_time(60)
    good_run(cloud, minutes=1)
    sweep(cloud)
    cloud.pass_time(3 * DAY)
    sweep(cloud, keep_s=DAY)
    folders = {key.split("/")[2] for key in cloud.objects if key.startswith("results/")}
    assert folders == {"2026-11-24T22:42:00Z", "latest"}


def test_foreign_folders_are_never_removed():
    cloud = cloud_with(job())
    good_run(cloud)
    sweep(cloud)
    cloud.pass_time(60)
    good_run(cloud, minutes=1)
    sweep(cloud)
    cloud.pass_time(3 * DAY)
    sweep(cloud, keep_s=DAY)
    assert FOLDER + "out/pi.txt" in cloud.foreign["acme"]
