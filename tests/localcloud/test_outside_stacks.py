"""Stacks as other people's templates make them, where the local cloud once did otherwise than AWS."""

import json

import pytest
from botocore.exceptions import WaiterError
from running_cloud import Running

pytestmark = pytest.mark.cloud

FAST = {"Delay": 1, "MaxAttempts": 60}


def test_a_stack_whose_bucket_holds_something_is_not_deleted_until_the_bucket_is_empty(cloud: Running) -> None:
    cfn, s3 = cloud.client("cloudformation"), cloud.client("s3")
    template = {"Resources": {"Kept": {"Type": "AWS::S3::Bucket"}, "Topic": {"Type": "AWS::SNS::Topic"}}}
    cfn.create_stack(StackName="full", TemplateBody=json.dumps(template))
    cfn.get_waiter("stack_create_complete").wait(StackName="full", WaiterConfig=FAST)
    bucket = cfn.describe_stack_resource(StackName="full", LogicalResourceId="Kept")["StackResourceDetail"]
    name = bucket["PhysicalResourceId"]
    s3.put_object(Bucket=name, Key="result", Body=b"3.14")

    cfn.delete_stack(StackName="full")
    with pytest.raises(WaiterError):
        cfn.get_waiter("stack_delete_complete").wait(StackName="full", WaiterConfig=FAST)
    assert cfn.describe_stacks(StackName="full")["Stacks"][0]["StackStatus"] == "DELETE_FAILED"
    events = cfn.describe_stack_events(StackName="full")["StackEvents"]
    [reason] = [
        e["ResourceStatusReason"]
        for e in events
        if e["LogicalResourceId"] == "Kept" and "FAILED" in e["ResourceStatus"]
    ]
    assert "The bucket you tried to delete is not empty" in reason
    assert s3.get_object(Bucket=name, Key="result")["Body"].read() == b"3.14"
    assert not cloud.client("sns").list_topics()["Topics"]

    s3.delete_object(Bucket=name, Key="result")
    cfn.delete_stack(StackName="full")
    cfn.get_waiter("stack_delete_complete").wait(StackName="full", WaiterConfig=FAST)
    assert not s3.list_buckets()["Buckets"]
