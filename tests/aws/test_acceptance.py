"""The acceptance trial on the local cloud: the same code as on an account, and what it leaves when interrupted."""

from __future__ import annotations

import json
import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest
from acceptance import leftovers, spend
from acceptance.policy import policy
from acceptance.target import Refusal, new_name, on_aws
from local_trial import ACCOUNT, REGION, TRIAL, LocalTrial, check_nothing_left, kill_at


@pytest.mark.cloud
@pytest.mark.slow
@pytest.mark.parametrize("plan", ["paid", "free"])
def test_every_point_is_as_expected_and_nothing_is_left(trial: LocalTrial, plan: str) -> None:
    before = leftovers.linked_roles(trial.target())
    trial.conditions(plan=plan)
    code, out, err = trial.run()
    assert code == 0, err + out
    document = json.loads(out)
    verdicts = {point["name"]: point["verdict"] for point in document["points"]}
    assert len(verdicts) == 7
    assert set(verdicts.values()) == {"as expected"}
    assert document["left"] == []
    assert Decimal(document["at most"]["sum"].removeprefix("$")) <= spend.CAP
    for point in document["points"][1:3]:
        assert point["seen"]["servers in all"] == 1
    assert [role for role in document["stays"] if "Spot" not in role] == []
    assert bool(document["stays"]) == (before == set())
    assert ACCOUNT not in out
    assert trial.left() == []
    assert not (trial.folder / "dayfly.toml").exists()


@pytest.mark.cloud
@pytest.mark.slow
def test_clean_deletes_what_a_killed_trial_left(trial: LocalTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPTANCE_LINGER_S", "300")  # its server must not power off meanwhile
    name = kill_at(trial, "the same request again")
    kinds = {one.kind for one in trial.left(name)}
    assert {"server", "launch template", "role", "instance profile", "bucket"} <= kinds
    code, _out, err = trial.run("--clean", name)
    assert code == 0, err
    assert err.endswith("left     nothing\n")
    check_nothing_left(trial)


@pytest.mark.cloud
@pytest.mark.slow
def test_clean_deletes_what_a_killed_run_left(trial: LocalTrial) -> None:
    name = kill_at(trial, "dayfly run hello")
    assert "stack" in {one.kind for one in trial.left(name)}
    code, _out, err = trial.run("--clean", name)
    assert code == 0, err
    check_nothing_left(trial)


@pytest.mark.cloud
@pytest.mark.slow
def test_interrupted_trial_cleans_up(trial: LocalTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEPTANCE_LINGER_S", "300")
    process = trial.start()
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("the same request again"):
            process.terminate()
            break
    out, err = process.communicate(timeout=300)
    document = json.loads(out)
    assert process.returncode == 1, "".join(lines) + err
    assert document["trouble"] == "interrupted"
    assert document["left"] == []
    check_nothing_left(trial)


@pytest.mark.cloud
def test_colleagues_trial_is_left_alone_and_an_old_one_stops_the_next(trial: LocalTrial) -> None:
    def bucket(name: str) -> str:
        made = f"dayfly-{name}-probe-{ACCOUNT}-{REGION}"
        where = {"LocationConstraint": REGION}
        trial.client("s3").create_bucket(Bucket=made, CreateBucketConfiguration=where)
        return made

    old, young = bucket("accept-69240000abcd"), bucket(new_name())
    refused, _out, err = trial.run()
    assert refused == 2
    assert "--clean" in err
    code, _out, err = trial.run("--clean")
    assert code == 0, err
    assert "may be running; --clean accept-" in err
    assert [one["Name"] for one in trial.client("s3").list_buckets()["Buckets"]] == [young]
    assert old != young


@pytest.mark.cloud
@pytest.mark.slow
def test_printed_policy_is_enough_for_the_trials_own_calls(
    own_trial: LocalTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam, document = own_trial.client("iam"), json.dumps(policy(ACCOUNT, REGION))
    iam.create_user(UserName="ada")
    # A managed policy may have 6,144 characters, so this one is attached in parts.
    statements = json.loads(document)["Statement"]
    for number in range(0, len(statements), 8):
        part = json.dumps({"Version": "2012-10-17", "Statement": statements[number : number + 8]})
        made = iam.create_policy(PolicyName=f"acceptance-{number}", PolicyDocument=part)["Policy"]["Arn"]
        iam.attach_user_policy(UserName="ada", PolicyArn=made)
    key = iam.create_access_key(UserName="ada")["AccessKey"]
    monkeypatch.setenv("ACCEPTANCE_KEYS", f"{key['AccessKeyId']}:{key['SecretAccessKey']}")
    code, out, err = own_trial.run()
    assert code == 0, err + out


@pytest.mark.cloud
def test_account_that_was_not_named_is_refused(trial: LocalTrial) -> None:
    code, out, err = trial.run(account="123456789012")
    assert code == 2
    assert "not 123456789012" in err
    assert out == ""


@pytest.mark.cloud
def test_cap_of_zero_runs_no_step_and_says_why(trial: LocalTrial) -> None:
    code, out, _err = trial.run("--cap", "0")
    document = json.loads(out)
    assert code == 1
    assert {point["verdict"] for point in document["points"]} == {"not run"}
    assert all(point["seen"]["why"] for point in document["points"])
    assert "exceeds $0" in document["points"][0]["seen"]["why"]
    assert document["at most"]["steps"] == []


def test_cap_above_five_cents_is_refused() -> None:
    done = subprocess.run(
        [*TRIAL, "--cap", "0.06"],
        env=LocalTrial(Path()).environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "0.05" in done.stderr


def test_account_must_be_named() -> None:
    done = subprocess.run(
        TRIAL[:-2], env=LocalTrial(Path()).environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "--account" in done.stderr


def test_endpoint_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    done = subprocess.run(
        [*TRIAL, "--region", REGION],
        env=LocalTrial(Path()).environment,
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
def test_endpoint_in_the_profile_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text(
        f"[default]\nregion = {REGION}\nservices = other\n[services other]\niam =\n  endpoint_url = {address}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    with pytest.raises(Refusal, match=r"iam would be called at .* which is not AWS"):
        on_aws(ACCOUNT, None)


def test_type_without_a_known_price_is_refused() -> None:
    with pytest.raises(spend.OverCap, match=r"x9z\.large"):
        spend.servers(1, ("t4g.micro", "x9z.large"), 10, 8)


def test_all_steps_fit_under_the_cap_and_one_more_does_not() -> None:
    ledger = spend.Ledger()
    ledger.reserve("own", spend.servers(4, ("t4g.micro",), 15, 8))
    ledger.reserve("whole", spend.servers(1, ("t4g.small", "t4g.micro"), 20, 8), spend.functions(600, 512))
    assert ledger.total < spend.CAP
    before = ledger.total
    with pytest.raises(spend.OverCap, match="exceeds"):
        ledger.reserve("more", spend.servers(1, ("t4g.small",), 20, 8))
    assert ledger.total == before


def test_bound_covers_the_most_expensive_type() -> None:
    bound = spend.servers(1, ("t4g.micro", "t4g.small"), 60, 8)
    assert bound.dollars > spend.HOUR["t4g.small"] + spend.ADDRESS_HOUR


@pytest.mark.aws
def test_trial_on_a_real_account() -> None:
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
    "needs DAYFLY_TEST_AWS=1, DAYFLY_TEST_AWS_ACCOUNT=123456789012, credentials and a region; run it by name: "
    "tests/aws/test_acceptance.py::test_trial_on_a_real_account. Usually costs a cent, at most $0.05 if it runs to its end"
)
REAL = dict(os.environ)
"""The original environment: this test needs what other tests must not see."""
