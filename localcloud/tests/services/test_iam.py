"""IAM authorizes every request by its signer: policy variables, conditional writes, links; only the administrator is root."""

import json
import urllib.error
import urllib.request
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from running_cloud import Running

pytestmark = pytest.mark.cloud

BUCKET = "iam-bucket"


def refusal(call: Any, **parameters: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    code: str = caught.value.response["Error"]["Code"]
    return code


def session(cloud: Running, name: str, policy: list[dict[str, Any]], who: str = "i-0abc") -> tuple[dict[str, str], str]:
    """Return the keys of a session of a new role, and the session's userid."""
    iam = cloud.client("iam")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    document = json.dumps({"Version": "2012-10-17", "Statement": policy})
    iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=document)
    answer = cloud.client("sts").assume_role(RoleArn=arn, RoleSessionName=who)
    keys = answer["Credentials"]
    return {
        "aws_access_key_id": keys["AccessKeyId"],
        "aws_secret_access_key": keys["SecretAccessKey"],
        "aws_session_token": keys["SessionToken"],
    }, answer["AssumedRoleUser"]["AssumedRoleId"]


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


@pytest.fixture(scope="module", autouse=True)
def bucket(cloud: Running) -> None:
    cloud.client("s3").create_bucket(Bucket=BUCKET)


def test_userid_variable_limits_where_a_session_writes(cloud: Running) -> None:
    keys, userid = session(cloud, "guest", [allow("s3:PutObject", f"arn:aws:s3:::{BUCKET}/out/*/${{aws:userid}}/*")])
    assert userid.startswith("AROA")
    assert userid.endswith(":i-0abc")
    s3 = cloud.client("s3", **keys)
    s3.put_object(Bucket=BUCKET, Key=f"out/job/{userid}/a", Body=b"1")
    assert refusal(s3.put_object, Bucket=BUCKET, Key=f"out/job/{userid}x/a", Body=b"1") == "AccessDenied"
    assert refusal(s3.get_object, Bucket=BUCKET, Key=f"out/job/{userid}/a") == "AccessDenied"


def test_policy_variable_works_in_a_condition(cloud: Running) -> None:
    condition = {"StringLike": {"s3:prefix": "${aws:PrincipalAccount}/*"}}
    keys, _ = session(cloud, "lister", [allow("s3:ListBucket", f"arn:aws:s3:::{BUCKET}", Condition=condition)])
    s3 = cloud.client("s3", **keys)
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix="000000000000/a")["KeyCount"] == 0
    assert refusal(s3.list_objects_v2, Bucket=BUCKET, Prefix="1/") == "AccessDenied"
    assert refusal(s3.list_objects_v2, Bucket=BUCKET) == "AccessDenied"


def test_policy_can_require_conditional_writes(cloud: Running) -> None:
    keys, _ = session(cloud, "once", [allow("s3:PutObject", f"arn:aws:s3:::{BUCKET}/once/*")])
    deny = {
        "Effect": "Deny",
        "Principal": {"AWS": "arn:aws:iam::000000000000:role/once"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/once/*",
        "Condition": {"Null": {"s3:if-none-match": "true"}, "Bool": {"s3:ObjectCreationOperation": "true"}},
    }
    tls = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny, tls]})
    cloud.client("s3").put_bucket_policy(Bucket=BUCKET, Policy=policy)
    s3 = cloud.client("s3", **keys)
    assert refusal(s3.put_object, Bucket=BUCKET, Key="once/a", Body=b"1") == "AccessDenied"
    s3.put_object(Bucket=BUCKET, Key="once/a", Body=b"1", IfNoneMatch="*")
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="once/b")["UploadId"]
    part = s3.upload_part(Bucket=BUCKET, Key="once/b", UploadId=upload, PartNumber=1, Body=b"2")
    parameters = {
        "Bucket": BUCKET,
        "Key": "once/b",
        "UploadId": upload,
        "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    }
    assert refusal(s3.complete_multipart_upload, **parameters) == "AccessDenied"
    s3.complete_multipart_upload(**parameters, IfNoneMatch="*")
    cloud.client("s3").delete_bucket_policy(Bucket=BUCKET)


def test_presigned_link_has_the_rights_of_its_signer(cloud: Running) -> None:
    s3 = cloud.client("s3")
    for key in ("open/a", "closed/a"):
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"content")
    keys, _ = session(cloud, "signer", [allow("s3:GetObject", f"arn:aws:s3:::{BUCKET}/open/*")])
    signer = cloud.client("s3", **keys)

    def fetch(key: str, change: str = "") -> int:
        url = signer.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=60)
        try:
            with urllib.request.urlopen(url + change, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert fetch("open/a") == 200
    assert fetch("closed/a") == 403
    assert fetch("open/a", "0") == 403


def test_only_the_administrators_signature_is_root(cloud: Running) -> None:
    for key in ("test", "000000000000", cloud.environment["AWS_ACCESS_KEY_ID"]):
        s3 = cloud.client("s3", aws_access_key_id=key, aws_secret_access_key="test")
        assert refusal(s3.list_objects_v2, Bucket=BUCKET) in ("InvalidAccessKeyId", "SignatureDoesNotMatch")
        ec2 = cloud.client("ec2", aws_access_key_id=key, aws_secret_access_key="test")
        assert refusal(ec2.describe_instances) in ("AuthFailure", "SignatureDoesNotMatch")


def test_unsigned_request_reads_only_public_objects(cloud: Running) -> None:
    cloud.client("s3").put_object(Bucket=BUCKET, Key="public/a", Body=b"x")
    unsigned = boto3.client(
        "s3", region_name="us-east-1", endpoint_url=cloud.facts["endpoint"], config=Config(signature_version=UNSIGNED)
    )
    assert refusal(unsigned.get_object, Bucket=BUCKET, Key="public/a") == "AccessDenied"
    assert refusal(unsigned.put_object, Bucket=BUCKET, Key="public/b", Body=b"") == "AccessDenied"
    assert refusal(unsigned.list_objects_v2, Bucket=BUCKET) == "AccessDenied"


def test_schedule_rights_can_name_a_group(cloud: Running) -> None:
    cloud.client("scheduler").create_schedule_group(Name="ours")
    arn = "arn:aws:scheduler:us-east-1:000000000000:schedule/ours/kill-*"
    keys, _ = session(cloud, "killer", [allow("scheduler:*", arn)])
    scheduler = cloud.client("scheduler", **keys)
    assert refusal(scheduler.get_schedule, Name="kill-1", GroupName="ours") == "ResourceNotFoundException"
    assert refusal(scheduler.get_schedule, Name="kill-1") == "AccessDeniedException"
    assert refusal(scheduler.get_schedule, Name="other", GroupName="ours") == "AccessDeniedException"


def test_public_parameters_are_authorized_one_by_one(cloud: Running) -> None:
    keys, _ = session(cloud, "reader", [allow("ssm:GetParameters", "arn:aws:ssm:us-east-1::parameter/aws/service/*")])
    ssm = cloud.client("ssm", **keys)
    ssm.get_parameters(Names=["/aws/service/none/a", "/aws/service/none/b"])
    assert refusal(ssm.get_parameters, Names=["/aws/service/none/a", "/mine"]) == "AccessDeniedException"


def test_creating_a_function_needs_passrole(cloud: Running) -> None:
    keys, _ = session(cloud, "maker", [allow("lambda:*", "*")])
    parameters = {
        "FunctionName": "made",
        "Runtime": "python3.13",
        "Handler": "a.b",
        "Role": "arn:aws:iam::000000000000:role/maker",
        "Code": {"ZipFile": b"no matter"},
    }
    assert refusal(cloud.client("lambda", **keys).create_function, **parameters) == "AccessDeniedException"


def test_absent_object_is_403_without_list_permission(cloud: Running) -> None:
    objects, everything = f"arn:aws:s3:::{BUCKET}/go/*", f"arn:aws:s3:::{BUCKET}"
    keys, _ = session(cloud, "blind", [allow("s3:GetObject", objects)])
    assert refusal(cloud.client("s3", **keys).get_object, Bucket=BUCKET, Key="go/a") == "AccessDenied"
    keys, _ = session(cloud, "seeing", [allow("s3:GetObject", objects), allow("s3:ListBucket", everything)])
    assert refusal(cloud.client("s3", **keys).get_object, Bucket=BUCKET, Key="go/a") == "NoSuchKey"
    assert refusal(cloud.client("s3", **keys).head_object, Bucket=BUCKET, Key="go/a") == "404"
