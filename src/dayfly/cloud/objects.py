"""Answer the calls about objects: reads, conditional writes, lists, signed links. With `If-None-Match: *` the first writer wins.

S3's answers to a conditional write: 409 means repeat the write; 412 means another object is there, read it.
"""

from __future__ import annotations

import time
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of, status_of
from dayfly.cloud.context import Context
from dayfly.errors import Unclear
from dayfly.flows import calls

CONFLICT_TRIES = 8
"""How often a write is tried that S3 answers with 409 (two writers at once). botocore does not retry it."""
_BATCH = 1000


def get(context: Context, call: calls.Get) -> calls.Stored | calls.TooLarge | None:
    """Return an object, or None if it does not exist. Its size is known before its body is read into memory."""
    try:
        found = _s3(context).get_object(Bucket=call.bucket or context.bucket, Key=call.key)
    except ClientError as error:
        if code_of(error) in ("NoSuchKey", "404"):
            return None
        raise
    etag = found["ETag"].strip('"')
    if found["ContentLength"] > call.most:
        found["Body"].close()
        return calls.TooLarge(etag)
    return calls.Stored(body=found["Body"].read(), etag=etag)


def put_new(context: Context, call: calls.PutNew) -> bool:
    """Write an object if there is none with this key. Returns whether it is written, by this call or by its lost first try."""
    return _put_if(context, call, {"IfNoneMatch": "*"})


def put_match(context: Context, call: calls.PutMatch) -> bool:
    """Replace an object if it still has this etag. Returns whether it is replaced."""
    return _put_if(context, call, {"IfMatch": f'"{call.etag}"'})


def put(context: Context, call: calls.Put) -> None:
    """Write an object, also over an existing one."""
    _s3(context).put_object(Bucket=context.bucket, Key=call.key, Body=call.body)


def list_all(context: Context, call: calls.List) -> tuple[str, ...]:
    """Return all keys under a prefix, sorted; with `folders` the folders directly below it."""
    pages = _s3(context).get_paginator("list_objects_v2")
    if call.folders:
        found = pages.paginate(Bucket=context.bucket, Prefix=call.prefix, Delimiter="/")
        return tuple(sorted(each["Prefix"] for page in found for each in page.get("CommonPrefixes", [])))
    found = pages.paginate(Bucket=context.bucket, Prefix=call.prefix)
    return tuple(sorted(each["Key"] for page in found for each in page.get("Contents", [])))


def list_from(context: Context, call: calls.ListFrom) -> tuple[str, ...]:
    """Return one page. S3 lists keys in the order of their UTF-8 bytes."""
    page = _s3(context).list_objects_v2(
        Bucket=context.bucket, Prefix=call.prefix, StartAfter=call.after, MaxKeys=call.most
    )
    return tuple(each["Key"] for each in page.get("Contents", []))


def list_sizes(context: Context, call: calls.ListSizes) -> dict[str, int]:
    """Return one page of keys with their sizes."""
    page = _s3(context).list_objects_v2(
        Bucket=context.bucket, Prefix=call.prefix, StartAfter=call.after, MaxKeys=calls.PAGE
    )
    return {each["Key"]: each["Size"] for each in page.get("Contents", [])}


def list_older(context: Context, call: calls.ListOlder) -> tuple[str, ...]:
    """Return the keys of objects that were last written before a time."""
    pages = _s3(context).get_paginator("list_objects_v2").paginate(Bucket=context.bucket, Prefix=call.prefix)
    found = (each for page in pages for each in page.get("Contents", []))
    return tuple(sorted(each["Key"] for each in found if each["LastModified"] < call.before))


def sign_get(context: Context, call: calls.SignGet) -> str:
    """Return a link to an object, signed with the current credentials. No request is sent."""
    target = {"Bucket": context.bucket, "Key": call.key}
    link: str = _s3(context).generate_presigned_url("get_object", Params=target, ExpiresIn=call.seconds)
    return link


def delete(context: Context, call: calls.Delete) -> bool:
    """Delete one object; if an etag is given, only the object with this etag. Returns False if it has another one."""
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
    """Delete these objects, up to a thousand in each request."""
    for start in range(0, len(call.keys), _BATCH):
        delete_batch(context, call.keys[start : start + _BATCH])


def delete_batch(context: Context, keys: tuple[str, ...]) -> None:
    """Delete up to a thousand objects in one request. Raises Unclear when S3 did not delete all of them."""
    wanted = [{"Key": key} for key in keys]
    answer = _s3(context).delete_objects(Bucket=context.bucket, Delete={"Objects": wanted, "Quiet": True})
    if answer.get("Errors"):
        first = answer["Errors"][0]
        raise Unclear(
            f"{first.get('Key')}: {first.get('Code')}; not all objects were deleted", hint="repeat the command"
        )


def _put_if(context: Context, call: calls.PutNew | calls.PutMatch, condition: dict[str, str]) -> bool:
    if _written(context, call, condition):
        return True
    # botocore repeats a request whose answer was lost, so the 412 may be caused by this write's own first try.
    stored = get(context, calls.Get(call.key, bucket=call.bucket))
    return isinstance(stored, calls.Stored) and stored.body == call.body


def _written(context: Context, call: calls.PutNew | calls.PutMatch, condition: dict[str, str]) -> bool:
    bucket = call.bucket or context.bucket
    for attempt in range(CONFLICT_TRIES):
        try:
            _s3(context).put_object(Bucket=bucket, Key=call.key, Body=call.body, **condition)
        except ClientError as error:
            if code_of(error) in ("PreconditionFailed", "NoSuchKey") or status_of(error) == 412:
                return False
            if code_of(error) != "ConditionalRequestConflict" and status_of(error) != 409:
                raise
            time.sleep(0.05 * 2**attempt)
        else:
            return True
    raise Unclear(f"{call.key}: {CONFLICT_TRIES} writes in a row met another writer", hint="repeat the command")


def _s3(context: Context) -> Any:
    return context.aws.client("s3")
