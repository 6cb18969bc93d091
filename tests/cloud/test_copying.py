"""Objects are copied inside S3: small ones at once, large ones in parts; a failed part leaves no upload behind."""

from __future__ import annotations

from typing import Any

import pytest

from cloud.answering import Client, answered, error
from dayfly.cloud.copying import LARGEST_COPY, PART
from dayfly.errors import RightsError
from dayfly.flows import calls

PARTS = {
    "create_multipart_upload": {"UploadId": "u"},
    "upload_part_copy": {"CopyPartResult": {"ETag": "e"}},
    "complete_multipart_upload": {},
    "abort_multipart_upload": {},
}


def copy(client: Client, size: int, bucket: str = "acme") -> None:
    answered(client, calls.Copy((calls.Copied(source="out/a", to="lake/a", size=size),), bucket), bucket="own")


def test_small_object_is_one_request():
    client = Client(copy_object={})
    copy(client, LARGEST_COPY)
    source = {"Bucket": "own", "Key": "out/a"}
    assert client.requests == [("copy_object", {"Bucket": "acme", "Key": "lake/a", "CopySource": source})]


def test_without_a_bucket_the_target_is_the_projects():
    client = Client(copy_object={})
    copy(client, 1, bucket="")
    assert client.requests[0][1]["Bucket"] == "own"


def test_large_object_is_copied_in_parts_that_cover_it():
    client = Client(**PARTS)
    size = LARGEST_COPY + 1
    copy(client, size)
    asked: list[dict[str, Any]] = [request for name, request in client.requests if name == "upload_part_copy"]
    ranges = sorted(tuple(map(int, each["CopySourceRange"][6:].split("-"))) for each in asked)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == size - 1
    assert [start for start, _ in ranges[1:]] == [end + 1 for _, end in ranges[:-1]]
    assert all(end - start < PART for start, end in ranges)
    [(_, done)] = [each for each in client.requests if each[0] == "complete_multipart_upload"]
    assert [part["PartNumber"] for part in done["MultipartUpload"]["Parts"]] == [1, 2, 3, 4, 5]


def test_failed_part_aborts_the_upload():
    client = Client(**{**PARTS, "upload_part_copy": error("AccessDenied")})
    with pytest.raises(RightsError):
        copy(client, LARGEST_COPY + 1)
    assert client.requests[-1][0] == "abort_multipart_upload"
