"""The bucket: reads, conditional writes, lists, links. First writer wins by `If-None-Match: *`; 409 means repeat, 412 means read."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of, status_of
from dayfly.cloud.context import Context
from dayfly.errors import Unclear
from dayfly.flows import calls

CONFLICTS = 8
"""How often a 409 (two writers at once) is repeated. botocore does not repeat it (aws-facts, section 0)."""


def get(context: Context, call: calls.Get) -> calls.Stored | None:
    return read(context.aws.client("s3"), context.bucket, call.key)


def put_new(context: Context, call: calls.PutNew) -> bool:
    return write_new(context.aws.client("s3"), context.bucket, call.key, call.body)


def put(context: Context, call: calls.Put) -> None:
    context.aws.client("s3").put_object(Bucket=context.bucket, Key=call.key, Body=call.body)


def list_all(context: Context, call: calls.List) -> tuple[str, ...]:
    return list_keys(context.aws.client("s3"), context.bucket, call.prefix, folders=call.folders)


def sign_get(context: Context, call: calls.SignGet) -> str:
    target = {"Bucket": context.bucket, "Key": call.key}
    link: str = context.aws.client("s3").generate_presigned_url("get_object", Params=target, ExpiresIn=call.seconds)
    return link


def read(s3: Any, bucket: str, key: str) -> calls.Stored | None:
    """An object, or None. Whole in memory: for records only."""
    try:
        found = s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if code_of(error) in ("NoSuchKey", "404"):
            return None
        raise
    return calls.Stored(body=found["Body"].read(), etag=found["ETag"].strip('"'))


def list_keys(s3: Any, bucket: str, prefix: str, *, folders: bool = False) -> tuple[str, ...]:
    """All keys under a prefix, or its next level of names."""
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=prefix, **({"Delimiter": "/"} if folders else {})
    )
    if folders:
        return tuple(sorted(each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])))
    return tuple(sorted(each["Key"] for page in pages for each in page.get("Contents", [])))


def write_new(s3: Any, bucket: str, key: str, body: bytes) -> bool:
    """Writes an object that must not exist yet. False when one with another body does."""
    if _written(s3, bucket, key, body, {"IfNoneMatch": "*"}):
        return True
    # botocore repeats a lost answer: a 412 may be the echo of our own success.
    there = read(s3, bucket, key)
    return there is not None and there.body == body


def put_match(context: Context, call: calls.PutMatch) -> bool:
    s3, bucket = context.aws.client("s3"), context.bucket
    if _written(s3, bucket, call.key, call.body, {"IfMatch": f'"{call.etag}"'}):
        return True
    there = read(s3, bucket, call.key)
    return there is not None and there.body == call.body


def _written(s3: Any, bucket: str, key: str, body: bytes, condition: dict[str, str]) -> bool:
    for again in range(CONFLICTS):
        try:
            s3.put_object(Bucket=bucket, Key=key, Body=body, **condition)
        except ClientError as error:
            if code_of(error) in ("PreconditionFailed", "NoSuchKey") or status_of(error) == 412:
                return False
            if code_of(error) != "ConditionalRequestConflict" and status_of(error) != 409:
                raise
            time.sleep(0.05 * 2**again)
        else:
            return True
    raise Unclear(f"{key}: another writer was at it {CONFLICTS} times", hint="the same again")


def delete_many(context: Context, call: calls.DeleteMany) -> None:
    for start in range(0, len(call.keys), 1000):
        part = [{"Key": key} for key in call.keys[start : start + 1000]]
        told = context.aws.client("s3").delete_objects(Bucket=context.bucket, Delete={"Objects": part, "Quiet": True})
        if told.get("Errors"):
            first = told["Errors"][0]
            raise Unclear(
                f"{first.get('Key')}: {first.get('Code')}; not all was removed", hint="the next sweep goes on"
            )


def delete(context: Context, call: calls.Delete) -> bool:
    condition = {"IfMatch": f'"{call.etag}"'} if call.etag else {}
    try:
        context.aws.client("s3").delete_object(Bucket=context.bucket, Key=call.key, **condition)
    except ClientError as error:
        if code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict") or status_of(error) in (409, 412):
            return False
        if code_of(error) in ("NoSuchKey", "404"):
            return True
        raise
    return True
