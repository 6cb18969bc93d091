"""Answer the calls that only look at an account, for `dayfly doctor`. What they mean is decided in project/doctor."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import code_of
from dayfly.cloud.context import Context
from dayfly.core import names
from dayfly.flows import calls

_NO_QUOTA = ("NoSuchResourceException", "IllegalArgumentException")
_ANYWHERE = "0.0.0.0/0"


def quota(context: Context, call: calls.FindQuota) -> float | None:
    """Return the quota that applies to the account, or else AWS's default; None if EC2 has no such quota."""
    client = context.aws.client("service-quotas")
    for ask in (client.get_service_quota, client.get_aws_default_service_quota):
        try:
            return float(ask(ServiceCode="ec2", QuotaCode=call.code)["Quota"]["Value"])
        except ClientError as error:
            if code_of(error) not in _NO_QUOTA:
                raise
    return None


def plan(context: Context, _call: calls.FindPlan) -> calls.Plan:
    """Return the account's plan. Accounts from before July 2025 have none, and may start every type."""
    try:
        shown = context.aws.client("freetier").get_account_plan_state()
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return "paid"
        raise
    return "free" if shown.get("accountPlanType") == "FREE" else "paid"


def vcpus(context: Context, call: calls.FindVcpus) -> dict[str, int]:
    """Return the vCPUs by type. Asks with a filter: one unknown name would fail the whole request."""
    filters = [{"Name": "instance-type", "Values": list(call.types)}]
    pages = context.aws.client("ec2").get_paginator("describe_instance_types").paginate(Filters=filters)
    return {each["InstanceType"]: each["VCpuInfo"]["DefaultVCpus"] for page in pages for each in page["InstanceTypes"]}


def routes(context: Context, call: calls.FindRoutes) -> tuple[calls.Route, ...]:
    """Return how each subnet reaches S3: by its own route table, or by the main one of its VPC."""
    ec2 = context.aws.client("ec2")
    filters = [{"Name": "subnet-id", "Values": list(call.subnets)}]
    subnets = [
        each for page in ec2.get_paginator("describe_subnets").paginate(Filters=filters) for each in page["Subnets"]
    ]
    vpcs = [{"Name": "vpc-id", "Values": sorted({each["VpcId"] for each in subnets})}]
    if not subnets:
        return ()
    tables = [
        each
        for page in ec2.get_paginator("describe_route_tables").paginate(Filters=vpcs)
        for each in page["RouteTables"]
    ]
    service = [{"Name": "service-name", "Values": [f"com.amazonaws.{context.aws.region}.s3"]}]
    endpoints = ec2.describe_vpc_endpoints(Filters=[*vpcs, *service])["VpcEndpoints"]
    reached = {table for each in endpoints for table in each.get("RouteTableIds", [])}
    return tuple(_route(subnet, _table_of(subnet, tables), reached) for subnet in subnets)


def _table_of(subnet: Mapping[str, Any], tables: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Return the route table of a subnet: the one associated with it, or else the main one of its VPC."""
    main: Mapping[str, Any] = {}
    for table in tables:
        for each in table["Associations"]:
            if each.get("SubnetId") == subnet["SubnetId"]:
                return table
            if each.get("Main") and table["VpcId"] == subnet["VpcId"]:
                main = table
    return main


def _route(subnet: Mapping[str, Any], table: Mapping[str, Any], reached: set[str]) -> calls.Route:
    out: Mapping[str, Any] = {}
    for each in table.get("Routes", []):
        if each.get("DestinationCidrBlock") == _ANYWHERE and each.get("State") == "active":
            out = each
    return calls.Route(
        subnet=subnet["SubnetId"],
        vpc=subnet["VpcId"],
        table=table.get("RouteTableId", ""),
        zone=subnet["AvailabilityZone"],
        free=subnet["AvailableIpAddressCount"],
        way_out=bool(out),
        is_nat=bool(out) and not str(out.get("GatewayId", "")).startswith("igw-"),
        has_endpoint=table.get("RouteTableId") in reached,
    )


def clock(context: Context, _call: calls.FindClock) -> datetime:
    """Return the time in the header of an answer."""
    answer = context.aws.client("sts").get_caller_identity()
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(UTC)


def denied(context: Context, call: calls.FindDenied) -> tuple[str, ...]:
    """Return the actions that the caller's policies do not allow. Policies of the organization are not seen by this."""
    arn = context.aws.client("sts").get_caller_identity()["Arn"]
    if arn.endswith(":root"):
        return ()
    source = _policy_source(context, arn)
    return tuple(dict.fromkeys(action for wanted in call.wanted for action in _simulated(context, source, wanted)))


def _policy_source(context: Context, arn: str) -> str:
    """Return the ARN whose policies count: that of the role for a session of one."""
    if ":assumed-role/" not in arn:
        return arn
    role = arn.split(":assumed-role/", 1)[1].split("/", 1)[0]
    return str(context.aws.client("iam").get_role(RoleName=role)["Role"]["Arn"])


def _simulated(context: Context, source: str, wanted: calls.Wanted) -> list[str]:
    """Return those of the actions that are not allowed."""
    pages = (
        context.aws.client("iam")
        .get_paginator("simulate_principal_policy")
        .paginate(
            PolicySourceArn=source,
            ActionNames=list(wanted.actions),
            ResourceArns=[wanted.resource],
        )
    )
    results = [each for page in pages for each in page["EvaluationResults"]]
    return [each["EvalActionName"] for each in results if each["EvalDecision"] != "allowed"]


def alarms(context: Context, call: calls.FindAlarms) -> tuple[calls.Alarm, ...]:
    """Return the alarms whose names begin with the stack's."""
    pages = context.aws.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{call.stack}-")
    found = [each for page in pages for each in page["MetricAlarms"]]
    return tuple(
        calls.Alarm(name=each["AlarmName"], state=each["StateValue"], enabled=each["ActionsEnabled"]) for each in found
    )


def dead_letters(context: Context, call: calls.CountDeadLetters) -> int:
    """Return how many messages wait in the queue."""
    sqs = context.aws.client("sqs")
    try:
        url = sqs.get_queue_url(QueueName=call.queue)["QueueUrl"]
        shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    except ClientError as error:
        if code_of(error) in ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"):
            return 0
        raise
    return int(shown["Attributes"]["ApproximateNumberOfMessages"])


def subscriptions(context: Context, call: calls.FindSubscriptions) -> tuple[calls.Subscription, ...]:
    """Return whom the topic sends to. SNS shows `PendingConfirmation` in place of the ARN until an address is confirmed."""
    pages = context.aws.client("sns").get_paginator("list_subscriptions").paginate()
    found = [each for page in pages for each in page["Subscriptions"]]
    own = [each for each in found if each["TopicArn"].rsplit(":", 1)[1] == call.topic]
    return tuple(
        calls.Subscription(address=each["Endpoint"], confirmed=each["SubscriptionArn"].startswith("arn:"))
        for each in own
    )


def strays(context: Context, _call: calls.FindStrays) -> tuple[calls.Stray, ...]:
    """Return the project's volumes that no server has."""
    filters = [
        {"Name": f"tag:{names.TAG_PROJECT}", "Values": [context.project]},
        {"Name": "status", "Values": ["available"]},
    ]
    pages = context.aws.client("ec2").get_paginator("describe_volumes").paginate(Filters=filters)
    found = [each for page in pages for each in page["Volumes"]]
    return tuple(calls.Stray(id=each["VolumeId"], size_gb=each["Size"], created=each["CreateTime"]) for each in found)
