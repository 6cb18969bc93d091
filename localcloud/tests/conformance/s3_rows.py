"""S3 objects: conditional requests, races, listings, multipart uploads, checksums."""

import hashlib
import http.client
import json
import urllib.parse
import zlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import rows
from targets import Target, allow, error_code

CONDITIONS = "S3 User Guide, Add preconditions to S3 operations with conditional requests"
ERRORS = "S3 API Reference, Error responses"
CONSISTENT = "S3 User Guide, Amazon S3 data consistency model"

row = partial(rows.row, "s3")


def put(target: Target, key: str, body: bytes = b"1", **more: Any) -> dict[str, Any]:
    """Put an object into the shared bucket and return the answer."""
    answer: dict[str, Any] = target.client("s3").put_object(Bucket=target.bucket(), Key=key, Body=body, **more)
    return answer


def refused(target: Target, call: str, key: str, **more: Any) -> str:
    """Return the error code of a call on an object ("" if it succeeds)."""
    return error_code(getattr(target.client("s3"), call), Bucket=target.bucket(), Key=key, **more)


def upload(target: Target, key: str, *parts: bytes) -> dict[str, Any]:
    """Upload parts; return the parameters of CompleteMultipartUpload."""
    s3, where = target.client("s3"), {"Bucket": target.bucket(), "Key": key}
    parameters = where | {"UploadId": s3.create_multipart_upload(**where)["UploadId"]}
    sent = [
        {"PartNumber": number, "ETag": s3.upload_part(PartNumber=number, Body=body, **parameters)["ETag"]}
        for number, body in enumerate(parts, 1)
    ]
    return parameters | {"MultipartUpload": {"Parts": sent}}


@row("A write is visible at once, by GET and in listings", CONSISTENT)
def read_after_write(target: Target) -> None:
    s3, key = target.client("s3"), target.name_for("key")
    for body in (b"one", b"two"):
        put(target, key, body)
        assert s3.get_object(Bucket=target.bucket(), Key=key)["Body"].read() == body
    assert s3.list_objects_v2(Bucket=target.bucket(), Prefix=key)["KeyCount"] == 1


@row("If-None-Match: * for an existing key is 412 PreconditionFailed", CONDITIONS)
def put_if_absent(target: Target) -> None:
    key = target.name_for("key")
    put(target, key, IfNoneMatch="*")
    assert refused(target, "put_object", key, Body=b"2", IfNoneMatch="*") == "PreconditionFailed"


@row("If-Match with an old ETag is 412; with the current ETag it writes", CONDITIONS)
def put_if_same(target: Target) -> None:
    key = target.name_for("key")
    first = put(target, key)["ETag"]
    second = put(target, key, b"2", IfMatch=first)["ETag"]
    assert refused(target, "put_object", key, Body=b"3", IfMatch=first) == "PreconditionFailed"
    assert target.client("s3").head_object(Bucket=target.bucket(), Key=key)["ETag"] == second


@row("If-Match for a key that does not exist is 404 NoSuchKey", CONDITIONS)
def put_if_same_of_absent_key(target: Target) -> None:
    assert refused(target, "put_object", target.name_for("key"), Body=b"1", IfMatch='"0"') == "NoSuchKey"


@row("One of many concurrent create-only writes wins; the others get 412, or 409 while it is in progress", CONDITIONS)
def first_writers_race(target: Target) -> None:
    key = target.name_for("key")
    with ThreadPoolExecutor(10) as pool:
        write = partial(refused, target, "put_object", key, IfNoneMatch="*")
        codes = list(pool.map(lambda number: write(Body=str(number).encode()), range(10)))
    assert codes.count("") == 1
    assert set(codes) <= {"", "PreconditionFailed", "ConditionalRequestConflict"}


@row(
    "In a write (PutObject, CopyObject, CompleteMultipartUpload) an If-None-Match other than `*` is NotImplemented",
    "S3 API Reference, PutObject, If-None-Match; Error responses, NotImplemented",
    unverified="The error code; the page only says that `*` is expected.",
)
def if_none_match_takes_only_asterisk(target: Target) -> None:
    key, s3 = target.name_for("key"), target.client("s3")
    put(target, key)
    answer = upload(target, key, b"2")
    assert refused(target, "put_object", key, Body=b"2", IfNoneMatch='"x"') == "NotImplemented"
    where = {"Bucket": target.bucket(), "Key": key}
    assert refused(target, "copy_object", key, CopySource=where, IfNoneMatch='"x"') == "NotImplemented"
    assert error_code(s3.complete_multipart_upload, IfNoneMatch='"x"', **answer) == "NotImplemented"
    assert s3.get_object(**where)["Body"].read() == b"1"


@row(
    "A conditional write is 409 ConditionalRequestConflict if the key is written while its body is being sent",
    CONDITIONS,
    not_on_aws="AWS does not promise that these writes overlap",
)
def overtaken_writes(target: Target) -> None:
    key, s3 = target.name_for("key"), target.client("s3")
    parameters = {"Bucket": target.bucket(), "Key": key, "IfNoneMatch": "*"}
    url = urllib.parse.urlsplit(s3.generate_presigned_url("put_object", Params=parameters, ExpiresIn=300))
    slow = http.client.HTTPConnection(url.netloc, timeout=60)
    slow.putrequest("PUT", f"{url.path}?{url.query}")
    for name, value in (("If-None-Match", "*"), ("Content-Length", "4"), ("Expect", "100-continue")):
        slow.putheader(name, value)
    slow.endheaders()
    # After "100 Continue" the server has begun to handle the request.
    assert slow.sock.recv(1024).startswith(b"HTTP/1.1 100 ")
    slow.send(b"sl")
    put(target, key, b"quick")
    slow.send(b"ow")
    answer = slow.getresponse()
    body = answer.read()
    slow.close()
    assert answer.status == 409
    assert b"<Code>ConditionalRequestConflict</Code>" in body
    assert s3.get_object(Bucket=target.bucket(), Key=key)["Body"].read() == b"quick"


@row("CompleteMultipartUpload supports If-None-Match", CONDITIONS)
def complete_if_absent(target: Target) -> None:
    key, s3 = target.name_for("key"), target.client("s3")
    put(target, key)
    answer = upload(target, key, b"2")
    assert error_code(s3.complete_multipart_upload, IfNoneMatch="*", **answer) == "PreconditionFailed"
    assert s3.get_object(Bucket=target.bucket(), Key=key)["Body"].read() == b"1"


@row("CopyObject supports If-None-Match for its destination", CONDITIONS)
def copy_if_absent(target: Target) -> None:
    source, key = target.name_for("key"), target.name_for("key")
    put(target, source)
    put(target, key, b"2")
    where = {"Bucket": target.bucket(), "Key": source}
    assert refused(target, "copy_object", key, CopySource=where, IfNoneMatch="*") == "PreconditionFailed"


@row("DeleteObject supports If-Match", CONDITIONS)
def delete_if_same(target: Target) -> None:
    key = target.name_for("key")
    etag = put(target, key)["ETag"]
    put(target, key, b"2")
    assert refused(target, "delete_object", key, IfMatch=etag) == "PreconditionFailed"


@row("GET with If-None-Match of the current ETag is 304", "S3 API Reference, GetObject")
def get_if_other(target: Target) -> None:
    key = target.name_for("key")
    etag = put(target, key)["ETag"]
    assert refused(target, "get_object", key, IfNoneMatch=etag) == "304"


@row(
    "An absent key is NoSuchKey with permission to list, and AccessDenied without",
    "S3 API Reference, GetObject, Permissions",
)
def absent_keys(target: Target) -> None:
    bucket, key = target.bucket(), target.name_for("key")
    assert refused(target, "get_object", key) == "NoSuchKey"
    keys = target.session(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/*"))
    client = target.client("s3", keys=keys)
    assert error_code(client.get_object, Bucket=bucket, Key=key) == "AccessDenied"


@row("Deleting an absent key succeeds", "S3 API Reference, DeleteObject")
def delete_absent_key(target: Target) -> None:
    assert refused(target, "delete_object", target.name_for("key")) == ""


@row(
    "A listing is ordered by the keys' bytes, has pages, and groups keys by a delimiter",
    "S3 API Reference, ListObjectsV2",
)
def listings(target: Target) -> None:
    s3, base = target.client("s3"), target.name_for("list")
    names = ["B", "a", "b/1", "b/2", "c"]
    for name in names:
        put(target, f"{base}/{name}")
    parameters = {"Bucket": target.bucket(), "Prefix": f"{base}/", "MaxKeys": 2}
    first = s3.list_objects_v2(**parameters)
    assert (first["KeyCount"], first["IsTruncated"]) == (2, True)
    second = s3.list_objects_v2(**parameters, ContinuationToken=first["NextContinuationToken"])
    found = [one["Key"].removeprefix(f"{base}/") for page in (first, second) for one in page["Contents"]]
    assert found == names[:4]
    folders = s3.list_objects_v2(Bucket=target.bucket(), Prefix=f"{base}/", Delimiter="/")
    assert [one["Prefix"] for one in folders["CommonPrefixes"]] == [f"{base}/b/"]
    after = s3.list_objects_v2(Bucket=target.bucket(), Prefix=f"{base}/", StartAfter=f"{base}/b/2")
    assert [one["Key"] for one in after["Contents"]] == [f"{base}/c"]


@row(
    "A range request is 206 with these bytes; a range beyond the end is InvalidRange",
    "S3 API Reference, GetObject, Range",
)
def ranges(target: Target) -> None:
    key = target.name_for("key")
    put(target, key, b"0123456789")
    part = target.client("s3").get_object(Bucket=target.bucket(), Key=key, Range="bytes=2-4")
    assert (part["ResponseMetadata"]["HTTPStatusCode"], part["Body"].read()) == (206, b"234")
    assert refused(target, "get_object", key, Range="bytes=10-") == "InvalidRange"


@row("A body that does not match its checksum is refused", ERRORS + ", BadDigest")
def checksums(target: Target) -> None:
    key, other = target.name_for("key"), b"other"
    wrong = {
        "ContentMD5": hashlib.md5(other, usedforsecurity=False).digest(),
        "ChecksumSHA256": hashlib.sha256(other).digest(),
        "ChecksumSHA1": hashlib.sha1(other, usedforsecurity=False).digest(),
        "ChecksumCRC32": zlib.crc32(other).to_bytes(4),
    }
    for name, digest in wrong.items():
        parameters = {name: b64encode(digest).decode()}
        assert refused(target, "put_object", key, Body=b"1", **parameters) == "BadDigest", name
        assert refused(target, "head_object", key) == "404", name


@row("A part other than the last that is smaller than 5 MiB is EntityTooSmall", ERRORS + ", EntityTooSmall")
def small_parts(target: Target) -> None:
    answer = upload(target, target.name_for("key"), b"1", b"2")
    assert error_code(target.client("s3").complete_multipart_upload, **answer) == "EntityTooSmall"


@row("A completed upload consists of the listed parts only", ERRORS + ", EntityTooSmall")
def listed_parts(target: Target) -> None:
    s3, said = target.client("s3"), upload(target, target.name_for("key"), b"1", b"2")
    said["MultipartUpload"]["Parts"].pop(0)
    s3.complete_multipart_upload(**said)
    assert s3.get_object(Bucket=said["Bucket"], Key=said["Key"])["Body"].read() == b"2"


@row("Parts that are not listed in ascending order are InvalidPartOrder", ERRORS + ", InvalidPartOrder")
def parts_in_order(target: Target) -> None:
    answer = upload(target, target.name_for("key"), b"1" * (5 << 20), b"2")
    answer["MultipartUpload"]["Parts"].reverse()
    assert error_code(target.client("s3").complete_multipart_upload, **answer) == "InvalidPartOrder"


@row("A key of more than 1,024 bytes is KeyTooLongError", ERRORS + ", KeyTooLongError")
def long_keys(target: Target) -> None:
    key = target.name_for("key").ljust(1022, "k")
    assert refused(target, "put_object", key + "\u00e9", Body=b"1") == ""
    assert refused(target, "put_object", key + "\u00e9k", Body=b"1") == "KeyTooLongError"


@row(
    "An upload that is not completed creates no object and can be aborted",
    "S3 User Guide, Uploading and copying objects using multipart upload",
)
def aborted_uploads(target: Target) -> None:
    s3, key = target.client("s3"), target.name_for("key")
    answer = upload(target, key, b"1")
    answer.pop("MultipartUpload")
    assert refused(target, "head_object", key) == "404"
    s3.abort_multipart_upload(**answer)
    assert error_code(s3.list_parts, **answer) == "NoSuchUpload"


@row("Deleting a bucket with objects is BucketNotEmpty", ERRORS)
def non_empty_buckets(target: Target) -> None:
    put(target, target.name_for("key"))
    assert error_code(target.client("s3").delete_bucket, Bucket=target.bucket()) == "BucketNotEmpty"


@row("An object keeps its metadata and content type", "S3 User Guide, Working with object metadata")
def metadata(target: Target) -> None:
    key = target.name_for("key")
    put(target, key, ContentType="application/json", Metadata={"run": "pi"})
    head = target.client("s3").head_object(Bucket=target.bucket(), Key=key)
    assert (head["ContentType"], head["Metadata"], head["ContentLength"]) == ("application/json", {"run": "pi"}, 1)


@row("An invalid bucket policy is MalformedPolicy", ERRORS + ", MalformedPolicy")
def malformed_policies(target: Target) -> None:
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Perhaps"}]})
    s3 = target.client("s3")
    target.undo_after_row(s3.delete_bucket_policy, Bucket=target.bucket())
    assert error_code(s3.put_bucket_policy, Bucket=target.bucket(), Policy=document) == "MalformedPolicy"
