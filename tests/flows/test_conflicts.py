"""A run whose conditional writes are told 409 at every turn goes as any other: a conflict is tried again, and nothing is done twice."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from flows.test_cloud_runs import BUCKET, project, run

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


def conflicts(cloud, said: Any = None, method: str = "POST") -> list[dict[str, Any]]:
    """Use the local cloud's control of conflicts; what is still ordered."""
    endpoint = cloud.client("s3").meta.endpoint_url
    data = json.dumps(said).encode() if said is not None else None
    request = urllib.request.Request(f"{endpoint}/_localcloud/s3/conflicts", data=data, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["left"]


def test_a_run_goes_well_although_each_of_its_facts_meets_conflicts(cloud):
    cloud.write(project("conflicts", "echo done >a.txt", outputs=["a.txt"]))
    assert cloud.dayfly("deploy", "--local", "--yes").returncode == 0
    for pattern in FACTS:
        conflicts(cloud, {"count": 3, "key": pattern})
    try:
        told = run(cloud, "--publish")
        left = conflicts(cloud, method="GET")
    finally:
        conflicts(cloud, method="DELETE")
    assert told["outcome"] == "succeeded"
    # Every fact met its conflicts: otherwise this test would show nothing.
    assert left == []
    assert told["receipt"]["attempt"] == 1
    assert cloud.json("fetch", "hello", "--local")["run"] == told["run"]
    found = cloud.client("s3").list_objects_v2(Bucket=BUCKET.format("conflicts"), Prefix="open/")
    assert found["KeyCount"] == 0
    servers = cloud.client("ec2").describe_instances(Filters=[{"Name": "tag:dayfly:project", "Values": ["conflicts"]}])
    assert len([one for group in servers["Reservations"] for one in group["Instances"]]) == 1
