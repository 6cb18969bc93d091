"""CloudFormation creates, updates and deletes a realistic stack, and its resources work."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from lambda_functions import zipped
from running_cloud import Running

pytestmark = pytest.mark.cloud

TEMPLATE = (Path(__file__).parent / "stack.json").read_text()
SOURCE = """
import boto3, os
def handler(event, context):
    boto3.client("s3").put_object(Bucket=os.environ["BUCKET"], Key="ticks/" + event["tick"], Body=b"")
"""
FAST = {"Delay": 1, "MaxAttempts": 30}


class Bench:
    """The stack's inputs, and the calls that create, update and delete it."""

    def __init__(self, cloud: Running) -> None:
        self.cloud = cloud
        self.cfn = cloud.client("cloudformation")
        cloud.client("s3").create_bucket(Bucket="stack-bucket")
        cloud.client("s3").put_object(Bucket="stack-bucket", Key="code.zip", Body=zipped(SOURCE))
        vpcs = cloud.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"]
        self.inputs = {"Bucket": "stack-bucket", "Code": "code.zip", "Vpc": vpcs[0]["VpcId"]}

    def said(self, name: str, **more: str) -> dict[str, Any]:
        values = self.inputs | more
        return {
            "StackName": name,
            "TemplateBody": TEMPLATE,
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in values.items()],
        }

    def create(self, name: str, **more: str) -> dict[str, str]:
        self.cfn.create_stack(**self.said(name, **more), Tags=[{"Key": "owner", "Value": "me"}])
        self.cfn.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig=FAST)
        return self.outputs(name)

    def outputs(self, name: str) -> dict[str, str]:
        found = self.cfn.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
        return {output["OutputKey"]: output["OutputValue"] for output in found}

    def delete(self, name: str) -> None:
        self.cfn.delete_stack(StackName=name)
        self.cfn.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig=FAST)


@pytest.fixture(scope="module")
def bench(cloud: Running) -> Bench:
    return Bench(cloud)


def test_stack_is_created_works_and_is_deleted_completely(bench: Bench) -> None:
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    iam = bench.cloud.client("iam")
    boundary = iam.create_policy(PolicyName="edge", PolicyDocument=json.dumps(policy))["Policy"]["Arn"]
    outputs = bench.create("whole", Boundary=boundary)
    assert outputs["ProfileArn"].endswith(f":instance-profile/{outputs['Profile']}")
    profile = iam.get_instance_profile(InstanceProfileName=outputs["Profile"])["InstanceProfile"]
    role = iam.get_role(RoleName=profile["Roles"][0]["RoleName"])["Role"]
    assert role["PermissionsBoundary"]["PermissionsBoundaryArn"] == boundary
    assert {"Key": "stack", "Value": "whole"} in role["Tags"]
    own = iam.get_role_policy(RoleName=role["RoleName"], PolicyName="own")["PolicyDocument"]
    assert own["Statement"][0]["Resource"] == "arn:aws:s3:::stack-bucket/out/*/${aws:userid}/*"

    template, _, version = outputs["Template"].partition("@")
    ec2 = bench.cloud.client("ec2")
    found = ec2.describe_launch_template_versions(LaunchTemplateId=template)["LaunchTemplateVersions"]
    assert version == "1"
    assert found[0]["LaunchTemplateData"]["IamInstanceProfile"] == {"Name": outputs["Profile"]}

    s3 = bench.cloud.client("s3")
    deadline = time.monotonic() + 10
    while not (ticks := s3.list_objects_v2(Bucket="stack-bucket", Prefix="ticks/").get("Contents")):
        assert time.monotonic() < deadline, "the schedule's function did not run"
        time.sleep(0.1)
    assert ticks[0]["Key"].endswith("Z")
    logs = bench.cloud.client("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/whole")["logGroups"]
    assert logs[0]["retentionInDays"] == 30
    functions = bench.cloud.client("lambda")
    assert functions.get_function_event_invoke_config(FunctionName="whole-launcher", Qualifier="$LATEST")

    bench.delete("whole")
    assert not [r for r in iam.list_roles()["Roles"] if r["RoleName"].startswith("whole")]
    assert not iam.list_instance_profiles()["InstanceProfiles"]
    assert not functions.list_functions()["Functions"]
    assert not bench.cloud.client("scheduler").list_schedules()["Schedules"]
    assert not ec2.describe_launch_templates()["LaunchTemplates"]
    assert not bench.cloud.client("sqs").list_queues().get("QueueUrls")
    iam.delete_policy(PolicyArn=boundary)


def test_update_changes_in_place_and_no_change_is_an_error(bench: Bench) -> None:
    before = bench.create("moves")
    with pytest.raises(ClientError, match="No updates are to be performed"):
        bench.cfn.update_stack(**bench.said("moves"))
    bench.cfn.update_stack(**bench.said("moves", Minutes="7", Mail="a@example.org"))
    bench.cfn.get_waiter("stack_update_complete").wait(StackName="moves", WaiterConfig=FAST)
    schedule = bench.cloud.client("scheduler").get_schedule(Name="sweep", GroupName="moves")
    assert schedule["ScheduleExpression"] == "rate(7 minutes)"
    assert schedule["Target"]["Input"] == '{"tick": "<aws.scheduler.scheduled-time>"}'
    kinds = [r["ResourceType"] for r in bench.cfn.describe_stack_resources(StackName="moves")["StackResources"]]
    assert "AWS::SNS::Subscription" in kinds
    assert bench.outputs("moves") == before
    bench.delete("moves")


def test_change_set_describes_changes_then_makes_them(bench: Bench) -> None:
    for kind, more in (("CREATE", {}), ("UPDATE", {"Minutes": "9"})):
        answer = bench.said("changes", **more)
        bench.cfn.create_change_set(**answer, ChangeSetName=kind.lower(), ChangeSetType=kind)
        waiter = bench.cfn.get_waiter("change_set_create_complete")
        waiter.wait(StackName="changes", ChangeSetName=kind.lower(), WaiterConfig=FAST)
        found = bench.cfn.describe_change_set(StackName="changes", ChangeSetName=kind.lower())
        changed = {c["ResourceChange"]["LogicalResourceId"]: c["ResourceChange"]["Action"] for c in found["Changes"]}
        bench.cfn.execute_change_set(StackName="changes", ChangeSetName=kind.lower())
        bench.cfn.get_waiter(f"stack_{kind.lower()}_complete").wait(StackName="changes", WaiterConfig=FAST)
        assert changed["Sweep"] == ("Add" if kind == "CREATE" else "Modify")
    assert set(changed) == {"Sweep"}
    schedule = bench.cloud.client("scheduler").get_schedule(Name="sweep", GroupName="changes")
    assert schedule["ScheduleExpression"] == "rate(9 minutes)"
    bench.delete("changes")


@pytest.mark.parametrize("wrong", [{"Minutes": "0"}, {"Code": "absent.zip"}])
def test_failed_stack_is_rolled_back_with_a_reason(bench: Bench, wrong: dict[str, str]) -> None:
    name = "fails-" + next(iter(wrong)).lower()
    with pytest.raises(WaiterError):
        bench.create(name, **wrong)
    deadline = time.monotonic() + 10
    while (status := bench.cfn.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]) != "ROLLBACK_COMPLETE":
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
    events = bench.cfn.describe_stack_events(StackName=name)["StackEvents"]
    reasons = [e["ResourceStatusReason"] for e in events if e["ResourceStatus"] == "CREATE_FAILED"]
    assert any("Invalid Schedule Expression" in r or "absent.zip" in r for r in reasons), reasons
    assert not bench.cloud.client("scheduler").list_schedule_groups(NamePrefix=name)["ScheduleGroups"]
    bench.delete(name)
