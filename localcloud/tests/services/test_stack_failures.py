"""The control that lets resources of stacks fail, and the names of buckets that were just deleted."""

import json
import urllib.error
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from running_cloud import Running

pytestmark = pytest.mark.cloud

FAST = {"Delay": 1, "MaxAttempts": 60}
PATH = "cloudformation/failures"


@pytest.mark.parametrize(
    "asked",
    [
        {"operation": "create"},
        {"logical_id": "A"},
        {"logical_id": "A", "operation": "make"},
        {"logical_id": "A", "operation": "create", "count": 0},
        {"logical_id": "A", "operation": "create", "skip": -1},
        {"logical_id": "A", "operation": "create", "stack": 3},
        {"logical_id": "A", "operation": "create", "colour": "blue"},
    ],
)
def test_malformed_failures_are_refused(cloud: Running, asked: dict[str, Any]) -> None:
    with pytest.raises(urllib.error.HTTPError, match="400"):
        cloud.control(PATH, asked)
    assert cloud.control(PATH, method="GET") == {"left": []}


def test_failure_hits_only_matching_stacks(cloud: Running) -> None:
    cfn = cloud.client("cloudformation")
    cloud.control(PATH, {"logical_id": "Queue", "operation": "create", "stack": "hit-*", "reason": "not today"})
    body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
    for name in ("spared", "hit-one"):
        cfn.create_stack(StackName=name, TemplateBody=body)
    cfn.get_waiter("stack_create_complete").wait(StackName="spared", WaiterConfig=FAST)
    with pytest.raises(WaiterError):
        cfn.get_waiter("stack_create_complete").wait(StackName="hit-one", WaiterConfig=FAST)
    events = cfn.describe_stack_events(StackName="hit-one")["StackEvents"]
    assert [e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "CREATE_FAILED"] == ["not today"]
    assert cloud.control(PATH, method="DELETE") == {"left": []}


def test_stack_cannot_create_a_bucket_just_deleted(cloud: Running) -> None:
    cfn, s3 = cloud.client("cloudformation"), cloud.client("s3")
    cloud.control("s3/bucket-names", {"seconds": 60})
    s3.create_bucket(Bucket="gone-a-moment-ago")
    s3.delete_bucket(Bucket="gone-a-moment-ago")
    bucket = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "gone-a-moment-ago"}}
    cfn.create_stack(StackName="too-soon", TemplateBody=json.dumps({"Resources": {"Bucket": bucket}}))
    with pytest.raises(WaiterError):
        cfn.get_waiter("stack_create_complete").wait(StackName="too-soon", WaiterConfig=FAST)
    events = cfn.describe_stack_events(StackName="too-soon")["StackEvents"]
    [reason] = [e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    assert "A conflicting conditional operation is currently in progress" in reason
    cloud.advance(61)
    s3.create_bucket(Bucket="gone-a-moment-ago")
    cloud.control("s3/bucket-names", method="DELETE")
    cloud.control("clock", method="DELETE")
