"""Whether the name of a resource of a stack is taken, by type. What follows from that is decided in services.stacks."""

from collections.abc import Callable
from typing import Any

from localcloud.ministack.requests import account, region, service

Props = dict[str, Any]
Stored = Callable[[str, Props], bool]

_NAMES = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::ManagedPolicy": "ManagedPolicyName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
}


def named(kind: str, props: Props) -> str | None:
    """Return the name that a template gives a resource; None for one that CloudFormation names, or of another type."""
    name = props.get(_NAMES.get(kind, ""))
    return str(name) if name else None


def is_taken(kind: str, name: str, props: Props) -> bool:
    """Return whether a resource of that type and name exists in the current account and region."""
    return _STORED[kind](name, props)


def _in(module: str, store: str) -> Stored:
    """Return whether a store that MiniStack keeps by name has the name."""

    def stored(name: str, props: Props) -> bool:
        del props
        return getattr(service(module), store).get(name) is not None

    return stored


def _policy(name: str, props: Props) -> bool:
    del props
    return any(found.get("PolicyName") == name for found in service("iam")._policies.values())


def _rule(name: str, props: Props) -> bool:
    events = service("eventbridge")
    return events._rules.get(events._rule_key(name, props.get("EventBusName") or "default")) is not None


def _topic(name: str, props: Props) -> bool:
    del props
    return service("sns")._topics.get(f"arn:aws:sns:{region()}:{account()}:{name}") is not None


_STORED: dict[str, Stored] = {
    "AWS::CloudWatch::Alarm": _in("cloudwatch", "_alarms"),
    "AWS::Events::Rule": _rule,
    "AWS::IAM::ManagedPolicy": _policy,
    "AWS::IAM::Role": _in("iam", "_roles"),
    "AWS::Lambda::Function": _in("lambda_svc", "_functions"),
    "AWS::Logs::LogGroup": _in("cloudwatch_logs", "_log_groups"),
    "AWS::S3::Bucket": _in("s3", "_buckets"),
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _in("sqs", "_queue_name_to_url"),
}
