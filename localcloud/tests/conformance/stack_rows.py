"""CloudFormation: stacks are created, updated, rolled back and deleted."""

import contextlib
import json
from functools import partial
from typing import Any

from botocore.exceptions import WaiterError

import rows
from lambda_rows import function
from targets import Target, error_code

GUIDE = "CloudFormation User Guide, "
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
QUEUE = {"Type": "AWS::SQS::Queue"}

row = partial(rows.row, "cloudformation")


def create(
    target: Target, resources: dict[str, Any], outputs: dict[str, Any] | None = None, **more: Any
) -> tuple[str, dict[str, str]]:
    """Create a stack of these resources; return its name and outputs."""
    stacks, name = target.client("cloudformation"), target.name_for("stack")
    body = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in (outputs or {}).items()}}
    if not outputs:
        del body["Outputs"]
    body |= {key: more.pop(key) for key in ("Parameters", "Conditions") if key in more}
    parameters = {"Capabilities": ["CAPABILITY_NAMED_IAM"]} | more
    stacks.create_stack(StackName=name, TemplateBody=json.dumps(body), **parameters)
    target.undo_after_row(stacks.delete_stack, StackName=name)
    wait(target, name, "stack_create_complete")
    return name, told(target, name)


def wait(target: Target, name: str, what: str) -> None:
    """Wait until a stack operation ends."""
    attempts = {"Delay": 0.2, "MaxAttempts": 100} if target.name != "aws" else {"Delay": 5, "MaxAttempts": 60}
    target.client("cloudformation").get_waiter(what).wait(StackName=name, WaiterConfig=attempts)


def told(target: Target, name: str) -> dict[str, str]:
    """Return a stack's outputs."""
    (found,) = target.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    return {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", [])}


@row(
    "Ref of an instance profile returns its name, GetAtt its ARN",
    "CloudFormation Template Reference, AWS::IAM::InstanceProfile",
)
def references_of_a_profile(target: Target) -> None:
    resources = {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}},
        "Profile": {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "Role"}]}},
    }
    outputs = {"Name": {"Ref": "Profile"}, "Arn": {"Fn::GetAtt": ["Profile", "Arn"]}}
    _, said = create(target, resources, outputs)
    assert ":" not in said["Name"]
    assert said["Arn"].endswith(f":instance-profile/{said['Name']}")
    target.client("iam").get_instance_profile(InstanceProfileName=said["Name"])


@row("A stack can create schedules and schedule groups", "CloudFormation Template Reference, AWS::Scheduler::Schedule")
def schedules(target: Target) -> None:
    role = target.role("scheduler")
    _, queue = target.queue()
    schedule = {
        "GroupName": {"Ref": "Group"}, "ScheduleExpression": "rate(7 minutes)", "State": "DISABLED",
        "FlexibleTimeWindow": {"Mode": "OFF"}, "Target": {"Arn": queue, "RoleArn": role, "Input": "{}"},
    }  # fmt: skip
    resources = {
        "Group": {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": target.name_for("group")}},
        "Tick": {"Type": "AWS::Scheduler::Schedule", "Properties": schedule},
    }
    _, said = create(target, resources, {"Group": {"Ref": "Group"}, "Tick": {"Ref": "Tick"}})
    found = target.client("scheduler").get_schedule(Name=said["Tick"], GroupName=said["Group"])
    assert found["ScheduleExpression"] == "rate(7 minutes)"


@row(
    "A stack can create a launch template; GetAtt returns its version numbers",
    "CloudFormation Template Reference, AWS::EC2::LaunchTemplate",
)
def launch_templates(target: Target) -> None:
    data = {"InstanceType": "t3.nano", "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": "1"}}
    resources = {"Template": {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}}}
    _, said = create(
        target, resources, {"Id": {"Ref": "Template"}, "Number": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]}}
    )
    assert said["Number"] == "1"
    found = target.client("ec2").describe_launch_template_versions(LaunchTemplateId=said["Id"])[
        "LaunchTemplateVersions"
    ]
    assert found[0]["LaunchTemplateData"]["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}


@row(
    "The intrinsic functions Sub, Join, Select, Split, If and Base64 work, as do pseudo parameters",
    "CloudFormation Template Reference, Intrinsic functions",
)
def intrinsic_functions(target: Target) -> None:
    outputs = {
        "Sub": {"Fn::Sub": ["${Word}-${AWS::Region}-${Own}", {"Own": "x"}]},
        "Join": {"Fn::Join": ["/", ["a", {"Ref": "Word"}]]},
        "Select": {"Fn::Select": [1, {"Fn::Split": [",", "a,b,c"]}]},
        "If": {"Fn::If": ["Long", "long", "short"]},
        "Base64": {"Fn::Base64": "a"},
        "Account": {"Ref": "AWS::AccountId"},
    }
    parameters = {"Word": {"Type": "String", "Default": "word"}}
    conditions = {"Long": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Word"}, ""]}]}}
    _, said = create(target, {"Queue": QUEUE}, outputs, Parameters=parameters, Conditions=conditions)
    assert said == {
        "Sub": "word-us-east-1-x", "Join": "a/word", "Select": "b", "If": "long", "Base64": "YQ==", "Account": target.account,
    }  # fmt: skip


@row(
    "A parameter of an SSM type is resolved",
    GUIDE + "Specify existing resources at runtime with supplied parameter types",
)
def parameters_of_ssm(target: Target) -> None:
    from targets import IMAGE

    parameters = {"Image": {"Type": "AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>", "Default": IMAGE}}
    _, said = create(target, {"Queue": QUEUE}, {"Image": {"Ref": "Image"}}, Parameters=parameters)
    assert said["Image"] == target.image()


@row(
    "An update without changes is refused: No updates are to be performed",
    GUIDE + "Troubleshooting CloudFormation",
)
def updates_without_changes(target: Target) -> None:
    name, _ = create(target, {"Queue": QUEUE})
    body = json.dumps({"Resources": {"Queue": QUEUE}})
    code = error_code(target.client("cloudformation").update_stack, StackName=name, TemplateBody=body)
    assert code == "ValidationError"


@row("A changed property is updated in place and keeps the resource", GUIDE + "Update behaviors of stack resources")
def updates_in_place(target: Target) -> None:
    outputs = {"Url": {"Ref": "Queue"}}
    name, before = create(target, {"Queue": QUEUE}, outputs)
    changed = QUEUE | {"Properties": {"VisibilityTimeout": 77}}
    body = {"Resources": {"Queue": changed}, "Outputs": {"Url": {"Value": {"Ref": "Queue"}}}}
    target.client("cloudformation").update_stack(StackName=name, TemplateBody=json.dumps(body))
    wait(target, name, "stack_update_complete")
    assert told(target, name) == before
    parameters = {"QueueUrl": before["Url"], "AttributeNames": ["VisibilityTimeout"]}
    assert target.client("sqs").get_queue_attributes(**parameters)["Attributes"] == {"VisibilityTimeout": "77"}


@row("A change set describes its changes and makes them only when executed", GUIDE + "Update stacks using change sets")
def change_sets(target: Target) -> None:
    name, _ = create(target, {"Queue": QUEUE})
    stacks = target.client("cloudformation")
    body = json.dumps({"Resources": {"Queue": QUEUE, "Second": QUEUE}})
    stacks.create_change_set(StackName=name, ChangeSetName="more", TemplateBody=body)
    stacks.get_waiter("change_set_create_complete").wait(
        StackName=name, ChangeSetName="more", WaiterConfig={"Delay": 1}
    )
    changes = stacks.describe_change_set(StackName=name, ChangeSetName="more")["Changes"]
    assert [(one["ResourceChange"]["Action"], one["ResourceChange"]["LogicalResourceId"]) for one in changes] == [
        ("Add", "Second")
    ]
    assert len(stacks.describe_stack_resources(StackName=name)["StackResources"]) == 1
    stacks.execute_change_set(StackName=name, ChangeSetName="more")
    wait(target, name, "stack_update_complete")
    assert len(stacks.describe_stack_resources(StackName=name)["StackResources"]) == 2


@row(
    "A stack that cannot be created is rolled back, with the reason in its events, and leaves nothing",
    GUIDE + "Stack creation options, Rollback on failure",
)
def rollback(target: Target) -> None:
    data = {"InstanceType": "t3.nano", "UserData": "x" * 30000}
    bad = {"Type": "AWS::EC2::LaunchTemplate", "Properties": {"LaunchTemplateData": data}, "DependsOn": "Queue"}
    queue = target.name_for("queue")
    resources = {"Queue": QUEUE | {"Properties": {"QueueName": queue}}, "Template": bad}
    stacks, name = target.client("cloudformation"), target.name_for("stack")
    stacks.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    target.undo_after_row(stacks.delete_stack, StackName=name)
    with contextlib.suppress(WaiterError):
        wait(target, name, "stack_create_complete")
    found = stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    assert found == "ROLLBACK_COMPLETE"
    events = stacks.describe_stack_events(StackName=name)["StackEvents"]
    assert [one["LogicalResourceId"] for one in events if one["ResourceStatus"] == "CREATE_FAILED"] == ["Template"]
    assert not target.client("sqs").list_queues(QueueNamePrefix=queue).get("QueueUrls")


@row("Deleting a stack deletes its resources; describing it by name is then ValidationError", GUIDE + "Delete a stack")
def deletion(target: Target) -> None:
    name, said = create(target, {"Queue": QUEUE}, {"Url": {"Ref": "Queue"}})
    stacks = target.client("cloudformation")
    stacks.delete_stack(StackName=name)
    wait(target, name, "stack_delete_complete")
    assert error_code(stacks.describe_stacks, StackName=name) == "ValidationError"
    assert error_code(target.client("sqs").get_queue_attributes, QueueUrl=said["Url"], AttributeNames=["QueueArn"])


@row(
    "Creating IAM resources without the capability is InsufficientCapabilitiesException",
    GUIDE + "Acknowledging IAM resources in CloudFormation templates",
)
def capabilities(target: Target) -> None:
    role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}
    stacks, name = target.client("cloudformation"), target.name_for("stack")
    target.undo_after_row(stacks.delete_stack, StackName=name)
    body = json.dumps({"Resources": {"Role": role}})
    assert error_code(stacks.create_stack, StackName=name, TemplateBody=body) == "InsufficientCapabilitiesException"


@row(
    "A rule of a stack invokes a function when a Lambda permission of the stack names the rule",
    "CloudFormation Template Reference, AWS::Lambda::Permission",
)
def rules_and_permissions(target: Target) -> None:
    name, source = target.name_for("rule"), target.name_for("source").lower()
    url, queue = target.queue()
    letting = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": queue}
    arn = function(target, "def handler(event, context):\n    raise RuntimeError(event['id'])\n", [letting])
    functions = target.client("lambda")
    functions.put_function_event_invoke_config(
        FunctionName=arn, MaximumRetryAttempts=0, DestinationConfig={"OnFailure": {"Destination": queue}}
    )
    rule = {"Fn::Sub": f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:rule/{name}"}
    resources: dict[str, Any] = {
        "Permission": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": arn, "Action": "lambda:InvokeFunction", "Principal": "events.amazonaws.com", "SourceArn": rule,
            },
        },
        "Rule": {
            "Type": "AWS::Events::Rule",
            "DependsOn": "Permission",
            "Properties": {
                "Name": name, "EventPattern": {"source": [source], "detail": {"state": ["stopped", "terminated"]}},
                "Targets": [{"Id": "function", "Arn": arn, "RetryPolicy": {"MaximumRetryAttempts": 0}}],
            },
        },
    }  # fmt: skip
    stack, _ = create(target, resources)

    def put(state: str) -> None:
        entry = {"Source": source, "DetailType": "said", "Detail": json.dumps({"state": state})}
        assert target.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0

    put("running")
    put("terminated")
    record = json.loads(target.wait_for(lambda: target.message(url), "the event")["Body"])
    assert record["requestPayload"]["detail"] == {"state": "terminated"}
    assert target.message(url, 0.5) is None
    del resources["Permission"], resources["Rule"]["DependsOn"]
    target.client("cloudformation").update_stack(StackName=stack, TemplateBody=json.dumps({"Resources": resources}))
    wait(target, stack, "stack_update_complete")
    put("terminated")
    assert target.message(url, 2) is None, "without the permission the rule does not invoke the function"
