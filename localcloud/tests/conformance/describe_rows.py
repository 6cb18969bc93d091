"""Describe actions of EC2: filters, pages, ids, regions; and how malformed requests are answered."""

import urllib.parse
import urllib.request
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from rows import row
from targets import REGION, Target, error_code

ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"
DESCRIBE = "EC2 API Reference, DescribeInstances"


def filtered(name: str, *values: str) -> list[dict[str, Any]]:
    """Return a filter."""
    return [{"Name": name, "Values": list(values)}]


def ids(target: Target, *filters: dict[str, Any]) -> set[str]:
    """Return the instances that match."""
    found = target.client("ec2").describe_instances(Filters=list(filters))["Reservations"]
    return {one["InstanceId"] for group in found for one in group["Instances"]}


def raw(target: Target, **query: str) -> tuple[int, str]:
    """Send a signed request that no SDK would send; return status and body."""
    keys = Credentials(*(target.client("ec2")._get_credentials().get_frozen_credentials()))
    url = target.client("ec2").meta.endpoint_url
    form = urllib.parse.urlencode({"Version": "2016-11-15", **query})
    request = AWSRequest("POST", url, data=form, headers={"Content-Type": "application/x-www-form-urlencoded"})
    SigV4Auth(keys, "ec2", REGION).add_auth(request)
    prepared = request.prepare()
    sent = urllib.request.Request(prepared.url, data=form.encode(), headers=dict(prepared.headers), method="POST")
    try:
        with urllib.request.urlopen(sent, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@row("ec2", "An action that EC2 does not have is InvalidAction", ERRORS)
def an_unknown_action(target: Target) -> None:
    status, body = raw(target, Action="LaunchRocket")
    assert (status, "<Code>InvalidAction</Code>" in body) == (400, True)


@row("ec2", "A parameter that the action does not have is UnknownParameter", ERRORS)
def an_unknown_parameter(target: Target) -> None:
    status, body = raw(target, Action="DescribeInstances", Nonsense="1")
    assert (status, "<Code>UnknownParameter</Code>" in body) == (400, True)


@row("ec2", "A missing required parameter is MissingParameter", ERRORS)
def a_missing_parameter(target: Target) -> None:
    status, body = raw(target, Action="RunInstances", ImageId=target.image(), DryRun="true")
    assert (status, "<Code>MissingParameter</Code>" in body) == (400, True)


@row("ec2", "User data that is not base64 is refused", ERRORS + ", InvalidUserData.Malformed")
def user_data_must_be_base64(target: Target) -> None:
    parameters = {"ImageId": target.image(), "InstanceType": "t3.nano", "MinCount": "1", "MaxCount": "1"}
    status, body = raw(target, Action="RunInstances", UserData="no base64 !", DryRun="true", **parameters)
    assert (status, "<Code>InvalidUserData.Malformed</Code>" in body) == (400, True)


@row(
    "ec2",
    "An unknown filter is an error; it does not match everything",
    "EC2 API Reference, Filter",
    unverified="That its code is InvalidParameterValue; it was seen in practice.",
)
def an_unknown_filter(target: Target) -> None:
    ec2 = target.client("ec2")
    assert error_code(ec2.describe_instances, Filters=filtered("no-such-filter", "x")) == "InvalidParameterValue"
    assert error_code(ec2.describe_volumes, Filters=filtered("no-such-filter", "x")) == "InvalidParameterValue"


@row(
    "ec2",
    "Filters are combined by AND, their values by OR; `*` and `?` are wildcards",
    "EC2 User Guide, List and filter your resources",
)
def filters(target: Target) -> None:
    mark = target.name_for("filter")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "mark", "Value": mark}, {"Key": mark, "Value": ""}]}]
    one, other = target.launch(TagSpecifications=tags, MaxCount=1) + target.launch(TagSpecifications=tags)
    own = filtered("tag:mark", mark)[0]
    assert ids(target, *filtered("tag:mark", mark[:-1] + "?")) == {one, other}
    assert ids(target, *filtered("tag-key", mark)) == {one, other}
    assert ids(target, own, *filtered("instance-id", one)) == {one}
    assert ids(target, own, *filtered("instance-type", "t3.n*", "m7i.large")) == {one, other}
    assert ids(target, own, *filtered("instance-state-name", "stopped")) == set()


@row("ec2", "A filter finds instances by their ClientToken", DESCRIBE + ", Filter client-token")
def filter_by_client_token(target: Target) -> None:
    token = target.name_for("token")
    (server,) = target.launch(ClientToken=token)
    assert ids(target, *filtered("client-token", token)) == {server}


@row(
    "ec2",
    "An id that does not exist is InvalidInstanceID.NotFound, a misspelled one InvalidInstanceID.Malformed",
    ERRORS,
)
def instance_ids_are_checked(target: Target) -> None:
    ec2 = target.client("ec2")
    assert error_code(ec2.describe_instances, InstanceIds=["i-00000000000000000"]) == "InvalidInstanceID.NotFound"
    assert error_code(ec2.describe_instances, InstanceIds=["nonsense"]) == "InvalidInstanceID.Malformed"


@row(
    "ec2", "MaxResults and instance ids exclude each other", DESCRIBE + ", MaxResults",
    unverified="That its code is InvalidParameterCombination.",
)  # fmt: skip
def max_results_with_ids(target: Target) -> None:
    (server,) = target.launch()
    code = error_code(target.client("ec2").describe_instances, InstanceIds=[server], MaxResults=5)
    assert code == "InvalidParameterCombination"


@row(
    "ec2",
    "A listing has pages of at most MaxResults; NextToken returns the next page",
    "EC2 API Reference, Query Requests, Pagination",
)
def pages(target: Target) -> None:
    parameters = {"PaginationConfig": {"PageSize": 5}, "Filters": filtered("instance-type", "t3.*")}
    pages = list(target.client("ec2").get_paginator("describe_instance_types").paginate(**parameters))
    names = [one["InstanceType"] for page in pages for one in page["InstanceTypes"]]
    assert max(len(page["InstanceTypes"]) for page in pages) <= 5
    # A page may have fewer results than MaxResults.
    assert len(names) == len(set(names)) == 7


@row("ec2", "A region does not show instances of another region", "EC2 User Guide, Regions and Zones")
def regions_are_separate(target: Target) -> None:
    (server,) = target.launch("eu-west-1")
    assert target.describe(server, "eu-west-1")["Placement"]["AvailabilityZone"].startswith("eu-west-1")
    here = target.client("ec2")
    assert error_code(here.describe_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"
    assert error_code(here.terminate_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"


@row(
    "ec2",
    "DescribeInstanceStatus shows running instances, or all with IncludeAllInstances",
    "EC2 API Reference, DescribeInstanceStatus",
)
def instance_status(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    target.wait_for_state(server, "running")
    (shown,) = ec2.describe_instance_status(InstanceIds=[server])["InstanceStatuses"]
    assert shown["InstanceState"] == {"Code": 16, "Name": "running"}
    ec2.terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    assert ec2.describe_instance_status(InstanceIds=[server])["InstanceStatuses"] == []
    (shown,) = ec2.describe_instance_status(InstanceIds=[server], IncludeAllInstances=True)["InstanceStatuses"]
    assert shown["InstanceState"]["Name"] == "terminated"


@row("ec2", "A terminated instance is shown for a while, with a reason, without an address or a volume", DESCRIBE)
def terminated_instance_is_shown(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    target.wait_for_state(server, "running")
    answer = ec2.terminate_instances(InstanceIds=[server])["TerminatingInstances"][0]
    assert answer["PreviousState"]["Name"] == "running"
    assert answer["CurrentState"]["Name"] == "shutting-down"
    shown = target.wait_for_state(server, "terminated")
    assert shown["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert shown["StateTransitionReason"].startswith("User initiated (")
    assert not shown.get("PrivateIpAddress")
    assert shown["BlockDeviceMappings"] == []


@row(
    "ec2",
    "A terminated instance is shown for about an hour, then it is InvalidInstanceID.NotFound",
    "EC2 User Guide, Terminate Amazon EC2 instances",
    not_on_aws="it takes more than an hour",
)
def terminated_instance_is_forgotten(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    ec2.terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    target.let_pass(1800)
    assert target.describe(server)["State"]["Name"] == "terminated"
    target.let_pass(3600)
    assert error_code(ec2.describe_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"
    assert server not in ids(target)
