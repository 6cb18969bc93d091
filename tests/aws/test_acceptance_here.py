"""The acceptance trial itself, on the local cloud: the same code as on an account, and what it leaves when it is cut off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from acceptance import left, spend
from acceptance.place import on_this_machine

ACCOUNT = "000000000000"
TRIAL = [sys.executable, "-m", "acceptance", "--account", ACCOUNT]


@dataclass
class Here:
    """A folder with a local cloud, and the trial run on it."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        found = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        return {**os.environ, "PYTHONPATH": found.rstrip(os.pathsep)}

    def start(self, *words: str, account: str = ACCOUNT) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*TRIAL[:-1], account, "--local", str(self.folder), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, account: str = ACCOUNT) -> tuple[int, str, str]:
        process = self.start(*words, account=account)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err

    def left(self) -> list[left.Left]:
        return left.found(on_this_machine(self.folder, ACCOUNT, "eu-west-1"))

    def client(self, service: str) -> Any:
        return on_this_machine(self.folder, ACCOUNT, "eu-west-1").client(service)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    folder = tmp_path_factory.mktemp("acceptance")
    command = [sys.executable, "-m", "dayfly", "local"]
    up = subprocess.run([*command, "up"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert up.returncode == 0, up.stderr
    yield Here(folder)
    subprocess.run([*command, "down"], cwd=folder, capture_output=True, timeout=120, check=False)


@pytest.mark.cloud
@pytest.mark.slow
def test_every_point_is_seen_as_expected_here_and_nothing_is_left(here: Here) -> None:
    code, out, err = here.run()
    assert code == 0, err + out
    document = json.loads(out)
    verdicts = {point["name"]: point["verdict"] for point in document["points"]}
    assert len(verdicts) == 6
    assert set(verdicts.values()) == {"as expected"}
    assert document["left"] == []
    assert Decimal(document["at most"]["sum"].removeprefix("$")) <= spend.CAP
    replay = document["points"][1]["seen"]
    assert replay["servers in all"] == 1
    assert ACCOUNT not in out
    assert here.left() == []
    assert not (here.folder / "dayfly.toml").exists()


def killed_at(here: Here, words: str) -> None:
    """Starts a trial and kills it, hard, as soon as it has said `words`."""
    process = here.start()
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if line.startswith(words):
                return
        pytest.fail(f"the trial never said {words!r}")
    finally:
        process.kill()
        process.wait(timeout=30)
        process.stderr.close()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.cloud
@pytest.mark.slow
def test_what_a_killed_trial_leaves_is_found_and_removed_by_clean(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPTANCE_LINGER_S", "300")  # its server does not go by itself meanwhile
    killed_at(here, "the same request again")
    kinds = {one.kind for one in here.left()}
    assert {"server", "launch template", "role", "instance profile", "bucket"} <= kinds
    refused, _out, err = here.run()
    assert refused == 2
    assert "--clean" in err
    code, _out, err = here.run("--clean")
    assert code == 0, err
    assert err.endswith("left     nothing\n")
    nothing_is_left(here)


@pytest.mark.cloud
@pytest.mark.slow
def test_a_trial_killed_in_its_whole_run_leaves_nothing_that_clean_does_not_find(here: Here) -> None:
    killed_at(here, "dayfly run hello")
    assert "stack" in {one.kind for one in here.left()}
    code, _out, err = here.run("--clean")
    assert code == 0, err
    nothing_is_left(here)


def nothing_is_left(here: Here) -> None:
    """Looked at with plain calls, not with those that `--clean` itself looks by."""
    shown = here.client("ec2").describe_instances()["Reservations"]
    servers = [one for group in shown for one in group["Instances"] if one["State"]["Name"] != "terminated"]
    assert servers == []
    assert here.client("ec2").describe_launch_templates()["LaunchTemplates"] == []
    assert [one for one in here.client("s3").list_buckets()["Buckets"] if "accept-" in one["Name"]] == []
    assert [one for one in here.client("iam").list_roles()["Roles"] if "accept-" in one["RoleName"]] == []
    assert here.client("iam").list_instance_profiles()["InstanceProfiles"] == []
    stacks = here.client("cloudformation").describe_stacks()["Stacks"]
    assert [one["StackName"] for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"] == []
    groups = here.client("scheduler").list_schedule_groups()["ScheduleGroups"]
    assert [one["Name"] for one in groups if "accept-" in one["Name"]] == []


@pytest.mark.cloud
@pytest.mark.slow
def test_an_interrupted_trial_cleans_up_before_it_ends(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPTANCE_LINGER_S", "300")
    process = here.start()
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if line.startswith("the same request again"):
            process.terminate()
            break
    out, err = process.communicate(timeout=300)
    document = json.loads(out)
    assert process.returncode == 1, "".join(said) + err
    assert document["trouble"] == "interrupted"
    assert document["left"] == []
    nothing_is_left(here)


@pytest.mark.cloud
def test_another_account_than_the_one_named_is_refused(here: Here) -> None:
    code, out, err = here.run(account="123456789012")
    assert code == 2
    assert "not 123456789012" in err
    assert out == ""


@pytest.mark.cloud
def test_under_a_cap_of_nothing_no_step_is_run_and_each_says_why(here: Here) -> None:
    code, out, _err = here.run("--cap", "0")
    document = json.loads(out)
    assert code == 1
    assert {point["verdict"] for point in document["points"]} == {"not run"}
    assert all(point["seen"]["why"] for point in document["points"])
    assert "passes $0" in document["points"][0]["seen"]["why"]
    assert document["at most"]["steps"] == []


def test_a_cap_above_five_cents_is_refused() -> None:
    done = subprocess.run(
        [*TRIAL, "--cap", "0.06"], env=Here(Path()).environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "0.05" in done.stderr


def test_without_an_account_named_nothing_is_done() -> None:
    done = subprocess.run(
        TRIAL[:-2], env=Here(Path()).environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--account" in done.stderr


def test_an_endpoint_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = subprocess.run(TRIAL, env=Here(Path()).environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "AWS_ENDPOINT_URL" in done.stderr


def test_a_type_without_a_known_price_is_not_let() -> None:
    with pytest.raises(spend.TooDear, match=r"x9z\.large"):
        spend.servers(1, ("t4g.nano", "x9z.large"), 10, 8)


def test_all_steps_together_stay_under_the_cap_and_one_more_would_not() -> None:
    ledger = spend.Ledger()
    ledger.take("own", spend.servers(4, ("t4g.nano",), 15, 8))
    ledger.take("whole", spend.servers(1, ("c7g.medium", "c6g.medium"), 20, 8), spend.functions(600, 512))
    assert ledger.total < spend.CAP
    before = ledger.total
    with pytest.raises(spend.TooDear, match="passes"):
        ledger.take("more", spend.servers(1, ("c6g.medium",), 20, 8))
    assert ledger.total == before


def test_the_bound_of_a_server_holds_its_dearest_type_address_and_disk() -> None:
    bound = spend.servers(1, ("t4g.nano", "c6g.medium"), 60, 8)
    assert bound.dollars > spend.HOUR["c6g.medium"] + spend.ADDRESS_HOUR


@pytest.mark.aws
def test_the_trial_on_a_real_account() -> None:
    if os.environ.get("DAYFLY_TEST_AWS") != "1" or not REAL.get("DAYFLY_ACCEPTANCE_ACCOUNT"):
        pytest.skip("needs DAYFLY_TEST_AWS=1, DAYFLY_ACCEPTANCE_ACCOUNT=ID and its credentials; costs up to $0.05")
    found = str(Path(__file__).parent)
    done = subprocess.run(
        [*TRIAL[:-1], REAL["DAYFLY_ACCEPTANCE_ACCOUNT"]],
        env={**REAL, "PYTHONPATH": found},
        stdout=subprocess.PIPE,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout


REAL = dict(os.environ)
"""The environment as it was given: what other tests may not see of it, this one needs."""
