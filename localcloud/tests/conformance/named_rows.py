"""What CloudFormation cannot create: names that are taken, boundaries that do not exist, runtimes that have ended."""

import json
from functools import partial
from typing import Any

import rows
from stack_rows import TRUST
from targets import Target, error_code

GUIDE = "CloudFormation User Guide, "
CODE = {"ZipFile": "def handler(event, context):\n    return 1\n"}

row = partial(rows.row, "cloudformation")


def failures(target: Target, resources: dict[str, Any]) -> dict[str, str]:
    """Create a stack that fails; return the reason of each resource that AWS refused."""
    stacks, name = target.client("cloudformation"), target.name_for("stack")
    body = json.dumps({"Resources": resources})
    stacks.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_NAMED_IAM"])
    target.undo_after_row(stacks.delete_stack, StackName=name)

    def ended() -> bool:
        return str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]).endswith("_COMPLETE")

    target.wait_for(ended, f"the end of {name}")
    events = stacks.describe_stack_events(StackName=name)["StackEvents"]
    failed = [one for one in events if one["ResourceStatus"] == "CREATE_FAILED"]
    reasons = {one["LogicalResourceId"].replace(name, "the stack"): one["ResourceStatusReason"] for one in failed}
    # CloudFormation cancels what it was creating beside a resource that failed.
    return {name: reason for name, reason in reasons.items() if "cancelled" not in reason}


def taken(target: Target, kind: str, properties: dict[str, Any]) -> str:
    """Return the reason why a stack cannot create this resource."""
    found = failures(target, {"Taken": {"Type": kind, "Properties": properties}})
    return found.get("Taken", "it was created")


NAMES = "CloudFormation User Guide, Troubleshooting CloudFormation; Name type"


@row("A role, managed policy or instance profile whose name is taken fails its stack", NAMES)
def taken_identities(target: Target) -> None:
    iam, name = target.client("iam"), target.name_for("taken")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    target.undo_after_row(iam.delete_role, RoleName=name)
    iam.create_instance_profile(InstanceProfileName=name)
    target.undo_after_row(iam.delete_instance_profile, InstanceProfileName=name)
    document = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}}
    policy = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document))["Policy"]["Arn"]
    target.undo_after_row(iam.delete_policy, PolicyArn=policy)
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("AWS::IAM::Role", {"RoleName": name, "AssumeRolePolicyDocument": TRUST}),
        ("AWS::IAM::InstanceProfile", {"InstanceProfileName": name, "Roles": [name]}),
        ("AWS::IAM::ManagedPolicy", {"ManagedPolicyName": name, "PolicyDocument": document}),
    ]
    for kind, properties in wanted:
        assert "already exists" in taken(target, kind, properties), kind
    found = iam.get_role(RoleName=name)["Role"]
    assert not found.get("PermissionsBoundary"), "the role that was there is left as it was"


@row("A queue, topic, log group or alarm whose name is taken fails its stack and is left alone", NAMES)
def taken_queues_and_topics(target: Target) -> None:
    name = target.name_for("taken")
    url = target.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    target.undo_after_row(target.client("sqs").delete_queue, QueueUrl=url)
    topic = target.client("sns").create_topic(Name=name)["TopicArn"]
    target.undo_after_row(target.client("sns").delete_topic, TopicArn=topic)
    target.client("logs").create_log_group(logGroupName=name)
    target.undo_after_row(target.client("logs").delete_log_group, logGroupName=name)
    alarm = {
        "AlarmName": name, "Namespace": "Conf", "MetricName": "none", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
    }  # fmt: skip
    target.client("cloudwatch").put_metric_alarm(**alarm)
    target.undo_after_row(target.client("cloudwatch").delete_alarms, AlarmNames=[name])
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("AWS::SQS::Queue", {"QueueName": name}),
        ("AWS::SNS::Topic", {"TopicName": name}),
        ("AWS::Logs::LogGroup", {"LogGroupName": name}),
        ("AWS::CloudWatch::Alarm", alarm),
    ]
    for kind, properties in wanted:
        assert "already exists" in taken(target, kind, properties), kind
    assert target.client("sqs").get_queue_url(QueueName=name)["QueueUrl"] == url
    assert target.client("logs").describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert target.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]


@row("A function, rule, schedule, schedule group or launch template whose name is taken fails its stack", NAMES)
def taken_functions_and_rules(target: Target) -> None:
    name, role = target.name_for("taken"), target.role("lambda")
    _, queue = target.queue()
    scheduler, events, ec2 = target.client("scheduler"), target.client("events"), target.client("ec2")
    scheduler.create_schedule_group(Name=name)
    target.undo_after_row(scheduler.delete_schedule_group, Name=name)
    events.put_rule(Name=name, EventPattern='{"source": ["conf"]}')
    target.undo_after_row(events.delete_rule, Name=name)
    ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "t3.nano"})
    target.undo_after_row(ec2.delete_launch_template, LaunchTemplateName=name)
    tick = {
        "Name": name, "ScheduleExpression": "rate(9 minutes)", "FlexibleTimeWindow": {"Mode": "OFF"}, "State": "DISABLED",
        "Target": {"Arn": queue, "RoleArn": target.role("scheduler")},
    }  # fmt: skip
    scheduler.create_schedule(**tick)
    target.undo_after_row(scheduler.delete_schedule, Name=name)
    function = {"FunctionName": name, "Role": role, "Handler": "index.handler", "Runtime": "python3.13", "Code": CODE}
    made = {"Function": {"Type": "AWS::Lambda::Function", "Properties": function}}
    stacks = target.client("cloudformation")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": made}))
    target.undo_after_row(stacks.delete_stack, StackName=name)
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("AWS::Scheduler::ScheduleGroup", {"Name": name}),
        ("AWS::Scheduler::Schedule", tick),
        ("AWS::Events::Rule", {"Name": name, "EventPattern": {"source": ["other"]}}),
        ("AWS::EC2::LaunchTemplate", {"LaunchTemplateName": name, "LaunchTemplateData": {"InstanceType": "t3.nano"}}),
        ("AWS::Lambda::Function", function),
    ]
    for kind, properties in wanted:
        reason = taken(target, kind, properties).lower()
        assert "already exist" in reason or "in use" in reason, f"{kind}: {reason}"
    assert target.client("lambda").get_function(FunctionName=name)
    assert events.describe_rule(Name=name)["EventPattern"] == '{"source": ["conf"]}'


@row(
    "A bucket whose name is taken fails its stack before anything is created; its objects are left alone",
    GUIDE + "Validate stack deployments",
    unverified="That CreateStack validates it, which was seen in practice.",
)
def taken_buckets(target: Target) -> None:
    bucket = target.bucket()
    target.client("s3").put_object(Bucket=bucket, Key="taken/kept", Body=b"1")
    queue = {"Type": "AWS::SQS::Queue"}
    found = failures(
        target, {"Taken": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": bucket}}, "Queue": queue}
    )
    assert "Validation failed with 1 error(s)" in found["the stack"]
    assert target.client("s3").head_object(Bucket=bucket, Key="taken/kept")


@row(
    "A role with a permissions boundary that does not exist fails its stack, and CreateRole is NoSuchEntity",
    "IAM API Reference, CreateRole, PermissionsBoundary; Errors, NoSuchEntity",
)
def absent_boundary(target: Target) -> None:
    absent = f"arn:aws:iam::{target.account}:policy/conf-no-such-policy"
    properties = {"AssumeRolePolicyDocument": TRUST, "PermissionsBoundary": absent}
    reason = taken(target, "AWS::IAM::Role", properties)
    assert f"Scope ARN: {absent} does not exist or is not attachable" in reason
    create = target.client("iam").create_role
    asked = {"RoleName": target.name_for("role"), "AssumeRolePolicyDocument": json.dumps(TRUST)}
    assert error_code(create, PermissionsBoundary=absent, **asked) == "NoSuchEntity"


@row(
    "A role with a managed policy that does not exist fails its stack",
    "IAM API Reference, AttachRolePolicy, Errors, NoSuchEntity",
)
def absent_managed_policy(target: Target) -> None:
    absent = f"arn:aws:iam::{target.account}:policy/conf-no-such-policy"
    properties = {"AssumeRolePolicyDocument": TRUST, "ManagedPolicyArns": [absent]}
    reason = taken(target, "AWS::IAM::Role", properties)
    assert f"Policy {absent} does not exist or is not attachable" in reason


ENDED = "Lambda Developer Guide, Lambda runtimes, Deprecated runtimes, Block function create"


@row(
    "A function of python2.7, 3.6 or 3.7 cannot be created: InvalidParameterValueException; the runtime still exists by name",
    ENDED,
    unverified="The message; it is quoted in many public reports.",
)
def ended_runtimes(target: Target) -> None:
    role, functions = target.role("lambda"), target.client("lambda")
    for runtime in ("python3.7", "python3.6", "python2.7"):
        properties = {"Role": role, "Handler": "index.handler", "Runtime": runtime, "Code": CODE}
        said = (
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions."
        )
        assert said in taken(target, "AWS::Lambda::Function", properties)
        asked = properties | {"FunctionName": target.name_for("ended"), "Code": {"ZipFile": b"PK"}}
        assert error_code(functions.create_function, **asked) == "InvalidParameterValueException"
    properties = {"Role": role, "Handler": "index.handler", "Runtime": "python9.9", "Code": CODE}
    assert "python9.9" in taken(target, "AWS::Lambda::Function", properties)
