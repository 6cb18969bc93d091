"""How S3's answers about the bucket and about whole files are interpreted."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from cloud.answering import Client, answered, error
from cloud.wire import Wire
from dayfly.cloud.clients import Aws
from dayfly.errors import Refused, RightsError, Unclear
from dayfly.flows import calls

FRESH = datetime(2026, 11, 24, tzinfo=UTC)
NO_KEY = "<Error><Code>NoSuchKey</Code></Error>"
TOO_LARGE = (400, "<Error><Code>EntityTooLarge</Code><Message>no</Message></Error>")


def local_aws() -> Aws:
    return Aws(region="eu-west-1", endpoint="http://127.0.0.1:9", keys=("a", "b"))


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({}, "owned"),
        (error("404", status=404), "absent"),
        (error("NoSuchBucket", status=404), "absent"),
        (error("403", status=403), "denied"),
    ],
)
def test_bucket_is_owned_absent_or_denied(answer, state):
    s3 = Client(head_bucket=answer)
    assert answered(s3, calls.FindBucket("000000000000")) == state
    assert s3.requests == [("head_bucket", {"Bucket": "b", "ExpectedBucketOwner": "000000000000"})]


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        ({}, "made"),
        (error("BucketAlreadyOwnedByYou"), "made"),
        (error("BucketAlreadyExists"), "taken"),
        (error("OperationAborted", status=409), "busy"),
    ],
)
def test_bucket_is_made_or_its_name_is_taken_or_busy(answer, made):
    assert answered(Client(create_bucket=answer), calls.CreateBucket()) == made


def test_two_changes_of_a_bucket_at_once_are_unclear():
    aborted = Client(put_public_access_block=error("OperationAborted", status=409))
    with pytest.raises(Unclear):
        answered(aborted, calls.SetUpBucket(policy={}, tags={}, abort_uploads_after_days=1))


@pytest.mark.parametrize(
    ("answer", "gone"), [({}, True), (error("BucketNotEmpty"), False), (error("NoSuchBucket"), True)]
)
def test_bucket_that_is_not_empty_is_not_deleted(answer, gone):
    assert answered(Client(delete_bucket=answer), calls.DeleteBucket()) is gone


def test_objects_are_deleted_a_page_at_a_time():
    s3 = Client(list_objects_v2={"Contents": [{"Key": "a"}, {"Key": "b"}]}, delete_objects={})
    assert answered(s3, calls.DeleteSomeObjects()) == 2
    assert s3.requests[-1][1]["Delete"]["Objects"] == [{"Key": "a"}, {"Key": "b"}]
    assert answered(Client(list_objects_v2={}), calls.DeleteSomeObjects()) == 0


def test_object_that_s3_did_not_delete_is_unclear():
    failed = {"Errors": [{"Key": "a", "Code": "InternalError"}]}
    with pytest.raises(Unclear, match="a: InternalError"):
        answered(Client(list_objects_v2={"Contents": [{"Key": "a"}]}, delete_objects=failed), calls.DeleteSomeObjects())


def test_upload_that_is_gone_counts_as_aborted():
    uploads = {"Uploads": [{"Key": "a", "UploadId": "1"}]}
    s3 = Client(list_multipart_uploads=uploads, abort_multipart_upload=error("NoSuchUpload"))
    assert answered(s3, calls.AbortSomeUploads()) == 1


def test_object_is_downloaded_with_its_size_and_hash(tmp_path):
    body = SimpleNamespace(iter_chunks=lambda size: iter(lambda: stream.read(min(size, 2)), b""))
    stream = io.BytesIO(b"hello")
    path = tmp_path / "out" / "a.txt"
    found = answered(Client(get_object={"Body": body}), calls.Download("a", str(path)))
    assert path.read_bytes() == b"hello"
    assert found.size == 5
    assert found.sha256.startswith("2cf24dba")
    assert answered(Client(get_object=error("NoSuchKey")), calls.Download("a", str(path))) is None


@pytest.mark.parametrize(("age", "copied"), [(timedelta(seconds=-1), 1), (timedelta(0), 0)])
def test_file_whose_key_exists_is_made_young_and_not_stored_again(tmp_path, age, copied):
    s3 = Client(head_object={"LastModified": FRESH + age}, copy_object={})
    assert answered(s3, calls.Upload("functions/a.zip", str(tmp_path / "absent"), FRESH)) is False
    copies = [request for name, request in s3.requests if name == "copy_object"]
    assert len(copies) == copied
    assert all(each["CopySource"] == {"Bucket": "b", "Key": "functions/a.zip"} for each in copies)


def test_file_that_a_sweep_removes_meanwhile_is_stored(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"zip")
    aws = local_aws()
    wire = Wire(aws, bucket="b", services=("s3",), HeadObject=(200, ""), CopyObject=(404, NO_KEY))
    assert answered(aws.client("s3"), calls.Upload("functions/a.zip", str(path), FRESH)) is True
    assert list(wire.objects) == ["functions/a.zip"]


def test_older_objects_are_listed_by_the_time_of_their_last_write():
    found = [{"Key": "a", "LastModified": FRESH}, {"Key": "b", "LastModified": FRESH - timedelta(days=1)}]
    s3 = Client(list_objects_v2=[{"Contents": found}, {}])
    assert answered(s3, calls.ListOlder("bundles/", FRESH)) == ("b",)


def test_upload_that_s3_refuses_is_refused(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"zip")
    aws = local_aws()
    wire = Wire(aws, bucket="b", services=("s3",), HeadObject=(404, ""), PutObject=TOO_LARGE)
    with pytest.raises(Refused, match="EntityTooLarge"):
        answered(aws.client("s3"), calls.Upload("functions/a.zip", str(path), FRESH))
    assert wire.sent == ["HeadObject", "PutObject"]


def test_file_is_uploaded_under_its_key(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"zip")
    aws = local_aws()
    wire = Wire(aws, bucket="b", services=("s3",), HeadObject=(404, ""))
    assert answered(aws.client("s3"), calls.Upload("functions/a.zip", str(path), FRESH)) is True
    assert list(wire.objects) == ["functions/a.zip"]


def test_profile_that_does_not_exist_is_said_with_a_next_step(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(RightsError, match="absent") as raised:
        Aws(region="eu-west-1", profile="absent").client("s3")
    assert raised.value.hint == "aws configure list-profiles"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (None, "https://dayfly-pi.s3.eu-south-2.amazonaws.com/functions/a.json"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/dayfly-pi/functions/a.json"),
    ],
)
def test_url_of_a_template_has_no_signature(endpoint, url):
    aws = Aws(region="eu-south-2", endpoint=endpoint, keys=("AKIAX", "x"))
    assert answered(aws.client("s3"), calls.ObjectUrl("functions/a.json"), bucket="dayfly-pi") == url


def test_link_to_a_bundle_names_the_region_of_the_bucket(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    bucket = "dayfly-pi-000000000000-eu-south-2"
    link = answered(Aws(region="eu-south-2").client("s3"), calls.SignGet("bundles/a.zip", 900), bucket=bucket)
    assert link.startswith(f"https://{bucket}.s3.eu-south-2.amazonaws.com/")
