"""`dayfly permissions` says in plain words what each role may do, and prints the documents that say so to AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dayfly.cli.main import main

FILE = """\
project = "lake"
regions = ["eu-west-1"]

[jobs.ingest]
command = "true"
servers = ["c8g.large"]
reads = ["s3://acme-raw/events/", "job:ingest"]
secrets = { DB_URL = "ssm:/lake/db" }
policy = "ingest.json"

[jobs.hello]
command = "true"
servers = ["c8g.large"]
"""
POLICY = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": "arn:aws:kms:*:*:key/1"}}'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dayfly.toml").write_text(FILE)
    (tmp_path / "ingest.json").write_text(POLICY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def roles(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, list[Any]]:
    assert main(["permissions", *words, "--json"]) == 0
    return {each["role"]: each["policies"] for each in json.loads(capsys.readouterr().out)["roles"]}


def test_screen_says_what_a_job_and_its_server_may_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["permissions", "ingest"]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "command of ingest: its own role" in lines
    assert "read s3://acme-raw/events, for reads" in [line.partition("  ")[0] for line in lines]
    assert ["policy: allow on arn:aws:kms:*:*:key/1", "kms:Decrypt"] in [re.split("  +", line) for line in lines]
    assert "read the parameters /lake/db, for secrets" in [line.partition("  ")[0] for line in lines]
    assert not [line for line in lines if "hello" in line]


def test_job_without_rights_has_no_credentials(capsys: pytest.CaptureFixture[str]) -> None:
    main(["permissions", "hello"])
    assert "command of hello: no role and no credentials" in capsys.readouterr().out


def test_every_statement_is_said_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    documents = [policy for policies in roles(capsys).values() for policy in policies]
    count = sum(len(each["Statement"]) for each in documents if isinstance(each["Statement"], list)) + 1
    main(["permissions"])
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert len(shown) == count
    assert all(line.strip().partition("  ")[2] for line in shown)


def test_documents_have_no_references_of_cloudformation(capsys: pytest.CaptureFixture[str]) -> None:
    text = json.dumps(roles(capsys))
    assert "Fn::" not in text
    assert "AWS::" not in text
    assert "arn:aws:s3:::dayfly-lake-*-eu-west-1/go/${aws:userid}/*" in text


def test_deployers_policy_fits_into_a_managed_policy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = f'account = "123456789012"\npermissions_boundary = "arn:aws:iam::123456789012:policy/dev"\n{FILE}'
    (folder / "dayfly.toml").write_text(given.replace('"lake"', f'"{"x" * 24}"'))
    assert main(["permissions", "--deployer"]) == 0
    policy = json.loads(capsys.readouterr().out)
    assert set(policy) == {"Version", "Statement"}
    assert len(json.dumps(policy, separators=(",", ":"))) < 6_144
    [making] = [each for each in policy["Statement"] if "iam:CreateRole" in each["Action"]]
    assert making["Condition"] == {"StringEquals": {"iam:PermissionsBoundary": "arn:aws:iam::123456789012:policy/dev"}}


def test_unknown_job_and_job_with_deployer_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["permissions", "ingst"]) == 4
    assert "did you mean ingest?" in capsys.readouterr().err
    assert main(["permissions", "ingest", "--deployer"]) == 2
