"""Answers the calls about the bucket itself and about whole files. Records in it are objects.py's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud import objects
from dayfly.cloud.clients import code_of
from dayfly.cloud.context import Context
from dayfly.flows import calls

_BLOCK_BYTES = 1 << 20
_ALL_CLOSED = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)


def find(context: Context, call: calls.FindBucket) -> calls.BucketState:
    """Asks with the expected owner, so that S3 denies a bucket of another account."""
    request = {"Bucket": context.bucket}
    if call.owner is not None:
        request["ExpectedBucketOwner"] = call.owner
    try:
        _s3(context).head_bucket(**request)
    except ClientError as error:
        if code_of(error) in ("404", "NoSuchBucket"):
            return "absent"
        if code_of(error) in ("403", "AccessDenied"):
            return "denied"
        raise
    return "owned"


def make(context: Context, _call: calls.CreateBucket) -> bool:
    """Creates the bucket in the region of the context."""
    request: dict[str, Any] = {"Bucket": context.bucket}
    if context.aws.region != "us-east-1":  # which S3 takes as no place at all
        request["CreateBucketConfiguration"] = {"LocationConstraint": context.aws.region}
    try:
        _s3(context).create_bucket(**request)
    except ClientError as error:
        if code_of(error) == "BucketAlreadyOwnedByYou":
            return True
        if code_of(error) == "BucketAlreadyExists":
            return False
        raise
    return True


def set_up(context: Context, call: calls.SetUpBucket) -> None:
    """Sets all of it each time; each part may be repeated."""
    s3, bucket = _s3(context), context.bucket
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=_ALL_CLOSED)
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(call.policy))
    unfinished = {
        "ID": "unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": call.abort_uploads_after_days},
    }
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [unfinished]})
    pairs = [{"Key": key, "Value": value} for key, value in sorted(call.tags.items())]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": pairs})


def measure(context: Context, _call: calls.MeasureBucket) -> calls.BucketSize:
    """Lists the whole bucket: S3 has no count that is true now."""
    pages = _s3(context).get_paginator("list_objects_v2").paginate(Bucket=context.bucket)
    sizes = [each["Size"] for page in pages for each in page.get("Contents", [])]
    return calls.BucketSize(objects=len(sizes), bytes=sum(sizes))


def delete_some(context: Context, _call: calls.DeleteSomeObjects) -> int:
    """Deletes the first page of a listing."""
    page = _s3(context).list_objects_v2(Bucket=context.bucket)
    keys = tuple(each["Key"] for each in page.get("Contents", []))
    if keys:
        objects.delete_at_once(context, keys)
    return len(keys)


def abort_some(context: Context, _call: calls.AbortSomeUploads) -> int:
    """Aborts the first page of unfinished uploads: they cost money and no listing of objects shows them."""
    page = _s3(context).list_multipart_uploads(Bucket=context.bucket)
    uploads = page.get("Uploads", [])
    for each in uploads:
        _abort(context, each["Key"], each["UploadId"])
    return len(uploads)


def _abort(context: Context, key: str, upload: str) -> None:
    try:
        _s3(context).abort_multipart_upload(Bucket=context.bucket, Key=key, UploadId=upload)
    except ClientError as error:
        if code_of(error) != "NoSuchUpload":
            raise


def delete(context: Context, _call: calls.DeleteBucket) -> bool:
    """Deletes the bucket; one that is gone counts as deleted."""
    try:
        _s3(context).delete_bucket(Bucket=context.bucket)
    except ClientError as error:
        if code_of(error) == "BucketNotEmpty":
            return False
        if code_of(error) in ("404", "NoSuchBucket"):
            return True
        raise
    return True


def upload(context: Context, call: calls.Upload) -> bool:
    """Looks first: the key names the content, so an object of this key needs no second upload."""
    try:
        _s3(context).head_object(Bucket=context.bucket, Key=call.key)
    except ClientError as error:
        if code_of(error) not in ("404", "NoSuchKey"):
            raise
    else:
        return False
    with Path(call.path).open("rb") as file:
        _s3(context).upload_fileobj(file, context.bucket, call.key)
    return True


def download(context: Context, call: calls.Download) -> calls.Downloaded | None:
    """Streams the object to the file and hashes it on the way, so a large one needs little memory."""
    try:
        body = _s3(context).get_object(Bucket=context.bucket, Key=call.key)["Body"]
    except ClientError as error:
        if code_of(error) in ("404", "NoSuchKey"):
            return None
        raise
    digest, size = hashlib.sha256(), 0
    path = Path(call.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for block in body.iter_chunks(_BLOCK_BYTES):
            file.write(block)
            digest.update(block)
            size += len(block)
    return calls.Downloaded(size=size, sha256=digest.hexdigest())


def _s3(context: Context) -> Any:
    return context.aws.client("s3")
