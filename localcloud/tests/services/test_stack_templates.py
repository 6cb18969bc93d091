"""Stacks from templates written for AWS, in cases where localcloud once differed from AWS."""

import json

import pytest
from botocore.exceptions import WaiterError

from running_cloud import Running

pytestmark = pytest.mark.cloud

FAST = {"Delay": 1, "MaxAttempts": 60}


def test_stack_with_a_non_empty_bucket_is_not_deleted(cloud: Running) -> None:
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


TICKS = {
    "Resources": {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "ticks"}},
        "Tick": {
            "Type": "AWS::Events::Rule",
            "Properties": {
                "Name": "each-hour",
                "ScheduleExpression": "rate(1 hour)",
                "Targets": [{"Id": "queue", "Arn": {"Fn::GetAtt": ["Queue", "Arn"]}, "Input": '"tick"'}],
            },
        },
        "Leave": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "Queue"}],
                "PolicyDocument": {
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "events.amazonaws.com"},
                            "Action": "sqs:SendMessage",
                            "Resource": {"Fn::GetAtt": ["Queue", "Arn"]},
                        }
                    ]
                },
            },
        },
    }
}


def test_recreated_rule_of_a_stack_restarts_its_rate(cloud: Running) -> None:
    cfn, queues = cloud.client("cloudformation"), cloud.client("sqs")

    def create() -> str:
        cfn.create_stack(StackName="ticks", TemplateBody=json.dumps(TICKS))
        cfn.get_waiter("stack_create_complete").wait(StackName="ticks", WaiterConfig=FAST)
        url: str = queues.get_queue_url(QueueName="ticks")["QueueUrl"]
        return url

    def ticks(url: str) -> int:
        answer = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    url = create()
    cloud.advance(3500)
    assert ticks(url) == 0
    cloud.advance(3 * 3600)
    assert ticks(url) == 3
    cfn.delete_stack(StackName="ticks")
    cfn.get_waiter("stack_delete_complete").wait(StackName="ticks", WaiterConfig=FAST)
    cloud.advance(3500)
    url = create()
    cloud.advance(3500)
    assert ticks(url) == 0
    cloud.advance(200)
    assert ticks(url) == 1


def test_role_that_trusts_an_absent_role_fails_its_stack(cloud: Running) -> None:
    cfn = cloud.client("cloudformation")
    principal = {"AWS": "arn:aws:iam::000000000000:role/no-such-server"}
    trust = {"Statement": [{"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}]}
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}}
    body = json.dumps({"Resources": {"Job": role}})
    cfn.create_stack(StackName="trusting", TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
    with pytest.raises(WaiterError):
        cfn.get_waiter("stack_create_complete").wait(StackName="trusting", WaiterConfig=FAST)
    events = cfn.describe_stack_events(StackName="trusting")["StackEvents"]
    [reason] = [e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    assert 'Invalid principal in policy: "AWS":"arn:aws:iam::000000000000:role/no-such-server"' in reason
    cfn.delete_stack(StackName="trusting")
