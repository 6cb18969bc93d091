"""Answer the calls about the bucket itself, and upload and download files. Records in the bucket are read and written in objects.py."""

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
    """Return whether the bucket is absent, owned or denied. Given the owner, S3 denies the bucket of another account."""
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


def make(context: Context, _call: calls.CreateBucket) -> calls.BucketCreation:
    """Create the bucket in the context's region, unless it exists."""
    request: dict[str, Any] = {"Bucket": context.bucket}
    if context.aws.region != "us-east-1":  # S3 refuses us-east-1 as a LocationConstraint; it is the default
        request["CreateBucketConfiguration"] = {"LocationConstraint": context.aws.region}
    try:
        _s3(context).create_bucket(**request)
    except ClientError as error:
        if code_of(error) == "BucketAlreadyOwnedByYou":
            return "made"
        if code_of(error) == "BucketAlreadyExists":
            return "taken"
        if code_of(error) == "OperationAborted":
            return "busy"
        raise
    return "made"


def set_up(context: Context, call: calls.SetUpBucket) -> None:
    """Set public access block, policy, lifecycle rule and tags. Each request may be repeated."""
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
    """Return the number and size of all objects. The whole bucket is listed, because S3's own count is up to a day old."""
    pages = _s3(context).get_paginator("list_objects_v2").paginate(Bucket=context.bucket)
    sizes = [each["Size"] for page in pages for each in page.get("Contents", [])]
    return calls.BucketSize(objects=len(sizes), bytes=sum(sizes))


def delete_some(context: Context, _call: calls.DeleteSomeObjects) -> int:
    """Delete up to a thousand objects (one page of a listing) and return how many."""
    page = _s3(context).list_objects_v2(Bucket=context.bucket)
    keys = tuple(each["Key"] for each in page.get("Contents", []))
    if keys:
        objects.delete_batch(context, keys)
    return len(keys)


def abort_some(context: Context, _call: calls.AbortSomeUploads) -> int:
    """Abort one page of unfinished uploads and return how many. They cost money, and a listing of objects does not show them."""
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
    """Delete the bucket. Returns False if it is not empty; a bucket that no longer exists counts as deleted."""
    try:
        _s3(context).delete_bucket(Bucket=context.bucket)
    except ClientError as error:
        if code_of(error) == "BucketNotEmpty":
            return False
        if code_of(error) in ("404", "NoSuchBucket"):
            return True
        raise
    return True


def object_url(context: Context, call: calls.ObjectUrl) -> str:
    """Return an object's URL. botocore makes it for a signed link, of which all but the signature is kept. No request is sent."""
    target = {"Bucket": context.bucket, "Key": call.key}
    link: str = _s3(context).generate_presigned_url("get_object", Params=target)
    return link.partition("?")[0]


def upload(context: Context, call: calls.Upload) -> bool:
    """Store a file unless its key exists, and return whether it was stored. The key contains the content's hash.

    An object that was written before `call.fresh` is copied to itself: then it is young, and no sweep takes it for unused.
    """
    where = {"Bucket": context.bucket, "Key": call.key}
    try:
        if _s3(context).head_object(**where)["LastModified"] < call.fresh:
            _s3(context).copy_object(**where, CopySource=where, MetadataDirective="REPLACE")
    except ClientError as error:
        if code_of(error) not in ("404", "NoSuchKey"):
            raise
    else:
        return False
    # Imported here: it takes as long as all of dayfly, and the functions upload no file.
    from s3transfer.manager import TransferManager

    with Path(call.path).open("rb") as file, TransferManager(_s3(context)) as manager:
        manager.upload(file, context.bucket, call.key).result()
    return True


def download(context: Context, call: calls.Download) -> calls.Downloaded | None:
    """Download an object to a file and return its size and SHA-256, or None if it does not exist. It is streamed, to need little memory."""
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
