"""The stack of a project in CloudFormation, and the bucket that was there before it: made, changed, ended, looked at.

What shall stand in the stack is core/template.py's; nothing of jobs here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from dayfly.cloud.clients import Aws, code_of
from dayfly.core import names
from dayfly.errors import FileError, LeftError, SupplyError

DIGEST_TAG = "dayfly:template"
INLINE_BYTES = 51_200
"""CloudFormation's limit for a template in the call itself; a larger one is read from the bucket."""
CAPABILITIES = ["CAPABILITY_IAM"]
_GOOD = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}
_NEVER_MADE = {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}
_BUSY = "_IN_PROGRESS"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A stack as it stands: its outputs and the digest of the template it was made from."""

    name: str
    status: str
    outputs: Mapping[str, str]
    digest: str


def find(aws: Aws, project: str) -> Stack | None:
    """The project's stack, or None."""
    name = names.stack(project)
    try:
        told = aws.client("cloudformation").describe_stacks(StackName=name)
    except ClientError as error:
        if code_of(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    found = [one for one in told["Stacks"] if one["StackStatus"] != "DELETE_COMPLETE"]
    if not found:
        return None
    one = found[0]
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}
    outputs = {each["OutputKey"]: each["OutputValue"] for each in one.get("Outputs", [])}
    return Stack(name=name, status=one["StackStatus"], outputs=outputs, digest=tags.get(DIGEST_TAG, ""))


def apply(aws: Aws, project: str, bucket: str, text: str, digest: str, tags: Mapping[str, str]) -> Stack:
    """Makes or changes the stack and waits. Raises SupplyError with the first resource that failed and why."""
    there = find(aws, project)
    if there is not None and there.status.endswith(_BUSY):
        raise LeftError(f"stack {there.name} is {there.status}", hint="dayfly deploy, when it has settled")
    if there is not None and there.status in _NEVER_MADE:
        # A stack whose creation failed can only be deleted; it never started a server.
        delete(aws, project)
        there = None
    elif there is not None and there.status not in _GOOD:
        raise LeftError(
            f"stack {there.name} is {there.status}; its sweeper may be at work, so it is not deleted for you",
            hint=f"aws cloudformation describe-stack-events --stack-name {there.name}",
        )
    client = aws.client("cloudformation")
    pairs = {**tags, names.TAG_PROJECT: project, DIGEST_TAG: digest}
    request = {
        "StackName": names.stack(project),
        "Capabilities": CAPABILITIES,
        "Tags": [{"Key": key, "Value": value} for key, value in sorted(pairs.items())],
        **_body(aws, bucket, text, digest),
    }
    if there is None:
        # Kept when it fails, so that its events say why; the next deploy deletes it first.
        client.create_stack(**request, OnFailure="ROLLBACK")
        _wait(aws, project, "stack_create_complete")
    else:
        try:
            client.update_stack(**request)
        except ClientError as error:
            if "No updates" not in str(error):
                raise
        else:
            _wait(aws, project, "stack_update_complete")
    made = find(aws, project)
    if made is None:
        raise SupplyError(f"stack {names.stack(project)} is not there after it was made")
    return made


def delete(aws: Aws, project: str) -> None:
    """Deletes the stack and waits; none is fine."""
    if find(aws, project) is None:
        return
    aws.client("cloudformation").delete_stack(StackName=names.stack(project))
    _wait(aws, project, "stack_delete_complete")


def _body(aws: Aws, bucket: str, text: str, digest: str) -> dict[str, str]:
    if len(text.encode()) <= INLINE_BYTES:
        return {"TemplateBody": text}
    key = f"{names.FUNCTIONS}template-{digest[:16]}.json"
    s3 = aws.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=text.encode())
    return {
        "TemplateURL": s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=3600)
    }


def _wait(aws: Aws, project: str, waiter: str) -> None:
    # On this machine a stack takes a second; AWS takes a minute and does not like to be asked every second.
    delay = 1 if aws.endpoint else 5
    try:
        aws.client("cloudformation").get_waiter(waiter).wait(
            StackName=names.stack(project), WaiterConfig={"Delay": delay, "MaxAttempts": 900 // delay}
        )
    except WaiterError as error:
        resource, why = _first_failure(aws, project)
        raise SupplyError(
            f"stack {names.stack(project)} failed at {resource}: {why}",
            hint=f"aws cloudformation describe-stack-events --stack-name {names.stack(project)}",
        ) from error


def _first_failure(aws: Aws, project: str) -> tuple[str, str]:
    try:
        told = aws.client("cloudformation").describe_stack_events(StackName=names.stack(project))
    except ClientError:
        return "an unknown resource", "the stack is gone already"
    failed = [each for each in told["StackEvents"] if each["ResourceStatus"].endswith("FAILED")]
    if not failed:
        return "an unknown resource", "no event says why"
    first = failed[-1]
    return first["LogicalResourceId"], first.get("ResourceStatusReason", "no reason given")


# --- the bucket -----------------------------------------------------------------------------------------------------------


def bucket_exists(aws: Aws, bucket: str, account: str) -> bool:
    """Whether the bucket is there and of this account. Raises FileError when another account has it.

    Its name can be guessed: a foreign bucket that lets us in would hand our functions foreign code.
    """
    try:
        aws.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        if code_of(error) in ("404", "NoSuchBucket"):
            return False
        if code_of(error) in ("403", "AccessDenied"):
            raise FileError(f"bucket {bucket} belongs to another account, or you may not see it") from error
        raise
    return True


def ensure_bucket(
    aws: Aws, bucket: str, account: str, tags: Mapping[str, str], project: str, policy: Mapping[str, Any]
) -> bool:
    """Makes the bucket, or adopts the one that is there; its settings are set each time. True when it was made."""
    s3 = aws.client("s3")
    made = not bucket_exists(aws, bucket, account)
    if made:
        where = {} if aws.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": aws.region}}
        s3.create_bucket(Bucket=bucket, **where)
        s3.get_waiter("bucket_exists").wait(Bucket=bucket, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    closed = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=closed)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    unfinished = {
        "ID": "unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [unfinished]})
    pairs = [{"Key": key, "Value": value} for key, value in sorted({**tags, names.TAG_PROJECT: project}.items())]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": pairs})
    return made


def upload(aws: Aws, bucket: str, key: str, path: Path) -> bool:
    """Stores a file under a name of its content, once. False when it was there already."""
    s3 = aws.client("s3")
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code_of(error) not in ("404", "NoSuchKey"):
            raise
    else:
        return False
    s3.upload_file(str(path), bucket, key)
    return True


def bucket_size(aws: Aws, bucket: str) -> tuple[int, int]:
    """(objects, bytes) of the whole bucket, counted now."""
    pages = aws.client("s3").get_paginator("list_objects_v2").paginate(Bucket=bucket)
    sizes = [each["Size"] for page in pages for each in page.get("Contents", [])]
    return len(sizes), sum(sizes)


def delete_bucket(aws: Aws, bucket: str) -> None:
    """Removes every object, unfinished uploads too, and the bucket."""
    s3: Any = aws.client("s3")
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for each in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])
    s3.delete_bucket(Bucket=bucket)
