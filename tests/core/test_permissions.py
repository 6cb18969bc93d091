"""Permission sets: which jobs share one, and what its roles may do."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

from dayfly.core import permissions
from dayfly.core.permission_sets import NOTHING, PermissionSet, set_of
from model.cloud import job

FULL = PermissionSet(
    reads=("s3://acme-raw/events/", "job:ingest"),
    writes=("s3://acme-lake/raw",),
    secrets=("ssm:/lake/db", "secretsmanager:lake/api#KEY", "secretsmanager:lake/api#OTHER"),
)


def resources(document: dict, action: str) -> list[str]:
    """Return the resources of the statements that allow an action."""
    statements = [each for each in document["Statement"] if action in each["Action"]]
    return [resource["Fn::Sub"] for each in statements for resource in each["Resource"]]


def test_job_without_these_keys_has_the_empty_set() -> None:
    assert set_of(job()) == NOTHING
    assert NOTHING.id == ""
    assert not NOTHING.has_job_role


def test_order_and_names_of_variables_make_no_other_set() -> None:
    ids = {replace(FULL, reads=each).id for each in permutations(FULL.reads)}
    assert len(ids) == 1
    one = set_of(job(secrets={"A": "ssm:/x", "B": "ssm:/y"}))
    assert one.id == set_of(job(secrets={"C": "ssm:/y", "D": "ssm:/x"})).id
    assert one.id != set_of(job(secrets={"A": "ssm:/x"})).id


def test_every_part_of_a_set_decides_its_id() -> None:
    changed = [{"reads": ()}, {"writes": ()}, {"secrets": ()}, {"policy": {"Version": "2012-10-17", "Statement": []}}]
    ids = {FULL.id, *(replace(FULL, **change).id for change in changed)}
    assert len(ids) == 5
    assert all(len(each) == 8 for each in ids)


def test_command_gets_a_role_only_for_rights_of_its_own() -> None:
    assert not PermissionSet(reads=("job:ingest",), secrets=("ssm:/lake/db",)).has_job_role
    for own in ({"reads": ("s3://acme-raw",)}, {"writes": ("s3://acme-raw",)}, {"policy": {"Version": "x"}}):
        assert PermissionSet(**own).has_job_role


def test_server_reads_results_and_secrets_that_are_declared() -> None:
    bucket = "dayfly-lake-123456789012-eu-west-1"
    server = permissions.server(bucket, FULL)
    assert resources(server, "s3:GetObject") == [
        f"arn:${{AWS::Partition}}:s3:::{bucket}/go/${{!aws:userid}}/*",
        f"arn:${{AWS::Partition}}:s3:::{bucket}/out/ingest/*",
    ]
    here = "${AWS::Region}:${AWS::AccountId}"
    assert resources(server, "ssm:GetParameter") == [f"arn:${{AWS::Partition}}:ssm:{here}:parameter/lake/db"]
    [secret] = resources(server, "secretsmanager:GetSecretValue")
    assert secret == f"arn:${{AWS::Partition}}:secretsmanager:{here}:secret:lake/api-??????"


def test_server_without_secrets_reads_none_and_decrypts_nothing() -> None:
    actions = {action for each in permissions.server("b")["Statement"] for action in each["Action"]}
    assert actions == {"s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject"}


def test_decryption_is_only_for_the_secrets_named() -> None:
    decrypting = [each for each in permissions.server("b", FULL)["Statement"] if each["Action"] == ["kms:Decrypt"]]
    assert len(decrypting) == 2
    for each in decrypting:
        assert set(each["Condition"]) == {"StringEquals", "StringLike"}
        [context] = each["Condition"]["StringLike"]
        assert context in ("kms:EncryptionContext:PARAMETER_ARN", "kms:EncryptionContext:SecretARN")


def test_job_reads_and_writes_below_its_prefixes_only() -> None:
    role = permissions.job(FULL)
    raw, lake = "arn:${AWS::Partition}:s3:::acme-raw", "arn:${AWS::Partition}:s3:::acme-lake"
    assert resources(role, "s3:GetObject") == [f"{raw}/events", f"{raw}/events/*"]
    assert resources(role, "s3:PutObject") == [f"{lake}/raw", f"{lake}/raw/*"]
    [listing] = [each for each in role["Statement"] if each["Action"] == ["s3:ListBucket"]]
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["events/*"]}}


def test_whole_bucket_can_be_listed_without_a_prefix() -> None:
    role = permissions.job(PermissionSet(reads=("s3://acme-raw",)))
    [listing] = [each for each in role["Statement"] if each["Action"] == ["s3:ListBucket"]]
    assert "Condition" not in listing
    assert resources(role, "s3:GetObject") == ["arn:${AWS::Partition}:s3:::acme-raw/*"]
