"""S3 by boto3 and the AWS CLI: racing conditional writes, multipart uploads, ranges, pages and copies; public parameters."""

import hashlib
import http.client
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from running_cloud import Running, command

pytestmark = pytest.mark.cloud

BUCKET = "plain-bucket"


@pytest.fixture(scope="module")
def s3(cloud: Running) -> Any:
    client = cloud.client("s3")
    client.create_bucket(Bucket=BUCKET)
    return client


def code(call: Any, **parameters: Any) -> str:
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


def write_until_decided(call: Any, **parameters: Any) -> str:
    """Retry on a conflict, as a client should."""
    while (answer := code(call, **parameters)) == "ConditionalRequestConflict":
        pass
    return answer


def test_one_of_twenty_create_only_writes_wins(s3: Any) -> None:
    def write(number: int) -> str:
        return write_until_decided(
            s3.put_object, Bucket=BUCKET, Key="claim", Body=str(number).encode(), IfNoneMatch="*"
        )

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(write, range(20)))
    assert answers == ["PreconditionFailed"] * 19 + ["done"]


def test_one_of_twenty_if_match_writes_wins(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="slot", Body=b"0")["ETag"]

    def write(number: int) -> str:
        return write_until_decided(s3.put_object, Bucket=BUCKET, Key="slot", Body=f"x{number}".encode(), IfMatch=etag)

    with ThreadPoolExecutor(20) as pool:
        answers = sorted(pool.map(write, range(20)))
    assert answers == ["PreconditionFailed"] * 19 + ["done"]


class Slow:
    """A conditional PutObject that sends the second half of its body only when the test asks for it."""

    def __init__(self, s3: Any, key: str, **condition: str) -> None:
        url = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": key, **condition})
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        self._connection.putrequest("PUT", f"{parts.path}?{parts.query}")
        for name, value in {"IfNoneMatch": "If-None-Match", "IfMatch": "If-Match"}.items():
            if name in condition:
                self._connection.putheader(value, condition[name])
        self._connection.putheader("Content-Length", "8")
        self._connection.endheaders(b"half")
        # When the cloud has answered a later request on a new connection, it has read the head of this one.
        s3.list_objects_v2(Bucket=BUCKET, Prefix="none")

    def finish(self) -> tuple[int, bytes]:
        self._connection.send(b"half")
        answer = self._connection.getresponse()
        return answer.status, answer.read()


def test_overtaken_create_only_write_is_409_then_412(s3: Any) -> None:
    slow = Slow(s3, "overtaken", IfNoneMatch="*")
    assert code(s3.put_object, Bucket=BUCKET, Key="overtaken", Body=b"fast", IfNoneMatch="*") == "done"
    status, body = slow.finish()
    assert (status, b"<Code>ConditionalRequestConflict</Code>" in body) == (409, True)
    assert s3.get_object(Bucket=BUCKET, Key="overtaken")["Body"].read() == b"fast"
    assert code(s3.put_object, Bucket=BUCKET, Key="overtaken", Body=b"late", IfNoneMatch="*") == "PreconditionFailed"


def test_write_is_409_when_its_object_is_deleted_meanwhile(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="vanishes", Body=b"1")["ETag"]
    slow = Slow(s3, "vanishes", IfMatch=etag)
    s3.delete_object(Bucket=BUCKET, Key="vanishes")
    assert slow.finish()[0] == 409


def test_write_is_409_when_a_batch_deletes_its_object(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="vanishes & goes", Body=b"1")["ETag"]
    slow = Slow(s3, "vanishes & goes", IfMatch=etag)
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": "none"}, {"Key": "vanishes & goes"}], "Quiet": True})
    assert slow.finish()[0] == 409


def test_write_ignores_other_keys_and_failed_writes(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="other", Body=b"1")
    slow = Slow(s3, "calm", IfNoneMatch="*")
    s3.put_object(Bucket=BUCKET, Key="another", Body=b"2")
    assert code(s3.put_object, Bucket=BUCKET, Key="calm", Body=b"", IfMatch='"0"') == "NoSuchKey"
    assert slow.finish()[0] == 200


def test_injected_conflicts_apply_to_conditional_writes_of_a_key(cloud: Running, s3: Any) -> None:
    cloud.control("s3/conflicts", {"count": 2, "key": "ordered/*"})

    def put(key: str, **condition: str) -> str:
        return code(s3.put_object, Bucket=BUCKET, Key=key, Body=b"", **condition)

    assert put("elsewhere", IfNoneMatch="*") == "done"
    assert put("ordered/a") == "done"
    assert put("ordered/b", IfNoneMatch="*") == "ConditionalRequestConflict"
    assert cloud.control("s3/conflicts", method="GET") == {"left": [{"count": 1, "key": "ordered/*"}]}
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key="ordered/c")["UploadId"]
    etag = s3.upload_part(Bucket=BUCKET, Key="ordered/c", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parameters = {
        "UploadId": upload,
        "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]},
        "IfNoneMatch": "*",
    }
    complete = s3.complete_multipart_upload
    assert code(complete, Bucket=BUCKET, Key="ordered/c", **parameters) == "ConditionalRequestConflict"
    # The client must then initiate the upload again.
    assert code(complete, Bucket=BUCKET, Key="ordered/c", **parameters) == "NoSuchUpload"
    assert put("ordered/b", IfNoneMatch="*") == "done"
    cloud.control("s3/conflicts", {"count": 5})
    assert cloud.control("s3/conflicts", method="DELETE") == {"left": []}
    assert put("ordered/d", IfNoneMatch="*") == "done"


def test_if_match_on_an_absent_object_is_404(s3: Any) -> None:
    assert code(s3.put_object, Bucket=BUCKET, Key="absent", Body=b"", IfMatch='"0"') == "NoSuchKey"
    assert code(s3.get_object, Bucket=BUCKET, Key="absent") == "NoSuchKey"
    assert code(s3.head_object, Bucket=BUCKET, Key="absent") == "404"


def test_one_of_two_completed_uploads_wins(s3: Any) -> None:
    uploads = []
    for _ in range(2):
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key="once")["UploadId"]
        etag = s3.upload_part(Bucket=BUCKET, Key="once", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
        uploads.append({"UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}})
    answers = [
        code(s3.complete_multipart_upload, Bucket=BUCKET, Key="once", IfNoneMatch="*", **said) for said in uploads
    ]
    assert answers == ["done", "PreconditionFailed"]


def test_large_file_survives_multipart_and_ranges(s3: Any, tmp_path: Path) -> None:
    body = os.urandom(1 << 20) * 30
    (tmp_path / "up").write_bytes(body)
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=6 << 20)
    s3.upload_file(str(tmp_path / "up"), BUCKET, "large", Config=config)
    s3.download_file(BUCKET, "large", str(tmp_path / "down"), Config=config)
    assert hashlib.sha256((tmp_path / "down").read_bytes()).digest() == hashlib.sha256(body).digest()
    part = s3.get_object(Bucket=BUCKET, Key="large", Range="bytes=1000-1999")
    assert part["Body"].read() == body[1000:2000]
    assert part["ContentRange"] == f"bytes 1000-1999/{len(body)}"
    assert s3.get_object(Bucket=BUCKET, Key="large", Range="bytes=-10")["Body"].read() == body[-10:]
    assert code(s3.get_object, Bucket=BUCKET, Key="large", Range=f"bytes={len(body)}-") == "InvalidRange"
    s3.copy_object(Bucket=BUCKET, Key="copied", CopySource={"Bucket": BUCKET, "Key": "large"}, IfNoneMatch="*")
    assert s3.head_object(Bucket=BUCKET, Key="copied")["ContentLength"] == len(body)


def test_copy_can_be_conditional(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="from", Body=b"new")
    etag = s3.put_object(Bucket=BUCKET, Key="to", Body=b"old")["ETag"]
    parameters = {"Bucket": BUCKET, "Key": "to", "CopySource": {"Bucket": BUCKET, "Key": "from"}}
    assert code(s3.copy_object, **parameters, IfNoneMatch="*") == "PreconditionFailed"
    assert code(s3.copy_object, **parameters, IfMatch='"0"') == "PreconditionFailed"
    assert code(s3.copy_object, **parameters, IfMatch=etag) == "done"
    assert s3.get_object(Bucket=BUCKET, Key="to")["Body"].read() == b"new"


def test_delete_can_be_conditional(s3: Any) -> None:
    etag = s3.put_object(Bucket=BUCKET, Key="gone", Body=b"1")["ETag"]
    assert code(s3.delete_object, Bucket=BUCKET, Key="gone", IfMatch='"0"') == "PreconditionFailed"
    assert code(s3.delete_object, Bucket=BUCKET, Key="gone", IfMatch=etag) == "done"


def test_ambiguous_request_is_refused(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="both", Body=b"1")
    for more in ("uploads", "partNumber", "policy", "versionId"):

        def ask_more(request: Any, more: str = more, **_: Any) -> None:
            request.url += f"?{more}=1"

        s3.meta.events.register("before-sign.s3.PutObject", ask_more)
        answer = code(s3.put_object, Bucket=BUCKET, Key="both", Body=b"2")
        s3.meta.events.unregister("before-sign.s3.PutObject", ask_more)
        assert answer == "InvalidRequest"
    assert s3.get_object(Bucket=BUCKET, Key="both")["Body"].read() == b"1"


def test_wrong_checksum_is_refused(s3: Any) -> None:
    answer = code(s3.put_object, Bucket=BUCKET, Key="sum", Body=b"abc", ChecksumSHA256="A" * 43 + "=")
    assert answer in ("BadDigest", "InvalidRequest")
    record = s3.put_object(Bucket=BUCKET, Key="sum", Body=b"abc", ChecksumAlgorithm="SHA256")
    found = s3.head_object(Bucket=BUCKET, Key="sum", ChecksumMode="ENABLED")
    assert found["ChecksumSHA256"] == record["ChecksumSHA256"]


def test_listing_has_pages_and_common_prefixes(s3: Any) -> None:
    keys = [f"list/{day:02}/{name}" for day in range(1, 6) for name in ("a", "b", "c d+é")]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=BUCKET, Prefix="list/", PaginationConfig={"PageSize": 4}
    )
    found = [[item["Key"] for item in page["Contents"]] for page in pages]
    assert [len(page) for page in found] == [4, 4, 4, 3]
    assert [key for page in found for key in page] == sorted(keys)
    folders = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", Delimiter="/")
    assert [item["Prefix"] for item in folders["CommonPrefixes"]] == [f"list/{day:02}/" for day in range(1, 6)]
    after = s3.list_objects_v2(Bucket=BUCKET, Prefix="list/", StartAfter="list/04/c d+é", MaxKeys=1)
    assert after["Contents"][0]["Key"] == "list/05/a"
    deleted = s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
    assert len(deleted["Deleted"]) == len(keys)


def test_stock_images_have_public_parameters_in_every_region(cloud: Running) -> None:
    for region in ("us-east-1", "eu-central-1"):
        names = [f"/aws/service/debian/release/13/latest/{word}" for word in ("amd64", "arm64")]
        found = cloud.client("ssm", region).get_parameters(Names=[*names, "/aws/service/none"])
        assert found["InvalidParameters"] == ["/aws/service/none"]
        values = [parameter["Value"] for parameter in found["Parameters"]]
        images = cloud.client("ec2", region).describe_images(ImageIds=values)["Images"]
        assert {image["Architecture"] for image in images} == {"x86_64", "arm64"}
    path = cloud.client("ssm").get_parameters_by_path(Path="/aws/service/debian/release/13/latest")["Parameters"]
    assert [parameter["Name"] for parameter in path] == names


def test_env_prints_exports_for_a_shell(cloud: Running) -> None:
    lines = command(cloud.directory, "env").stdout.splitlines()
    assert lines == [
        *(f"export {name}={value}" for name, value in cloud.environment.items()),
        "unset AWS_PROFILE",
        "unset AWS_SESSION_TOKEN",
    ]


@pytest.mark.skipif(shutil.which("aws") is None, reason="needs the AWS CLI")
def test_aws_cli_works_with_these_exports(cloud: Running, s3: Any, tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.environment}

    def aws(*words: str) -> str:
        done = subprocess.run(["aws", *words], env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    s3.put_object(Bucket=BUCKET, Key="cli/a", Body=b"abc")
    assert BUCKET in aws("s3", "ls")
    (tmp_path / "file").write_bytes(os.urandom(20 << 20))
    aws("s3", "cp", str(tmp_path / "file"), f"s3://{BUCKET}/cli/file", "--no-progress")
    aws("s3", "cp", f"s3://{BUCKET}/cli/file", str(tmp_path / "back"), "--no-progress")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "file").read_bytes()
    assert "20971520 file" in aws("s3", "ls", f"s3://{BUCKET}/cli/")
    assert '"Reservations": []' in aws("ec2", "describe-instances", "--output", "json")
    assert "arn:aws:iam::000000000000:root" in aws("sts", "get-caller-identity", "--output", "json")
