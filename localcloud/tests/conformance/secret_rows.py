"""Secrets: SecureString parameters of SSM and the secrets of Secrets Manager, for callers that IAM limits, with their keys."""

import json
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

import rows
from iam_rows import code_of
from targets import REGION, Keys, Target, allow, error_code

PARAMETERS = "Systems Manager User Guide, Restricting access to Parameter Store parameters using IAM policies"
ENCRYPTION = "KMS Developer Guide, How AWS Systems Manager Parameter Store uses AWS KMS"
SECRETS = "Secrets Manager User Guide, Identity-based policies"
OWN_KEY = "Secrets Manager User Guide, Secret encryption and decryption in AWS Secrets Manager"

row = partial(rows.row, "iam")


def parameter(target: Target, **more: Any) -> tuple[str, str]:
    """Create a SecureString parameter with the value "swordfish"; return its name and its ARN."""
    ssm, name = target.client("ssm"), f"/conf/{target.name_for('parameter')}"
    ssm.put_parameter(Name=name, Value="swordfish", Type="SecureString", **more)
    target.undo_after_row(ssm.delete_parameter, Name=name)
    return name, f"arn:aws:ssm:{REGION}:{target.account}:parameter{name}"


def secret(target: Target, **more: Any) -> tuple[str, str]:
    """Create a secret with the value {"user": "anna"}; return its name and its ARN."""
    manager, name = target.client("secretsmanager"), target.name_for("secret")
    arn = manager.create_secret(Name=name, SecretString='{"user": "anna"}', **more)["ARN"]
    target.undo_after_row(manager.delete_secret, SecretId=name, ForceDeleteWithoutRecovery=True)
    return name, str(arn)


def key(target: Target) -> str:
    """Create a key whose policy lets the account's own policies decide; return its ARN."""
    kms = target.client("kms")
    root = {"AWS": f"arn:aws:iam::{target.account}:root"}
    policy = {"Version": "2012-10-17", "Statement": [allow("kms:*", "*", Principal=root)]}
    found = kms.create_key(Policy=json.dumps(policy))["KeyMetadata"]
    target.undo_after_row(kms.schedule_key_deletion, KeyId=found["KeyId"], PendingWindowInDays=7)
    return str(found["Arn"])


def read(target: Target, keys: Keys, name: str) -> str:
    """Return the code with which GetParameter refuses a decrypted parameter; "" when it answers."""
    return code_of(target, keys, "ssm", "get_parameter", Name=name, WithDecryption=True)


def got(target: Target, keys: Keys, name: str) -> str:
    """Return the code with which GetSecretValue refuses a secret; "" when it answers."""
    return code_of(target, keys, "secretsmanager", "get_secret_value", SecretId=name)


@row(
    "GetParameter and GetParameters are limited to the parameters that a policy names: AccessDeniedException",
    PARAMETERS,
)
def parameters_are_authorized(target: Target) -> None:
    (name, arn), (other, _) = parameter(target), parameter(target)
    keys = target.session(allow(["ssm:GetParameter", "ssm:GetParameters"], arn))
    ssm = target.client("ssm", keys=keys)
    shown = target.retried(lambda: ssm.get_parameter(Name=name, WithDecryption=True))["Parameter"]
    assert (shown["Value"], shown["Type"]) == ("swordfish", "SecureString")
    assert ssm.get_parameters(Names=[name], WithDecryption=True)["Parameters"][0]["Value"] == "swordfish"
    assert read(target, keys, other) == "AccessDeniedException"
    assert error_code(ssm.get_parameters, Names=[name, other], WithDecryption=True) == "AccessDeniedException"
    assert read(target, target.session(allow("ssm:GetParameters")), name) == "AccessDeniedException"


@row("Without WithDecryption a SecureString is answered encrypted", "SSM API Reference, GetParameter, WithDecryption")
def encrypted_parameters(target: Target) -> None:
    name, _ = parameter(target)
    shown = target.client("ssm").get_parameter(Name=name)["Parameter"]["Value"]
    assert "swordfish" not in shown


@row(
    "A parameter that does not exist is ParameterNotFound to a caller who may read it",
    "SSM API Reference, GetParameter",
)
def absent_parameter(target: Target) -> None:
    absent = "/conf/no-such-parameter"
    arn = f"arn:aws:ssm:{REGION}:{target.account}:parameter{absent}"
    assert read(target, target.session(allow("ssm:GetParameter", arn)), absent) == "ParameterNotFound"
    assert read(target, target.session(allow("s3:*")), absent) == "AccessDeniedException"


@row(
    "A SecureString under the default key needs no right to KMS; one under a customer key needs kms:Decrypt", ENCRYPTION
)
def key_of_a_parameter(target: Target) -> None:
    own = key(target)
    name, arn = parameter(target, KeyId=own)
    read_it = allow("ssm:GetParameter", arn)
    without = target.session(read_it)
    assert read(target, without, name) == "AccessDeniedException"
    shown = target.client("ssm", keys=without).get_parameter(Name=name)["Parameter"]
    assert shown["Type"] == "SecureString"
    through = {"StringEquals": {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"}}
    context = {"StringEquals": {"kms:EncryptionContext:PARAMETER_ARN": arn}}
    for condition in (through, context):
        assert read(target, target.session(read_it, allow("kms:Decrypt", own, Condition=condition)), name) == ""
    elsewhere = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}
    assert (
        read(target, target.session(read_it, allow("kms:Decrypt", own, Condition=elsewhere)), name)
        == "AccessDeniedException"
    )


@row(
    "A parameter under a key that does not exist is not stored: InvalidKeyId", "SSM API Reference, PutParameter, Errors"
)
def absent_key_of_a_parameter(target: Target) -> None:
    absent = f"arn:aws:kms:{REGION}:{target.account}:key/00000000-0000-0000-0000-000000000000"
    put = target.client("ssm").put_parameter
    assert error_code(put, Name="/conf/keyless", Value="x", Type="SecureString", KeyId=absent) == "InvalidKeyId"


@row(
    "GetSecretValue is limited to the secrets that a policy names by ARN, which ends in six random characters", SECRETS
)
def secrets_are_authorized(target: Target) -> None:
    (name, arn), (other, _) = secret(target), secret(target)
    assert len(arn.removeprefix(f"arn:aws:secretsmanager:{REGION}:{target.account}:secret:{name}-")) == 6
    bare, any_suffix = arn[:-7], arn[:-6] + "??????"
    keys = target.session(allow("secretsmanager:GetSecretValue", any_suffix))
    manager = target.client("secretsmanager", keys=keys)
    assert target.retried(lambda: manager.get_secret_value(SecretId=name))["SecretString"] == '{"user": "anna"}'
    assert got(target, keys, arn) == ""
    assert got(target, keys, other) == "AccessDeniedException"
    assert got(target, target.session(allow("secretsmanager:GetSecretValue", bare)), name) == "AccessDeniedException"


@row("A secret that does not exist is AccessDeniedException to a caller who may not read it", SECRETS)
def absent_secret(target: Target) -> None:
    assert (
        got(target, target.session(allow("secretsmanager:GetSecretValue")), "conf-none") == "ResourceNotFoundException"
    )
    assert got(target, target.session(allow("s3:*")), "conf-none") == "AccessDeniedException"


@row('A secret under a customer key needs kms:Decrypt: AccessDeniedException, "Access to KMS is not allowed"', OWN_KEY)
def key_of_a_secret(target: Target) -> None:
    own = key(target)
    name, arn = secret(target, KmsKeyId=own)
    read_it = allow("secretsmanager:GetSecretValue", arn)
    without = target.client("secretsmanager", keys=target.session(read_it))
    said = ""
    try:
        without.get_secret_value(SecretId=name)
    except ClientError as error:
        said = f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    assert said == "AccessDeniedException: Access to KMS is not allowed"
    through = {"StringEquals": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"}}
    assert got(target, target.session(read_it, allow("kms:Decrypt", own, Condition=through)), name) == ""
