"""A run whose conditional writes are told 409 at every turn goes as any other: a conflict is tried again, and nothing is done twice."""

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


def test_a_run_goes_well_although_each_of_its_facts_meets_conflicts(cloud):
    cloud.write(project("conflicts", "echo done >a.txt", outputs=["a.txt"]))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    for pattern in FACTS:
        cloud.control("s3/conflicts", {"count": 3, "key": pattern})
    try:
        told = run(cloud, "--publish")
        left = cloud.control("s3/conflicts", method="GET")
    finally:
        cloud.control("s3/conflicts", method="DELETE")
    assert told["outcome"] == "succeeded"
    # Every fact met its conflicts: otherwise this test would show nothing.
    assert left == {"left": []}
    assert told["receipt"]["attempt"] == 1
    assert cloud.json("fetch", "hello", "--local")["run"] == told["run"]
    found = cloud.client("s3").list_objects_v2(Bucket=BUCKET.format("conflicts"), Prefix="open/")
    assert found["KeyCount"] == 0
    servers = cloud.client("ec2").describe_instances(Filters=[{"Name": "tag:dayfly:project", "Values": ["conflicts"]}])
    assert len([one for group in servers["Reservations"] for one in group["Instances"]]) == 1
