"""The bucket: reads, conditional writes, lists, links. First writer wins by `If-None-Match: *`; 409 means repeat, 412 means read."""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of, status_of
from dayfly.errors import Unclear
from dayfly.flows import calls

CONFLICTS = 8
"""How often a 409 (two writers at once) is repeated. botocore does not repeat it (aws-facts, section 0)."""


def answer(s3: Any, bucket: str, call: calls.Call[Any]) -> Any:
    """Answers the calls about objects."""
    match call:
        case calls.Get(key):
            return get(s3, bucket, key)
        case calls.PutNew(key, body):
            return _put_new(s3, bucket, key, body)
        case calls.PutMatch(key, body, etag):
            return _put_match(s3, bucket, key, body, etag)
        case calls.Put(key, body):
            s3.put_object(Bucket=bucket, Key=key, Body=body)
            return None
        case calls.Delete(key, etag):
            return _delete(s3, bucket, key, etag)
        case calls.DeleteMany(keys):
            return _delete_many(s3, bucket, keys)
        case calls.List(prefix, folders):
            return list_keys(s3, bucket, prefix, folders=folders)
        case calls.SignGet(key, seconds):
            return s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=seconds)
        case _:
            raise TypeError(type(call).__name__)


def get(s3: Any, bucket: str, key: str) -> calls.Stored | None:
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


def _put_new(s3: Any, bucket: str, key: str, body: bytes) -> bool:
    if _written(s3, bucket, key, body, {"IfNoneMatch": "*"}):
        return True
    # botocore repeats a lost answer: a 412 may be the echo of our own success.
    there = get(s3, bucket, key)
    return there is not None and there.body == body


def _put_match(s3: Any, bucket: str, key: str, body: bytes, etag: str) -> bool:
    if _written(s3, bucket, key, body, {"IfMatch": f'"{etag}"'}):
        return True
    there = get(s3, bucket, key)
    return there is not None and there.body == body


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


def _delete_many(s3: Any, bucket: str, keys: tuple[str, ...]) -> None:
    for start in range(0, len(keys), 1000):
        part = [{"Key": key} for key in keys[start : start + 1000]]
        told = s3.delete_objects(Bucket=bucket, Delete={"Objects": part, "Quiet": True})
        if told.get("Errors"):
            first = told["Errors"][0]
            raise Unclear(
                f"{first.get('Key')}: {first.get('Code')}; not all was removed", hint="the next sweep goes on"
            )


def _delete(s3: Any, bucket: str, key: str, etag: str | None) -> bool:
    try:
        s3.delete_object(Bucket=bucket, Key=key, **({"IfMatch": f'"{etag}"'} if etag else {}))
    except ClientError as error:
        if code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict") or status_of(error) in (409, 412):
            return False
        if code_of(error) in ("NoSuchKey", "404"):
            return True
        raise
    return True
