"""Build the CloudFormation template of a project's stack in one region. No I/O.

It holds roles, one launch template per image, two functions, a queue, a topic, two alarms, log groups, a schedule group and a rule. It
holds no jobs, so a deploy of code, or of one more job with a known image, does not change the stack.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.core import names, permissions
from dayfly.core.model import Image
from dayfly.core.sweeper_event import ENDS, KIND, SOURCE

RUNTIME = "python3.13"
SWEEP_EVERY = "rate(5 minutes)"
SWEEPER_SCHEDULE = "dayfly-sweeper"
"""The sweeper's schedule, in the same group as those of the jobs."""


@dataclass(frozen=True, kw_only=True)
class StackInput:
    """Everything that the template depends on.

    `user_data` is base64; the zips are keys in the bucket. `vpc`: where the stack creates a security group; None if
    `security_groups` are given.
    """

    project: str
    bucket: str
    tags: Mapping[str, str]
    permissions_boundary: str | None
    keep_s: int
    images: tuple[Image, ...]
    user_data: str
    launcher_zip: str
    sweeper_zip: str
    vpc: str | None
    security_groups: tuple[str, ...]
    public_ip: bool


def build(given: StackInput) -> dict[str, Any]:
    """Return the template. Equal input gives an equal template, so a stack with the same digest needs no update."""
    images = sorted(given.images, key=lambda image: image.logical_id)
    resources: dict[str, Any] = {
        **_roles(given),
        **_queue_and_topic(given),
        **_alarms(given),
        **_functions(given),
        **_schedules(given),
        **_state_changes(given),
        **{image.logical_id: _launch_template(given, image) for image in images},
    }
    if given.vpc is not None:
        resources["SecurityGroup"] = _security_group(given)
    outputs: dict[str, Any] = {
        "ServerRoleId": {"Value": _attribute("ServerRole", "RoleId")},
        "ScheduleRole": {"Value": _attribute("ScheduleRole", "Arn")},
        "DeadLetters": {"Value": _attribute("DeadLetters", "Arn")},
        "Launcher": {"Value": _attribute("Launcher", "Arn")},
    }
    for image in images:
        outputs[f"{image.logical_id}Id"] = {"Value": {"Ref": image.logical_id}}
        outputs[f"{image.logical_id}Version"] = {"Value": _attribute(image.logical_id, "LatestVersionNumber")}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"dayfly project {given.project}: periodic jobs on servers that live for one run",
        "Resources": resources,
        "Outputs": outputs,
    }


def text(template: Mapping[str, Any]) -> str:
    """Return the template as JSON with sorted keys: equal templates give equal texts.

    It is compact, because CloudFormation takes at most 51,200 bytes in the request itself.
    """
    return json.dumps(template, separators=(",", ":"), sort_keys=True)


def digest(template: Mapping[str, Any]) -> str:
    """Return the hex SHA-256 of the template's text."""
    return hashlib.sha256(text(template).encode()).hexdigest()


def _roles(given: StackInput) -> dict[str, Any]:
    project, group = given.project, names.stack(given.project)
    refs = {
        "server": _attribute("ServerRole", "Arn"),
        "kill": _attribute("KillRole", "Arn"),
        "dead_letters": _attribute("DeadLetters", "Arn"),
    }
    owners = sorted({image.owner for image in given.images})
    documents = {
        "LauncherRole": (permissions.trust("lambda"), permissions.launcher(project, given.bucket, refs, owners)),
        "SweeperRole": (permissions.trust("lambda"), permissions.sweeper(project, given.bucket, refs, owners)),
        "ServerRole": (permissions.trust("ec2"), permissions.server(given.bucket)),
        "ScheduleRole": (permissions.trust("scheduler", group), permissions.schedules(project, refs)),
        "KillRole": (permissions.trust("scheduler", group), permissions.kill(project, refs)),
    }
    roles = {name: _role(given, trusted, may) for name, (trusted, may) in documents.items()}
    profile = {"Type": "AWS::IAM::InstanceProfile", "Properties": {"Roles": [{"Ref": "ServerRole"}]}}
    return {**roles, "ServerProfile": profile}


def _role(given: StackInput, trusted: Any, may: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "AssumeRolePolicyDocument": trusted,
        "Policies": [{"PolicyName": "dayfly", "PolicyDocument": may}],
        "Tags": _tags(given),
    }
    if given.permissions_boundary is not None:
        properties["PermissionsBoundary"] = given.permissions_boundary
    return {"Type": "AWS::IAM::Role", "Properties": properties}


def _functions(given: StackInput) -> dict[str, Any]:
    launcher = _function(
        given,
        "Launcher",
        names.launcher_function(given.project),
        given.launcher_zip,
        timeout_s=120,
        retries=2,
        age_s=3600,
    )
    sweeper = _function(
        given, "Sweeper", names.sweeper_function(given.project), given.sweeper_zip, timeout_s=840, retries=0, age_s=300
    )
    return {**launcher, **sweeper}


def _function(
    given: StackInput, logical: str, name: str, code: str, *, timeout_s: int, retries: int, age_s: int
) -> dict[str, Any]:
    """Return a function, its log group, and its event settings: Lambda retries an event at most `retries` times, for `age_s` seconds."""
    module = logical.lower()
    logs = {
        "Type": "AWS::Logs::LogGroup",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "LogGroupName": f"/dayfly/{given.project}/{module}",
            "RetentionInDays": 30,
            "Tags": _tags(given),
        },
    }
    function = {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "FunctionName": name,
            "Runtime": RUNTIME,
            "Architectures": ["arm64"],
            "Handler": f"dayfly.remote.{module}.handler",
            "MemorySize": 512,
            "Timeout": timeout_s,
            "Role": _attribute(f"{logical}Role", "Arn"),
            "Code": {"S3Bucket": given.bucket, "S3Key": code},
            "Environment": {"Variables": _environment(given)},
            "LoggingConfig": {"LogFormat": "JSON", "LogGroup": {"Ref": f"{logical}Logs"}},
            "Tags": _tags(given),
        },
    }
    # Scheduler invokes asynchronously, so Lambda (not Scheduler) retries an event whose function failed, and finally stores it.
    invocations = {
        "Type": "AWS::Lambda::EventInvokeConfig",
        "Properties": {
            "FunctionName": {"Ref": logical},
            "Qualifier": "$LATEST",
            "MaximumEventAgeInSeconds": age_s,
            "MaximumRetryAttempts": retries,
            "DestinationConfig": {"OnFailure": {"Destination": _attribute("DeadLetters", "Arn")}},
        },
    }
    return {f"{logical}Logs": logs, logical: function, f"{logical}Async": invocations}


def _environment(given: StackInput) -> dict[str, Any]:
    return {
        names.ENV_PROJECT: given.project,
        names.ENV_BUCKET: given.bucket,
        names.ENV_GROUP: names.stack(given.project),
        names.ENV_KILL_ROLE: _attribute("KillRole", "Arn"),
        names.ENV_DEAD_LETTERS: _attribute("DeadLetters", "Arn"),
        names.ENV_KEEP: str(given.keep_s),
    }


def _schedules(given: StackInput) -> dict[str, Any]:
    group = names.stack(given.project)
    sweep = {
        "Arn": _attribute("Sweeper", "Arn"),
        "RoleArn": _attribute("ScheduleRole", "Arn"),
        "Input": "{}",
        "RetryPolicy": {"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 3},
        "DeadLetterConfig": {"Arn": _attribute("DeadLetters", "Arn")},
    }
    return {
        "Group": {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": group, "Tags": _tags(given)}},
        "Sweeps": {
            "Type": "AWS::Scheduler::Schedule",
            "Properties": {
                "Name": SWEEPER_SCHEDULE,
                "GroupName": {"Ref": "Group"},
                "Description": "runs the sweeper",
                "ScheduleExpression": SWEEP_EVERY,
                "FlexibleTimeWindow": {"Mode": "OFF"},
                "Target": sweep,
            },
        },
    }


def _state_changes(given: StackInput) -> dict[str, Any]:
    """Return the rule that sends EC2's events about ended instances to the sweeper.

    EventBridge cannot filter by tag, so the events of all instances of the account in this region arrive. Permission and queue
    policy name the rule by its ARN and exist before it: otherwise its first events would be refused and kept as dead letters.
    """
    rule = names.state_change_rule(given.project)
    arn = {"Fn::Sub": f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:rule/{rule}"}
    queue = _attribute("DeadLetters", "Arn")
    pattern = {"source": [SOURCE], "detail-type": [KIND], "detail": {"state": [str(state) for state in ENDS]}}
    # A late event has no value: the next sweep does the same.
    target = {
        "Id": "sweeper",
        "Arn": _attribute("Sweeper", "Arn"),
        "RetryPolicy": {"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 3},
        "DeadLetterConfig": {"Arn": queue},
    }
    return {
        "StateChanges": {
            "Type": "AWS::Events::Rule",
            "DependsOn": ["StateChangesInvoke", "StateChangesLeave"],
            "Properties": {
                "Name": rule,
                "Description": "closes a run when its server has ended",
                "EventPattern": pattern,
                "Targets": [target],
                "Tags": _tags(given),
            },
        },
        "StateChangesInvoke": {
            "Type": "AWS::Lambda::Permission",
            "Properties": {
                "FunctionName": {"Ref": "Sweeper"},
                "Action": "lambda:InvokeFunction",
                "Principal": "events.amazonaws.com",
                "SourceArn": arn,
            },
        },
        "StateChangesLeave": {
            "Type": "AWS::SQS::QueuePolicy",
            "Properties": {
                "Queues": [{"Ref": "DeadLetters"}],
                "PolicyDocument": permissions.leave_dead_letters(arn, queue),
            },
        },
    }


def _queue_and_topic(given: StackInput) -> dict[str, Any]:
    queue = {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "QueueName": f"dayfly-{given.project}-dead-letters",
            "MessageRetentionPeriod": 1209600,
            "SqsManagedSseEnabled": True,
            "Tags": _tags(given),
        },
    }
    topic = {
        "Type": "AWS::SNS::Topic",
        "Properties": {"TopicName": f"dayfly-{given.project}", "Tags": _tags(given)},
    }
    return {"DeadLetters": queue, "Topic": topic}


def _alarms(given: StackInput) -> dict[str, Any]:
    dead_letter = {
        "AlarmDescription": f"dayfly {given.project}: an event could not be handled and is in the dead-letter queue",
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": _attribute("DeadLetters", "QueueName")}],
        "Statistic": "Maximum",
        "Period": 300,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [{"Ref": "Topic"}],
    }
    silence = {
        "AlarmDescription": f"dayfly {given.project}: no good sweep for 15 minutes; servers may outlive their deadline",
        "Namespace": names.METRIC_NAMESPACE,
        "MetricName": names.METRIC_SWEEPS,
        "Dimensions": [{"Name": names.METRIC_DIMENSION, "Value": given.project}],
        "Statistic": "Sum",
        "Period": 300,
        "EvaluationPeriods": 3,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching",
        "AlarmActions": [{"Ref": "Topic"}],
    }
    return {
        "DeadLetterKept": {"Type": "AWS::CloudWatch::Alarm", "Properties": dead_letter},
        "SweeperSilent": {"Type": "AWS::CloudWatch::Alarm", "Properties": silence},
    }


def _security_group(given: StackInput) -> dict[str, Any]:
    return {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {
            "GroupDescription": f"dayfly {given.project}: no inbound traffic",
            "VpcId": given.vpc,
            "SecurityGroupEgress": [{"IpProtocol": "-1", "CidrIp": "0.0.0.0/0", "Description": "all outbound traffic"}],
            "Tags": _tags(given),
        },
    }


def _launch_template(given: StackInput, image: Image) -> dict[str, Any]:
    groups: list[Any] = list(given.security_groups) or [_attribute("SecurityGroup", "GroupId")]
    interface = {
        "DeviceIndex": 0,
        "AssociatePublicIpAddress": given.public_ip,
        "DeleteOnTermination": True,
        "Groups": groups,
    }
    data = {
        "ImageId": image.image_id,
        "IamInstanceProfile": {"Arn": _attribute("ServerProfile", "Arn")},
        # Power-off terminates the server: the guarantee depends on it.
        "InstanceInitiatedShutdownBehavior": "terminate",
        # A recovered server would boot again without its user data.
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
        "MetadataOptions": {
            "HttpEndpoint": "enabled",
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "InstanceMetadataTags": "enabled",
        },
        "NetworkInterfaces": [interface],
        "UserData": given.user_data,
    }
    tags = {"ResourceType": "launch-template", "Tags": _tags(given)}
    return {
        "Type": "AWS::EC2::LaunchTemplate",
        "Properties": {"LaunchTemplateData": data, "TagSpecifications": [tags]},
    }


def all_tags(project: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of everything that a deploy creates: the user's, and the tag by which dayfly finds the project."""
    return {**given, names.TAG_PROJECT: project}


def _tags(given: StackInput) -> list[dict[str, str]]:
    pairs = all_tags(given.project, given.tags)
    return [{"Key": key, "Value": value} for key, value in sorted(pairs.items())]


def _attribute(resource: str, attribute: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [resource, attribute]}
