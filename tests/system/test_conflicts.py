"""A run whose conditional writes all meet 409 succeeds: each write is repeated, and nothing is done twice."""

from __future__ import annotations

import pytest

from system.projects import BUCKET, project, run

pytestmark = pytest.mark.cloud

FACTS = (
    "open/*",
    "slots/*",
    "*/claim.json",
    "*/intent.json",
    "*/server.json",
    "go/*",
    "*/started.json",
    "*/ended.json",
    "*/closed.json",
    "*/receipt.json",
    "latest/*",
    "done/*",
)


def test_run_succeeds_although_every_fact_meets_conflicts(cloud):
    cloud.write(project("conflicts", "echo done >a.txt", outputs=["a.txt"]))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    for pattern in FACTS:
        cloud.control("s3/conflicts", {"count": 3, "key": pattern})
    try:
        document = run(cloud, "--publish")
        left = cloud.control("s3/conflicts", method="GET")
    finally:
        cloud.control("s3/conflicts", method="DELETE")
    assert document["outcome"] == "succeeded"
    # Every fact met its conflicts; otherwise this test would prove nothing.
    assert left == {"left": []}
    assert document["receipt"]["attempt"] == 1
    assert cloud.json("fetch", "hello", "--local")["run"] == document["run"]
    found = cloud.client("s3").list_objects_v2(Bucket=BUCKET.format("conflicts"), Prefix="open/")
    assert found["KeyCount"] == 0
    servers = cloud.client("ec2").describe_instances(Filters=[{"Name": "tag:dayfly:project", "Values": ["conflicts"]}])
    assert len([one for group in servers["Reservations"] for one in group["Instances"]]) == 1
