"""What IAM judges for each operation of AWS's APIs: its actions, resources and condition keys. One row for each operation.

An operation that has no row fails the proof: a new call needs a row, and a permission.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dayfly.core import names
from model.cloud import PROJECT
from project.rendering import ACCOUNT, REGION, arn
from proof.roles import INGEST, STACK, server_role

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """One request as IAM sees it."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def asked(operation: str, params: Params) -> Iterator[Asked]:
    """Return what IAM judges for an operation, named like `s3.PutObject`. Raises LookupError for one without a row."""
    service, _, name = operation.partition(".")
    if operation in _ROWS:
        yield from _ROWS[operation](params)
    elif re.match(r"ec2\.Describe", operation) or operation in _EVERYWHERE:
        yield Asked(f"{_PREFIXES.get(service, service)}:{name}", "*")
    else:
        raise LookupError(f"no row says what IAM judges for {operation}")


def here(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


_PREFIXES = {"service-quotas": "servicequotas"}
_EVERYWHERE = (
    *("iam.ListRoles", "scheduler.ListSchedules", "sns.ListSubscriptions", "freetier.GetAccountPlanState"),
    *("service-quotas.GetServiceQuota", "service-quotas.GetAWSDefaultServiceQuota", "cloudwatch.DescribeAlarms"),
)


def _object(action: str) -> Callable[[Params], Iterator[Asked]]:
    def row(params: Params) -> Iterator[Asked]:
        yield Asked(f"s3:{action}", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}")

    return row


def _put(params: Params) -> Iterator[Asked]:
    context = {"s3:ObjectCreationOperation": "true"}
    if "IfNoneMatch" in params:
        context["s3:if-none-match"] = params["IfNoneMatch"]
    yield Asked("s3:PutObject", f"arn:aws:s3:::{params['Bucket']}/{params['Key']}", context)


def _copy(params: Params) -> Iterator[Asked]:
    """A copy of an object: the source is read, and the target written. `CopySource` is the object itself, or another one."""
    match params.get("CopySource"):
        case {"Bucket": bucket, "Key": key}:
            yield from _object("GetObject")({"Bucket": bucket, "Key": key})
        case _:
            yield from _object("GetObject")(params)
    yield from _put(params)


def _delete_many(params: Params) -> Iterator[Asked]:
    for each in params["Delete"]["Objects"]:
        yield Asked("s3:DeleteObject", f"arn:aws:s3:::{params['Bucket']}/{each['Key']}")


def _bucket(action: str) -> Callable[[Params], Iterator[Asked]]:
    def row(params: Params) -> Iterator[Asked]:
        yield Asked(f"s3:{action}", f"arn:aws:s3:::{params['Bucket']}")

    return row


def _list(params: Params) -> Iterator[Asked]:
    yield Asked("s3:ListBucket", f"arn:aws:s3:::{params['Bucket']}", {"s3:prefix": params.get("Prefix", "")})


def _fleet(params: Params) -> Iterator[Asked]:
    """A fleet is judged as CreateFleet and as the launch of its servers, with their tags, their role and their image."""
    tags = {each["ResourceType"]: each["Tags"] for each in params["TagSpecifications"]}
    own = {"aws:ResourceTag/dayfly:project": PROJECT}
    for action in ("CreateFleet", "RunInstances"):
        yield Asked(f"ec2:{action}", here("ec2", "launch-template/lt-0123456789abcdef0"), own)
    yield Asked("ec2:CreateFleet", here("ec2", "fleet/*"), _request_tags(tags["fleet"]))
    for kind in ("instance", "volume", "network-interface"):
        yield Asked("ec2:RunInstances", here("ec2", f"{kind}/*"), _request_tags(tags[kind]))
    image = f"arn:aws:ec2:{REGION}::image/ami-0123456789abcdef0"
    yield Asked("ec2:RunInstances", image, {"ec2:Owner": "136693071363"})
    for action in ("CreateFleet", "RunInstances"):
        yield Asked(f"ec2:{action}", f"arn:aws:ec2:{REGION}:999999999999:subnet/subnet-0123456789abcdef0")
    yield Asked("ec2:RunInstances", f"arn:aws:ec2:{REGION}:999999999999:security-group/sg-0123456789abcdef0")
    for kind, of_kind in tags.items():
        by = "CreateFleet" if kind == "fleet" else "RunInstances"
        yield Asked("ec2:CreateTags", here("ec2", f"{kind}/*"), {**_request_tags(of_kind), "ec2:CreateAction": by})
    parameter = f"arn:aws:ssm:{REGION}::parameter/aws/service/debian/release/13/latest/arm64"
    yield Asked("ssm:GetParameters", parameter)
    yield Asked("ssm:GetParameter", parameter)
    for granted in (server_role(INGEST), "ServerRole"):
        yield Asked("iam:PassRole", arn(granted, STACK), {"iam:PassedToService": "ec2.amazonaws.com"})


def _request_tags(tags: list[Mapping[str, str]]) -> dict[str, str]:
    return {f"aws:RequestTag/{each['Key']}": each["Value"] for each in tags if each["Key"] == names.TAG_PROJECT}


def _of_servers(action: str) -> Callable[[Params], Iterator[Asked]]:
    def row(params: Params) -> Iterator[Asked]:
        servers = params.get("InstanceIds") or [params["InstanceId"]]
        for server in servers:
            yield Asked(f"ec2:{action}", here("ec2", f"instance/{server}"), {"aws:ResourceTag/dayfly:project": PROJECT})

    return row


def _schedule(action: str) -> Callable[[Params], Iterator[Asked]]:
    def row(params: Params) -> Iterator[Asked]:
        yield Asked(f"scheduler:{action}", here("scheduler", f"schedule/{names.stack(PROJECT)}/{params['Name']}"))
        if "Target" in params:
            role = arn("KillRole" if params["Name"].startswith(names.KILL_PREFIX) else "ScheduleRole", STACK)
            yield Asked("iam:PassRole", role, {"iam:PassedToService": "scheduler.amazonaws.com"})

    return row


def _stack(action: str) -> Callable[[Params], Iterator[Asked]]:
    def row(_params: Params) -> Iterator[Asked]:
        yield Asked(f"cloudformation:{action}", here("cloudformation", f"stack/{names.stack(PROJECT)}/1"))

    return row


def _function(action: str) -> Callable[[Params], Iterator[Asked]]:
    def row(params: Params) -> Iterator[Asked]:
        yield Asked(f"lambda:{action}", here("lambda", f"function:{params['FunctionName']}"))

    return row


def _queue(action: str) -> Callable[[Params], Iterator[Asked]]:
    def row(_params: Params) -> Iterator[Asked]:
        yield Asked(f"sqs:{action}", here("sqs", f"{names.stack(PROJECT)}-dead-letters"))

    return row


def _nothing(_params: Params) -> Iterator[Asked]:
    """IAM judges nothing: every caller may do it."""
    yield from ()


def _parameter(params: Params) -> Iterator[Asked]:
    yield Asked("ssm:GetParameter", _parameter_arn(params["Name"]))


def _own_parameter(action: str) -> Callable[[Params], Iterator[Asked]]:
    def row(params: Params) -> Iterator[Asked]:
        yield Asked(f"ssm:{action}", _parameter_arn(params["Name"]))
        if "Tags" in params:
            yield Asked("ssm:AddTagsToResource", _parameter_arn(params["Name"]))

    return row


def _parameter_arn(name: str) -> str:
    """Return the ARN of a parameter. A public one has no account."""
    account = "" if name.startswith("/aws/") else ACCOUNT
    return f"arn:aws:ssm:{REGION}:{account}:parameter/{name.lstrip('/')}"


def _topic(params: Params) -> Iterator[Asked]:
    yield Asked("sns:Publish", params["TopicArn"])


def _simulate(params: Params) -> Iterator[Asked]:
    yield Asked("iam:SimulatePrincipalPolicy", params["PolicySourceArn"])


def _role(params: Params) -> Iterator[Asked]:
    yield Asked("iam:GetRole", f"arn:aws:iam::{ACCOUNT}:role/{params['RoleName']}")


def _linked_role(params: Params) -> Iterator[Asked]:
    name = params["AWSServiceName"]
    role = f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{name}/AWSServiceRoleForEC2Spot"
    yield Asked("iam:CreateServiceLinkedRole", role, {"iam:AWSServiceName": name})


def _policy(params: Params) -> Iterator[Asked]:
    yield Asked("iam:GetPolicy", params["PolicyArn"])


_ROWS: Mapping[str, Callable[[Params], Iterator[Asked]]] = {
    "s3.GetObject": _object("GetObject"),
    "s3.HeadObject": _object("GetObject"),
    "s3.PutObject": _put,
    "s3.CopyObject": _copy,
    "s3.UploadPartCopy": _copy,
    "s3.CreateMultipartUpload": _put,
    "s3.CompleteMultipartUpload": _put,
    "s3.DeleteObject": _object("DeleteObject"),
    "s3.DeleteObjects": _delete_many,
    "s3.ListObjectsV2": _list,
    "s3.AbortMultipartUpload": _object("AbortMultipartUpload"),
    "s3.ListMultipartUploads": _bucket("ListBucketMultipartUploads"),
    "s3.HeadBucket": _bucket("ListBucket"),
    "s3.CreateBucket": _bucket("CreateBucket"),
    "s3.DeleteBucket": _bucket("DeleteBucket"),
    "s3.PutPublicAccessBlock": _bucket("PutBucketPublicAccessBlock"),
    "s3.PutBucketPolicy": _bucket("PutBucketPolicy"),
    "s3.PutBucketTagging": _bucket("PutBucketTagging"),
    "s3.PutBucketLifecycleConfiguration": _bucket("PutLifecycleConfiguration"),
    "ec2.CreateFleet": _fleet,
    "ec2.TerminateInstances": _of_servers("TerminateInstances"),
    "ec2.GetConsoleOutput": _of_servers("GetConsoleOutput"),
    **{f"scheduler.{action}": _schedule(action) for action in ("CreateSchedule", "GetSchedule", "UpdateSchedule", "DeleteSchedule")},
    **{f"cloudformation.{action}": _stack(action) for action in ("CreateStack", "UpdateStack", "DeleteStack", "DescribeStacks")},
    **{f"cloudformation.{action}": _stack(action) for action in ("DescribeStackEvents", "ContinueUpdateRollback")},
    "lambda.Invoke": _function("InvokeFunction"),
    "lambda.GetFunctionConcurrency": _function("GetFunctionConcurrency"),
    "lambda.PutFunctionConcurrency": _function("PutFunctionConcurrency"),
    "lambda.DeleteFunctionConcurrency": _function("DeleteFunctionConcurrency"),
    "sqs.GetQueueUrl": _queue("GetQueueUrl"),
    "sqs.GetQueueAttributes": _queue("GetQueueAttributes"),
    "sts.GetCallerIdentity": _nothing,
    "ssm.GetParameter": _parameter,
    "ssm.PutParameter": _own_parameter("PutParameter"),
    "ssm.DeleteParameter": _own_parameter("DeleteParameter"),
    "sns.Publish": _topic,
    "iam.GetRole": _role,
    "iam.SimulatePrincipalPolicy": _simulate,
    "iam.CreateServiceLinkedRole": _linked_role,
    "iam.GetPolicy": _policy,
}  # fmt: skip
