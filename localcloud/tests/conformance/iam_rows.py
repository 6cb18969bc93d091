"""Authorization: policies, their variables and condition keys, sessions, signatures, links."""

import json
import urllib.error
import urllib.request
from functools import partial
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config

import rows
from targets import REGION, Keys, Target, allow, deny, error_code, keys_of

POLICIES = "IAM User Guide, Policy evaluation logic"
VARIABLES = "IAM User Guide, IAM policy elements: Variables and tags"
S3_KEYS = "Service Authorization Reference, Actions, resources, and condition keys for Amazon S3"
PASS = "IAM User Guide, Grant a user permissions to pass a role to an AWS service"
# For each service, a call without required parameters.
LISTINGS = {
    "ec2": "describe_instances", "iam": "list_roles", "sns": "list_topics", "sqs": "list_queues", "ssm": "describe_parameters",
    "logs": "describe_log_groups", "events": "list_rules", "lambda": "list_functions", "scheduler": "list_schedules",
    "cloudwatch": "list_metrics", "cloudformation": "list_stacks", "sts": "get_caller_identity",
}  # fmt: skip
REFUSED_SIGNATURES = ("AuthFailure", "SignatureDoesNotMatch", "InvalidSignatureException")

row = partial(rows.row, "iam")


def code_of(target: Target, keys: Keys, service: str, call: str, **parameters: Any) -> str:
    """Return the error code of a call with other keys."""
    client = target.client(service, keys=keys)
    return error_code(getattr(client, call), **parameters)


@row("Without a policy every request is denied: AccessDenied from S3, UnauthorizedOperation from EC2", POLICIES)
def denied_by_default(target: Target) -> None:
    keys, bucket = target.session(allow("sts:GetCallerIdentity")), target.bucket()
    assert code_of(target, keys, "s3", "list_objects_v2", Bucket=bucket) == "AccessDenied"
    assert code_of(target, keys, "ec2", "describe_instances") == "UnauthorizedOperation"


@row("A Deny overrides an Allow", POLICIES)
def deny_overrides_allow(target: Target) -> None:
    bucket = target.bucket()
    where = f"arn:aws:s3:::{bucket}"
    keys = target.session(allow("s3:*", [where, where + "/*"]), deny("s3:PutObject", f"{where}/closed/*"))
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="open/deny", Body=b"1") == ""
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="closed/a", Body=b"1") == "AccessDenied"


@row("A permission for a prefix is valid only below that prefix", POLICIES)
def resource_prefix(target: Target) -> None:
    bucket = target.bucket()
    keys = target.session(allow("s3:PutObject", f"arn:aws:s3:::{bucket}/mine/*"))
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="mine/a", Body=b"1") == ""
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="other/a", Body=b"1") == "AccessDenied"


@row("`${aws:userid}` in a resource is the caller's ROLEID:SESSION", VARIABLES)
def the_userid_variable(target: Target) -> None:
    bucket = target.bucket()
    keys = target.session(allow("s3:PutObject", f"arn:aws:s3:::{bucket}/out/${{aws:userid}}/*"), called="i-0abc")
    who = target.client("sts", keys=keys).get_caller_identity()["UserId"]
    assert who.endswith(":i-0abc")
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key=f"out/{who}/a", Body=b"1") == ""
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key=f"out/{who}x/a", Body=b"1") == "AccessDenied"


@row("A policy variable works in a condition; without a value the statement does not match", VARIABLES)
def a_variable_in_a_condition(target: Target) -> None:
    bucket = target.bucket()
    where = f"arn:aws:s3:::{bucket}"
    account = {"StringLike": {"s3:prefix": "${aws:PrincipalAccount}/*"}}
    nothing = {"StringLike": {"s3:prefix": "${aws:PrincipalTag/none}/*"}}
    keys = target.session(allow("s3:ListBucket", where, Condition=account))
    parameters = {"Bucket": bucket, "Prefix": f"{target.account}/a"}
    assert code_of(target, keys, "s3", "list_objects_v2", **parameters) == ""
    keys = target.session(allow("s3:ListBucket", where, Condition=nothing))
    assert code_of(target, keys, "s3", "list_objects_v2", Bucket=bucket, Prefix="/a") == "AccessDenied"


@row(
    "`${*}`, `${?}` and `${$}` are literal characters, not wildcards; so are such characters in a variable's value",
    VARIABLES,
    unverified="The wildcards in a variable's value.",
)
def literal_characters(target: Target) -> None:
    bucket = target.bucket()
    where = f"arn:aws:s3:::{bucket}"
    keys = target.session(allow("s3:PutObject", [f"{where}/let/${{*}}", f"{where}/let/${{?}}${{$}}"]))
    for key, code in (("let/*", ""), ("let/?$", ""), ("let/a", "AccessDenied"), ("let/a$", "AccessDenied")):
        assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key=key, Body=b"1") == code
    name = {"StringLike": {"s3:prefix": "${s3:delimiter}"}}
    keys = target.session(allow("s3:ListBucket", where, Condition=name))
    listed = {"Bucket": bucket, "Delimiter": "*"}
    assert code_of(target, keys, "s3", "list_objects_v2", Prefix="*", **listed) == ""
    assert code_of(target, keys, "s3", "list_objects_v2", Prefix="other", **listed) == "AccessDenied"


@row(
    "A statement with a variable that has no value matches nothing, not even with StringNotLike or NotResource",
    VARIABLES,
)
def a_variable_without_a_value(target: Target) -> None:
    bucket, nothing = target.bucket(), "${aws:PrincipalTag/none}"
    where = f"arn:aws:s3:::{bucket}"
    parameters = {"Bucket": bucket, "Prefix": "a"}
    for operator in ("StringNotEquals", "StringNotLike", "StringNotEqualsIfExists", "ForAllValues:StringNotLike"):
        keys = target.session(allow("s3:ListBucket", where, Condition={operator: {"s3:prefix": f"{nothing}/b"}}))
        assert code_of(target, keys, "s3", "list_objects_v2", **parameters) == "AccessDenied"
    others = {"Effect": "Allow", "Action": "s3:ListBucket", "NotResource": f"{where}/{nothing}"}
    assert code_of(target, target.session(others), "s3", "list_objects_v2", **parameters) == "AccessDenied"
    default = {"StringNotEquals": {"s3:prefix": "${aws:PrincipalTag/none, 'b'}"}}
    keys = target.session(allow("s3:ListBucket", where, Condition=default))
    assert code_of(target, keys, "s3", "list_objects_v2", **parameters) == ""


@row(
    "A policy of version 2008-10-17 or without a version has no variables; this holds for bucket policies too",
    "IAM User Guide, IAM JSON policy elements: Version",
)
def old_policy_versions(target: Target) -> None:
    s3, iam, bucket = target.client("s3"), target.client("iam"), target.bucket()
    where = f"arn:aws:s3:::{bucket}/old/${{aws:userid}}"
    for document in ({"Version": "2008-10-17", "Statement": [allow("s3:PutObject", where)]}, {"Statement": []}):
        arn = target.role("account", [allow("s3:GetObject")])
        if document["Statement"]:
            iam.put_role_policy(RoleName=arn.rsplit("/", 1)[-1], PolicyName="own", PolicyDocument=json.dumps(document))
        else:
            statement = allow("s3:PutObject", where, Principal={"AWS": arn})
            s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Statement": [statement]}))
            target.undo_after_row(s3.delete_bucket_policy, Bucket=bucket)
        answer = target.retried(lambda arn=arn: target.client("sts").assume_role(RoleArn=arn, RoleSessionName="xx"))
        keys, who = keys_of(answer["Credentials"]), answer["AssumedRoleUser"]["AssumedRoleId"]
        assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key=f"old/{who}", Body=b"1") == "AccessDenied"
        plain = {"Bucket": bucket, "Key": "old/${aws:userid}", "Body": b"1"}
        assert code_of(target, keys, "s3", "put_object", **plain) == ""


@row(
    "A write with tags also needs s3:PutObjectTagging; a write with If-Match also needs s3:GetObject",
    "S3 API Reference, PutObject, Permissions; S3 User Guide, How to prevent object overwrites with conditional writes",
)
def writes_with_more_permissions(target: Target) -> None:
    bucket, key = target.bucket(), target.name_for("more")
    where = f"arn:aws:s3:::{bucket}/{key}"
    etag = target.client("s3").put_object(Bucket=bucket, Key=key, Body=b"1")["ETag"]
    put = partial(code_of, target, service="s3", call="put_object", Bucket=bucket, Key=key, Body=b"2")
    keys = target.session(allow("s3:PutObject", where))
    assert (put(keys=keys, Tagging="a=b"), put(keys=keys, IfMatch=etag)) == ("AccessDenied", "AccessDenied")
    keys = target.session(allow(["s3:PutObject", "s3:PutObjectTagging", "s3:GetObject"], where))
    assert (put(keys=keys, IfMatch=etag), put(keys=keys, Tagging="a=b")) == ("", "")


@row("s3:prefix limits listings", S3_KEYS)
def the_prefix_key(target: Target) -> None:
    bucket = target.bucket()
    condition = {"StringEquals": {"s3:prefix": "runs/"}}
    keys = target.session(allow("s3:ListBucket", f"arn:aws:s3:::{bucket}", Condition=condition))
    assert code_of(target, keys, "s3", "list_objects_v2", Bucket=bucket, Prefix="runs/") == ""
    assert code_of(target, keys, "s3", "list_objects_v2", Bucket=bucket) == "AccessDenied"


@row("s3:if-none-match makes objects write-once: a write without the header is denied", S3_KEYS)
def the_if_none_match_key(target: Target) -> None:
    bucket, key = target.bucket(), target.name_for("once")
    where, missing = f"arn:aws:s3:::{bucket}/*", {"Null": {"s3:if-none-match": "true"}}
    keys = target.session(allow("s3:PutObject", where), deny("s3:PutObject", where, Condition=missing))
    parameters = {"Bucket": bucket, "Key": key, "Body": b"1"}
    assert code_of(target, keys, "s3", "put_object", **parameters) == "AccessDenied"
    assert code_of(target, keys, "s3", "put_object", IfNoneMatch="*", **parameters) == ""


@row("An object that s3:if-none-match makes write-once cannot be replaced by If-None-Match with another ETag", S3_KEYS)
def the_if_none_match_key_with_an_etag(target: Target) -> None:
    bucket, key = target.bucket(), target.name_for("once")
    where, missing = f"arn:aws:s3:::{bucket}/*", {"Null": {"s3:if-none-match": "true"}}
    keys = target.session(allow("s3:*", where), deny("s3:PutObject", where, Condition=missing))
    parameters = {"Bucket": bucket, "Key": key}
    assert code_of(target, keys, "s3", "put_object", Body=b"1", IfNoneMatch="*", **parameters) == ""
    for condition in ('"x"', "x", ""):
        assert (
            code_of(target, keys, "s3", "put_object", Body=b"2", IfNoneMatch=condition, **parameters)
            == "NotImplemented"
        )
    assert target.client("s3").get_object(**parameters)["Body"].read() == b"1"


@row("s3:ObjectCreationOperation can allow the parts of an upload and deny its completion", S3_KEYS)
def the_object_creation_key(target: Target) -> None:
    bucket, key = target.bucket(), target.name_for("parts")
    where = f"arn:aws:s3:::{bucket}/*"
    once = {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}}
    keys = target.session(allow("s3:PutObject", where), deny("s3:PutObject", where, Condition=once))
    s3 = target.client("s3", keys=keys)
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parameters = {"Bucket": bucket, "Key": key, "UploadId": upload}
    part = s3.upload_part(PartNumber=1, Body=b"1", **parameters)
    parameters["MultipartUpload"] = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert error_code(s3.complete_multipart_upload, **parameters) == "AccessDenied"
    s3.complete_multipart_upload(IfNoneMatch="*", **parameters)


@row(
    "A bucket policy that denies requests without TLS allows clients of the endpoint",
    "S3 User Guide, Security best practices, Enforce encryption of data in transit",
)
def bucket_policy_requires_tls(target: Target) -> None:
    s3, bucket = target.client("s3"), target.bucket()
    where = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    keys = target.session(allow("s3:*", where))
    tls = deny("s3:PutObject", where[1], Principal="*", Condition={"Bool": {"aws:SecureTransport": "false"}})
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [tls]}))
    target.undo_after_row(s3.delete_bucket_policy, Bucket=bucket)
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="tls", Body=b"1") == ""
    tls["Condition"] = {"Bool": {"aws:SecureTransport": "true"}}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [tls]}))
    target.wait_for(
        lambda: code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="tls", Body=b"1") == "AccessDenied"
    )


@row(
    "A bucket policy can deny what the role's policy allows",
    "IAM User Guide, Identity-based policies and resource-based policies",
)
def bucket_policy_denies(target: Target) -> None:
    s3, bucket = target.client("s3"), target.bucket()
    keys = target.session(allow("s3:PutObject", f"arn:aws:s3:::{bucket}/*"))
    statement = deny("s3:PutObject", f"arn:aws:s3:::{bucket}/sealed/*", Principal="*")
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    target.undo_after_row(s3.delete_bucket_policy, Bucket=bucket)
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="sealed/a", Body=b"1") == "AccessDenied"
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="unsealed", Body=b"1") == ""


@row("A permissions boundary limits the role's policy", "IAM User Guide, Permissions boundaries for IAM entities")
def permissions_boundary(target: Target) -> None:
    iam, bucket = target.client("iam"), target.bucket()
    document = {"Version": "2012-10-17", "Statement": [allow("s3:ListBucket")]}
    edge = iam.create_policy(PolicyName=target.name_for("edge"), PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    target.undo_after_row(iam.delete_policy, PolicyArn=edge)
    arn = target.role("account", [allow("s3:*")])
    iam.put_role_permissions_boundary(RoleName=arn.rsplit("/", 1)[-1], PermissionsBoundary=edge)
    answer = target.retried(lambda: target.client("sts").assume_role(RoleArn=arn, RoleSessionName="xx"))["Credentials"]
    keys = {"aws_access_key_id": answer["AccessKeyId"], "aws_secret_access_key": answer["SecretAccessKey"]}
    keys["aws_session_token"] = answer["SessionToken"]
    assert code_of(target, keys, "s3", "list_objects_v2", Bucket=bucket) == ""
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="edge", Body=b"1") == "AccessDenied"


@row("A session policy limits the role's policy", "IAM User Guide, Policies and permissions, Session policies")
def session_policy(target: Target) -> None:
    bucket = target.bucket()
    own = json.dumps({"Version": "2012-10-17", "Statement": [allow("s3:ListBucket")]})
    keys = target.session(allow("s3:*"), Policy=own)
    assert code_of(target, keys, "s3", "list_objects_v2", Bucket=bucket) == ""
    assert code_of(target, keys, "s3", "put_object", Bucket=bucket, Key="own", Body=b"1") == "AccessDenied"


@row("Only principals in its trust policy can assume a role", "IAM User Guide, Update a role trust policy")
def trust_policy(target: Target) -> None:
    trusting, other = target.role("account"), target.role("lambda")
    keys = target.session(allow("sts:AssumeRole"))
    assert code_of(target, keys, "sts", "assume_role", RoleArn=other, RoleSessionName="xx") == "AccessDenied"
    assert code_of(target, keys, "sts", "assume_role", RoleArn=trusting, RoleSessionName="xx") == ""


@row("GetCallerIdentity needs no permission", "STS API Reference, GetCallerIdentity")
def get_caller_identity(target: Target) -> None:
    keys = target.session(deny("*"))
    assert code_of(target, keys, "sts", "get_caller_identity") == ""


@row(
    "A wrong signature is refused by every service",
    "AWS General Reference, Signature Version 4; EC2 error AuthFailure",
    unverified="Which of the codes each service uses.",
)
def a_wrong_signature(target: Target) -> None:
    keys = target.session(allow("*")) | {"aws_secret_access_key": "wrong"}
    assert code_of(target, keys, "s3", "list_objects_v2", Bucket=target.bucket()) == "SignatureDoesNotMatch"
    for service, call in LISTINGS.items():
        assert code_of(target, keys, service, call) in REFUSED_SIGNATURES, service


@row(
    "An unsigned request to a bucket that is not public is AccessDenied",
    "S3 User Guide, How Amazon S3 authorizes a request",
)
def an_unsigned_request(target: Target) -> None:
    target.client("s3").put_object(Bucket=target.bucket(), Key="unsigned", Body=b"1")
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    nobody = boto3.client("s3", region_name=REGION, endpoint_url=target.endpoint, config=config)
    assert error_code(nobody.get_object, Bucket=target.bucket(), Key="unsigned") == "AccessDenied"


@row(
    "A presigned link has the permissions of its signer; a changed or expired link is denied",
    "S3 User Guide, Download and upload objects with presigned URLs",
)
def presigned_links(target: Target) -> None:
    s3, bucket = target.client("s3"), target.bucket()
    for key in ("linked/a", "unlinked/a"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"1")
    keys = target.session(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/linked/*"))
    signer = target.client("s3", keys=keys)

    def fetched(key: str, change: str = "", seconds: int = 60) -> int:
        url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
        try:
            with urllib.request.urlopen(url + change, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert (fetched("linked/a"), fetched("unlinked/a"), fetched("linked/a", "0")) == (200, 403, 403)
    target.wait_for(lambda: fetched("linked/a", seconds=0) == 403)
