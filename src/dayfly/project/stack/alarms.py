"""What tells of failures: the dead-letter queue, the topic with its e-mail addresses, and the alarms that publish to it."""

from __future__ import annotations

import hashlib
from typing import Any

from dayfly.core import names
from dayfly.project.stack.given import StackInput, attribute, tag_list


def queue_and_topic(given: StackInput) -> dict[str, Any]:
    queue = {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {
            "QueueName": f"dayfly-{given.project}-dead-letters",
            "MessageRetentionPeriod": 1209600,
            "SqsManagedSseEnabled": True,
            "Tags": tag_list(given),
        },
    }
    topic = {
        "Type": "AWS::SNS::Topic",
        "Properties": {"TopicName": f"dayfly-{given.project}", "Tags": tag_list(given)},
    }
    return {"DeadLetters": queue, "Topic": topic, **_subscriptions(given)}


def _subscriptions(given: StackInput) -> dict[str, Any]:
    """Return one subscription for each e-mail address. SNS mails it a link, and sends nothing before somebody follows that."""
    return {
        f"Mail{hashlib.sha256(address.encode()).hexdigest()[:8]}": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": address},
        }
        for address in given.notify.mails
    }


def alarms(given: StackInput) -> dict[str, Any]:
    dead_letter = {
        "AlarmDescription": f"dayfly {given.project}: an event could not be handled and is in the dead-letter queue",
        "Namespace": "AWS/SQS",
        "MetricName": "ApproximateNumberOfMessagesVisible",
        "Dimensions": [{"Name": "QueueName", "Value": attribute("DeadLetters", "QueueName")}],
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
