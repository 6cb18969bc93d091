"""On the local cloud, by commands: a good result stands in another bucket and in the project's own, behind its manifest."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from system.conftest import Folder
from system.projects import BUCKET, project

pytestmark = [pytest.mark.cloud, pytest.mark.slow]


def manifest(cloud: Folder, bucket: str, key: str, seconds: float = 60) -> dict[str, Any]:
    limit = time.monotonic() + seconds
    while True:
        try:
            return json.load(cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"])
        except ClientError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.2)


@pytest.mark.parametrize(
    ("results", "bucket", "prefix"),
    [("s3://acme-lake/daily/", "acme-lake", "daily/"), ("project", BUCKET.format("shown"), "results/hello/")],
    ids=["another bucket", "the project's own"],
)
def test_good_result_stands_behind_its_manifest(cloud, results, bucket, prefix):
    if bucket == "acme-lake":
        place = {"LocationConstraint": "eu-west-1"}
        cloud.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
    keys = {"outputs": ["out/*.csv"], "results": results}
    cloud.write(project("shown", "mkdir out && echo 1 > out/a.csv && echo 2 > out/b.csv", **keys))
    deployed = cloud.dayfly("deploy", "--local", "--yes")
    assert deployed.returncode == 0, deployed.stderr
    run = cloud.json("run", "hello", "--publish", "--wait", "--local")["run"]
    latest = manifest(cloud, bucket, f"{prefix}latest/manifest.json")
    tick = run.partition("@")[2]
    assert (latest["run"], latest["folder"]) == (run, f"s3://{bucket}/{prefix}{tick}/1/")
    assert [file["path"] for file in latest["files"]] == ["out/a.csv", "out/b.csv"]
    for file in latest["files"]:
        body = cloud.client("s3").get_object(Bucket=bucket, Key=file["key"])["Body"].read()
        assert hashlib.sha256(body).hexdigest() == file["sha256"]
    shown = cloud.dayfly("show", run, "--local").stdout
    assert f"results   {latest['folder']}; latest names it" in shown
