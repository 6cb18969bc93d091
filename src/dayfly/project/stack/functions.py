"""The two functions, with what invokes them: schedules, and the rule for EC2's state-change events."""

from __future__ import annotations

import json
from typing import Any

from dayfly.core import names, resource_policies
from dayfly.core.sweeper_event import ENDS, KIND, SOURCE
from dayfly.project.stack.given import StackInput, attribute, tag_list

RUNTIME = "python3.13"
SWEEP_EVERY = "rate(5 minutes)"
SWEEPER_SCHEDULE = "dayfly-sweeper"
"""The sweeper's schedule, in the same group as those of the jobs."""


def functions(given: StackInput) -> dict[str, Any]:
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
    # Only the sweeper tells people.
    told = {names.ENV_NOTIFY: json.dumps(given.notify.addresses), names.ENV_TOPIC: {"Ref": "Topic"}}
    sweeper["Sweeper"]["Properties"]["Environment"]["Variables"] |= told
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
            "Tags": tag_list(given),
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
            "Role": attribute(f"{logical}Role", "Arn"),
            "Code": {"S3Bucket": given.bucket, "S3Key": code},
            "Environment": {"Variables": _environment(given)},
            "LoggingConfig": {"LogFormat": "JSON", "LogGroup": {"Ref": f"{logical}Logs"}},
            "Tags": tag_list(given),
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
            "DestinationConfig": {"OnFailure": {"Destination": attribute("DeadLetters", "Arn")}},
        },
    }
    return {f"{logical}Logs": logs, logical: function, f"{logical}Async": invocations}


def _environment(given: StackInput) -> dict[str, Any]:
    return {
        names.ENV_PROJECT: given.project,
        names.ENV_BUCKET: given.bucket,
        names.ENV_GROUP: names.stack(given.project),
        names.ENV_KILL_ROLE: attribute("KillRole", "Arn"),
        names.ENV_DEAD_LETTERS: attribute("DeadLetters", "Arn"),
        names.ENV_KEEP: str(given.keep_s),
        names.ENV_ZIPS: f"{given.launcher_zip} {given.sweeper_zip}",
    }


def schedules(given: StackInput) -> dict[str, Any]:
    group = names.stack(given.project)
    sweep = {
        "Arn": attribute("Sweeper", "Arn"),
        "RoleArn": attribute("ScheduleRole", "Arn"),
        "Input": "{}",
        "RetryPolicy": {"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 3},
        "DeadLetterConfig": {"Arn": attribute("DeadLetters", "Arn")},
    }
    return {
        "Group": {"Type": "AWS::Scheduler::ScheduleGroup", "Properties": {"Name": group, "Tags": tag_list(given)}},
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


def state_changes(given: StackInput) -> dict[str, Any]:
    """Return the rule that sends EC2's events about ended instances to the sweeper.

    EventBridge cannot filter by tag, so the events of all instances of the account in this region arrive. Permission and queue
    policy name the rule by its ARN and exist before it: otherwise its first events would be refused and kept as dead letters.
    """
    rule = names.state_change_rule(given.project)
    arn = {"Fn::Sub": f"arn:${{AWS::Partition}}:events:${{AWS::Region}}:${{AWS::AccountId}}:rule/{rule}"}
    queue = attribute("DeadLetters", "Arn")
    pattern = {"source": [SOURCE], "detail-type": [KIND], "detail": {"state": [str(state) for state in ENDS]}}
    # A late event has no value: the next sweep does the same.
    target = {
        "Id": "sweeper",
        "Arn": attribute("Sweeper", "Arn"),
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
                "Tags": tag_list(given),
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
                "PolicyDocument": resource_policies.leave_dead_letters(arn, queue),
            },
        },
    }
