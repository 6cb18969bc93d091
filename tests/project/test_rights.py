"""The keys that give a job permissions: what they mean, and what is refused with its line."""

from __future__ import annotations

import pytest

from project.texts import LEAST, only, problems, read, with_job_key

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
        ('secrets = { DB = "secretsmanager:lake/db" }', "does not say where"),
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
