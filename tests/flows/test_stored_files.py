"""Bundles, agents, the functions' zips and templates: the sweeper removes those that nothing names, and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dayfly.core import names
from dayfly.core.model import Agent, Removed
from dayfly.core.stored_files import GRACE, MIN_AGE
from dayfly.core.versions import write_version
from dayfly.flows.stored_files import remove_unused_files
from dayfly.flows.sweep import sweep_project
from model.cloud import START, TICK, ModelCloud, acting_as, cloud_with, version
from model.steps import DAY, retry, tick

KEEP = 90 * DAY
OWN = ("functions/own.zip",)


def using(code: str, **changes):
    """Return a version of `pi` whose bundle and agent are named after `code`."""
    there = version(**changes)
    assert there.code is not None
    bundle = replace(there.code, bundle=f"bundles/{code}.zip")
    return replace(there, code=bundle, agent=Agent(key=f"agents/{code}.zip", sha256=code, size=3))


def put(cloud: ModelCloud, *versions) -> None:
    """Write versions, and the files that they name."""
    for one in versions:
        cloud.objects[one.key] = write_version(one)
        if not isinstance(one, Removed):
            cloud.objects |= {one.code.bundle: b"zip", one.agent.key: b"zip"}


def cloud_of(*versions) -> ModelCloud:
    cloud = cloud_with()
    put(cloud, *versions)
    cloud.objects |= {"functions/own.zip": b"zip", "functions/old.zip": b"zip", "functions/template-1.json": b"{}"}
    return cloud


def files(cloud: ModelCloud) -> set[str]:
    return {key for key in cloud.objects if key.startswith((names.BUNDLES, names.AGENTS, names.FUNCTIONS))}


def sweep(cloud: ModelCloud, own: tuple[str, ...] = OWN):
    return cloud.run(sweep_project(acting_as("sweeper"), KEEP, own))


def of(*codes: str) -> set[str]:
    return {f"{kind}/{code}.zip" for code in codes for kind in ("bundles", "agents")}


def test_files_that_nothing_names_are_removed():
    cloud = cloud_of(using("now"))
    cloud.objects |= {"bundles/stray.zip": b"", "agents/stray.zip": b""}
    result = sweep(cloud)
    assert files(cloud) == of("now") | set(OWN)
    assert result.files == 4


def test_file_that_was_stored_lately_stays():
    cloud = cloud_of(using("now"))
    cloud.objects["bundles/deploying.zip"] = b""
    cloud.written["bundles/deploying.zip"] = cloud.now - MIN_AGE + timedelta(minutes=1)
    sweep(cloud)
    assert "bundles/deploying.zip" in cloud.objects
    cloud.pass_time(DAY)
    sweep(cloud)
    assert "bundles/deploying.zip" not in cloud.objects


def test_files_of_versions_that_a_kept_run_may_have_used_stay():
    cloud = cloud_of(using("old"), using("new", since=START + timedelta(days=1)))
    cloud.now = START + timedelta(days=1, seconds=KEEP) + GRACE - timedelta(hours=1)
    sweep(cloud)
    assert files(cloud) >= of("old", "new")
    cloud.pass_time(DAY)
    sweep(cloud)
    assert files(cloud) == of("new") | set(OWN)


def test_files_of_a_removed_job_go_after_its_runs():
    gone = Removed(name="pi", effective_from=START + timedelta(days=1), deployed_by="ben")
    cloud = cloud_of(using("old"), gone)
    cloud.now = START + timedelta(days=2)
    sweep(cloud)
    assert files(cloud) >= of("old")
    cloud.now = START + timedelta(days=2, seconds=KEEP) + GRACE
    sweep(cloud)
    assert files(cloud) == set(OWN)


def test_files_of_a_version_of_the_future_stay():
    cloud = cloud_of(using("now"), using("next", since=START + timedelta(days=1)))
    sweep(cloud)
    assert files(cloud) >= of("now", "next")


def test_files_of_the_run_that_latest_names_stay():
    cloud = cloud_of(using("old"), using("new", since=START + timedelta(days=1)))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)))
    sweep(cloud)
    assert cloud.json("latest/pi.json")["run"].startswith("pi@")
    cloud.now = START + timedelta(days=300)
    sweep(cloud)
    assert files(cloud) >= of("old", "new")


def test_files_of_an_open_run_stay():
    cloud = cloud_of(using("old"), using("new", since=START + timedelta(days=1)))
    tick(cloud)
    later = START + timedelta(days=300)
    cloud.run(remove_unused_files(later, KEEP, OWN, (str(names.RunName("pi", TICK)),)))
    assert files(cloud) >= of("old", "new")
    cloud.run(remove_unused_files(later, KEEP, OWN, ()))
    assert files(cloud) == of("new") | set(OWN)


@pytest.mark.parametrize("bad", ["version", "latest"])
def test_nothing_is_removed_while_a_record_cannot_be_read(bad):
    one = using("now")
    cloud = cloud_of(one)
    cloud.objects[one.key if bad == "version" else "latest/pi.json"] = b"{"
    before = files(cloud)
    sweep(cloud)
    assert files(cloud) == before
    assert names.HEARTBEAT in cloud.objects


def test_zips_of_functions_stay_when_their_own_are_unknown():
    cloud = cloud_of(using("now"))
    sweep(cloud, own=())
    assert {"functions/own.zip", "functions/old.zip"} <= files(cloud)


def test_file_that_is_stored_again_meanwhile_stays():
    cloud = cloud_of(using("now"))
    cloud.objects["bundles/back.zip"] = b"zip"
    seen = []

    class Storing(ModelCloud):
        def take_effect(self, call):
            if type(call).__name__ == "ListOlder":
                seen.append(call.prefix)
                if len(seen) == 4:  # the second look begins
                    self.written["bundles/back.zip"] = self.now
            return super().take_effect(call)

    there = Storing(now=cloud.now, objects=cloud.objects)
    there.run(sweep_project(acting_as("sweeper"), KEEP, OWN))
    assert len(seen) > 3
    assert "bundles/back.zip" in there.objects


def test_retry_of_a_kept_run_finds_its_files():
    cloud = cloud_of(using("now"))
    tick(cloud)
    cloud.run_agent(next(iter(cloud.servers)), exit_code=3)
    sweep(cloud)
    cloud.now += timedelta(days=80)
    sweep(cloud)
    retry(cloud)
    assert files(cloud) >= of("now")
