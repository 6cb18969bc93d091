"""Answers the calls about objects: reads, conditional writes, lists, links. First writer wins by `If-None-Match: *`.

Of a conditional write, 409 means repeat and 412 means read.
"""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of, status_of
from dayfly.cloud.context import Context
from dayfly.errors import Unclear
from dayfly.flows import calls

CONFLICTS = 8
"""How often a 409 (two writers at once) is repeated. botocore does not repeat it."""
_DELETED_AT_ONCE = 1000


def get(context: Context, call: calls.Get) -> calls.Stored | None:
    """Reads the whole object into memory: for records only."""
    try:
        found = _s3(context).get_object(Bucket=context.bucket, Key=call.key)
    except ClientError as error:
        if code_of(error) in ("NoSuchKey", "404"):
            return None
        raise
    return calls.Stored(body=found["Body"].read(), etag=found["ETag"].strip('"'))


def put_new(context: Context, call: calls.PutNew) -> bool:
    """Writes on the condition that there is no such object."""
    return _put_if(context, call.key, call.body, {"IfNoneMatch": "*"})


def put_match(context: Context, call: calls.PutMatch) -> bool:
    """Writes on the condition that the object still has this etag."""
    return _put_if(context, call.key, call.body, {"IfMatch": f'"{call.etag}"'})


def put(context: Context, call: calls.Put) -> None:
    """Writes without a condition."""
    _s3(context).put_object(Bucket=context.bucket, Key=call.key, Body=call.body)


def list_all(context: Context, call: calls.List) -> tuple[str, ...]:
    """Lists all pages."""
    pages = _s3(context).get_paginator("list_objects_v2")
    if call.folders:
        found = pages.paginate(Bucket=context.bucket, Prefix=call.prefix, Delimiter="/")
        return tuple(sorted(each["Prefix"] for page in found for each in page.get("CommonPrefixes", [])))
    found = pages.paginate(Bucket=context.bucket, Prefix=call.prefix)
    return tuple(sorted(each["Key"] for page in found for each in page.get("Contents", [])))


def sign_get(context: Context, call: calls.SignGet) -> str:
    """Signs a link with the credentials at hand; asks nobody."""
    target = {"Bucket": context.bucket, "Key": call.key}
    link: str = _s3(context).generate_presigned_url("get_object", Params=target, ExpiresIn=call.seconds)
    return link


def delete(context: Context, call: calls.Delete) -> bool:
    """Deletes one object, with the etag as its condition when there is one."""
    condition = {"IfMatch": f'"{call.etag}"'} if call.etag else {}
    try:
        _s3(context).delete_object(Bucket=context.bucket, Key=call.key, **condition)
    except ClientError as error:
        if code_of(error) in ("PreconditionFailed", "ConditionalRequestConflict") or status_of(error) in (409, 412):
            return False
        if code_of(error) in ("NoSuchKey", "404"):
            return True
        raise
    return True


def delete_many(context: Context, call: calls.DeleteMany) -> None:
    """Deletes a thousand objects in one request."""
    for start in range(0, len(call.keys), _DELETED_AT_ONCE):
        delete_at_once(context, call.keys[start : start + _DELETED_AT_ONCE])


def delete_at_once(context: Context, keys: tuple[str, ...]) -> None:
    """Deletes up to a thousand objects in one request. Raises Unclear when S3 did not delete all of them."""
    wanted = [{"Key": key} for key in keys]
    answer = _s3(context).delete_objects(Bucket=context.bucket, Delete={"Objects": wanted, "Quiet": True})
    if answer.get("Errors"):
        first = answer["Errors"][0]
        raise Unclear(f"{first.get('Key')}: {first.get('Code')}; not all objects were deleted", hint="repeat it")


def _put_if(context: Context, key: str, body: bytes, condition: dict[str, str]) -> bool:
    if _written(context, key, body, condition):
        return True
    # botocore repeats a request whose answer was lost: a 412 may come from this very write.
    stored = get(context, calls.Get(key))
    return stored is not None and stored.body == body


def _written(context: Context, key: str, body: bytes, condition: dict[str, str]) -> bool:
    for attempt in range(CONFLICTS):
        try:
            _s3(context).put_object(Bucket=context.bucket, Key=key, Body=body, **condition)
        except ClientError as error:
            if code_of(error) in ("PreconditionFailed", "NoSuchKey") or status_of(error) == 412:
                return False
            if code_of(error) != "ConditionalRequestConflict" and status_of(error) != 409:
                raise
            time.sleep(0.05 * 2**attempt)
        else:
            return True
    raise Unclear(f"{key}: other writers got in first {CONFLICTS} times", hint="repeat the command")


def _s3(context: Context) -> Any:
    return context.aws.client("s3")
