"""The keys that give a job permissions: what they mean, and what is refused with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dayfly.project.file import json_lines
from project.texts import LEAST, POLICY, only, problems, read, with_job_key

TWO = LEAST + '\n[jobs.ingest]\ncommand = "true"\nservers = ["c8g.large"]\n'


def test_job_reads_places_and_results_and_has_secrets() -> None:
    job = read(
        TWO + 'reads = ["s3://acme-raw/events/", "job:pi", "job:ingest"]\nwrites = ["s3://acme-lake"]\n'
        'secrets = { DB_URL = "ssm:/lake/db", KEY = "secretsmanager:lake/api#KEY" }\n'
    ).jobs["ingest"]
    assert job.reads == ("s3://acme-raw/events/", "job:pi", "job:ingest")
    assert job.writes == ("s3://acme-lake",)
    assert dict(job.secrets) == {"DB_URL": "ssm:/lake/db", "KEY": "secretsmanager:lake/api#KEY"}


def test_own_secrets_are_merged_with_those_of_the_defaults() -> None:
    text = with_job_key('secrets = { A = "ssm:/own" }') + '[defaults]\nsecrets = { A = "ssm:/all", B = "ssm:/b" }\n'
    assert dict(read(text).jobs["pi"].secrets) == {"A": "ssm:/own", "B": "ssm:/b"}


def test_job_that_is_not_in_the_file_is_refused_with_the_nearest() -> None:
    found = only(TWO + 'reads = [\n  "job:pi",\n  "job:ingets",\n]\n')
    assert (found.path, found.message) == ("jobs.ingest.reads", "there is no job ingets")
    assert found.line == 13
    assert found.remedies == ('did you mean "job:ingest"?',)


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('reads = ["acme-raw/events/"]', "not a place in S3"),
        ('reads = ["s3://"]', "not a place in S3"),
        ('reads = ["s3://Acme/x"]', "not a place in S3"),
        ('reads = ["s3://*/x"]', "not a place in S3"),
        ('reads = ["s3://acme-raw/*.csv"]', "has a prefix with *"),
        ('reads = ["s3://acme-raw/${aws:userid}/"]', "has a prefix with *"),
        ('reads = ["s3://acme-raw//x"]', "has a prefix with *"),
        ('reads = ["job:"]', "names no job"),
        ('reads = ["job:*"]', "names no job"),
        ('writes = ["job:pi"]', "not a place in S3"),
        ('writes = "s3://acme-lake/"', "expected a list"),
        ('secrets = { DB = "hunter2" }', "does not say where"),
        ('secrets = { DB = "ssm:/lake/*" }', "does not say where"),
        ('secrets = { DB = "ssm:" }', "does not say where"),
        ('secrets = { DB = "secretsmanager:lake/db#" }', "does not say where"),
        ('secrets = { AWS_PROFILE = "ssm:/x" }', "set by dayfly"),
        ('secrets = { "A-B" = "ssm:/x" }', "not a variable name"),
    ],
)
def test_invalid_permission_is_refused(line: str, word: str) -> None:
    found = only(with_job_key(line))
    assert found.path.startswith(f"jobs.pi.{line.split(' = ')[0]}")
    assert found.line == 7
    assert word in found.message


def test_value_that_may_be_a_secret_is_not_repeated() -> None:
    assert "hunter2" not in str(only(with_job_key('secrets = { DB = "hunter2" }')).lines())


@pytest.mark.parametrize("key", ["reads", "writes"])
@pytest.mark.parametrize("project", ["pi", "other"])
def test_bucket_of_a_dayfly_project_is_refused(key: str, project: str) -> None:
    found = only(with_job_key(f'{key} = ["s3://dayfly-{project}-123456789012-eu-west-1/out/"]'))
    assert "is the bucket of a dayfly project" in found.message
    assert found.remedies


def test_name_in_env_and_in_secrets_is_refused() -> None:
    found = only(with_job_key('env = { DB = "x" }\nsecrets = { DB = "ssm:/x" }'))
    assert (found.path, found.line, found.message) == ("jobs.pi.secrets.DB", 8, "DB also stands in env")
    text = with_job_key('env = { DB = "x" }') + '[defaults]\nsecrets = { DB = "ssm:/x" }\n'
    assert [each.path for each in problems(text)] == ["defaults.secrets.DB"]


def test_more_sets_of_permissions_than_roles_can_be_passed_are_refused() -> None:
    jobs = "".join(
        f'[jobs.j{number}]\ncommand = "true"\nservers = ["c8g.large"]\nreads = ["s3://acme-{number}/"]\n'
        for number in range(15)
    )
    found = only(LEAST + jobs)
    assert found.message.startswith("the jobs have 16 different sets")
    assert len(read(LEAST.partition("[jobs")[0] + jobs).jobs) == 15


def test_more_places_than_iam_takes_are_refused() -> None:
    places = ", ".join(f'"s3://acme-raw-{number}/{"x" * 200}/"' for number in range(30))
    assert "more than IAM takes" in only(with_job_key(f"reads = [{places}]")).message


# --- the file of a policy -----------------------------------------------------------------------------------------------

WITH_POLICY = with_job_key('policy = "iam/ingest.json"')


def test_policy_is_the_document_of_its_file() -> None:
    policy = read(WITH_POLICY).jobs["pi"].policy
    assert policy is not None
    assert policy == json.loads(POLICY)


def test_refused_policy_names_the_line_of_its_file() -> None:
    text = POLICY.replace('"athena:GetQueryResults"', '\n        "iam:PassRole"')
    found = only(WITH_POLICY, policy=text)
    assert (found.path, found.line) == ("jobs.pi.policy", 7)
    assert found.message == 'iam/ingest.json, line 7: "iam:PassRole" is refused'
    assert found.why == "it could pass a role to a server, or change what a role may do"


def test_every_refusal_of_a_policy_is_reported() -> None:
    text = POLICY.replace('"Resource"', '"NotResource"').replace("athena:Start", "ec2:Start")
    lines = [each.message.partition(": ")[0] for each in problems(WITH_POLICY, policy=text)]
    assert sorted(lines) == ["iam/ingest.json, line 6", "iam/ingest.json, line 7"]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "line 1: invalid JSON"),
        ("[]", "line 1: is not a policy document"),
        ('{"Version": NaN}', "NaN is no number"),
        ('{"Version": "2012-10-17", "Version": "2012-10-17"}', 'has "Version" twice'),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_file_that_is_no_policy_is_refused(text: str, word: str) -> None:
    assert word in only(WITH_POLICY, policy=text).message


def test_missing_policy_file_is_refused() -> None:
    found = only(with_job_key('policy = "iam/other.json"'))
    assert found.message == "iam/other.json cannot be read: No such file or directory"
    assert "leaves the folder" in only(with_job_key('policy = "../x.json"')).message
    assert "not a JSON file" in only(with_job_key('policy = "iam/x.yaml"')).message


def test_policy_larger_than_iam_takes_is_refused() -> None:
    many = ", ".join(f'"arn:aws:sns:eu-west-1:123456789012:topic-{number}-{"x" * 100}"' for number in range(80))
    statement = f'{{"Effect": "Allow", "Action": "sns:Publish", "Resource": [{many}]}}'
    text = f'{{"Version": "2012-10-17", "Statement": [{statement}]}}'
    assert "has more than the 10,240 characters" in only(WITH_POLICY, policy=text).message


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_line_of_every_json_value_is_found(value: Any) -> None:
    text = json.dumps(value, indent=1)
    found = json_lines.find(text)
    assert set(found) == set(paths(value))
    rows = text.split("\n")
    for path, line in found.items():
        if path and isinstance(path[-1], str):
            assert rows[line - 1].lstrip().startswith(json.dumps(path[-1]))


def paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from paths(each, (*path, key))
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from paths(each, (*path, number))
