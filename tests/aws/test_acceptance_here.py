"""The acceptance trial itself, on the local cloud: the same code as on an account, and what it leaves when it is cut off."""

from __future__ import annotations

import json
import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from acceptance import spend
from acceptance.place import Refusal, on_aws
from trial_here import ACCOUNT, REGION, TRIAL, Here, killed_at, nothing_is_left


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
    done = subprocess.run(
        [*TRIAL, "--region", REGION],
        env=Here(Path()).environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "AWS_ENDPOINT_URL" in done.stderr


@pytest.mark.parametrize(
    "address", ["https://example.com", "http://iam.amazonaws.com", "https://amazonaws.com.example.com"]
)
def test_another_host_in_the_profile_for_one_service_is_refused(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[default]\nregion = {REGION}\nservices = other\n[services other]\niam =\n  endpoint_url = {address}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(Refusal, match=r"iam would be asked at .* which is not AWS"):
        on_aws(ACCOUNT, None)


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
    account = REAL.get("DAYFLY_TEST_AWS_ACCOUNT", "")
    if REAL.get("DAYFLY_TEST_AWS") != "1" or not re.fullmatch(r"\d{12}", account):
        pytest.skip(HOW)
    found = str(Path(__file__).parent)
    done = subprocess.run(
        [*TRIAL[:-1], account],
        env={**REAL, "PYTHONPATH": found},
        stdout=subprocess.PIPE,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout


HOW = (
    "needs DAYFLY_TEST_AWS=1, DAYFLY_TEST_AWS_ACCOUNT=123456789012, its credentials and a region, and is asked for by its name: "
    "tests/aws/test_acceptance_here.py::test_the_trial_on_a_real_account. Costs a cent as a rule, $0.05 at most if run to its end"
)
REAL = dict(os.environ)
"""The environment as it was given: what other tests may not see of it, this one needs."""
