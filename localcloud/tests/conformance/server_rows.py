"""Instances after their launch: what describing them says, how they end, stop and start again."""

import time
import urllib.parse
import urllib.request
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from rows import row
from targets import REGION, Target, refusal

ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"
DESCRIBE = "EC2 API Reference, DescribeInstances"
TERMINATE = "EC2 API Reference, TerminateInstances"
HALT = "#!/bin/sh\necho going\nshutdown -h now\n"
EACH_BOOT = "#cloud-boothook\n#!/bin/sh\necho another boot\n"
DEAF = """#!/usr/bin/env python3
import os, signal, time, urllib.request
for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPWR):
    signal.signal(one, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
while True:
    try:
        urllib.request.urlopen(urllib.request.Request("{link}", data=b"1", method="PUT"), timeout=5)
    except OSError:
        pass
    time.sleep(0.2)
"""
IDLE = "#!/bin/sh\necho it is up\n"
NEEDS_TIME = "an instance has to boot: the acceptance script asks this"


def filtered(name: str, *values: str) -> list[dict[str, Any]]:
    """One filter."""
    return [{"Name": name, "Values": list(values)}]


def ids(target: Target, *filters: dict[str, Any]) -> set[str]:
    """The instances that match."""
    found = target.client("ec2").describe_instances(Filters=list(filters))["Reservations"]
    return {one["InstanceId"] for group in found for one in group["Instances"]}


def raw(target: Target, **query: str) -> tuple[int, str]:
    """A signed request that no SDK would send; the status and the body."""
    keys = Credentials(*(target.client("ec2")._get_credentials().get_frozen_credentials()))
    url = target.client("ec2").meta.endpoint_url
    said = urllib.parse.urlencode({"Version": "2016-11-15", **query})
    request = AWSRequest("POST", url, data=said, headers={"Content-Type": "application/x-www-form-urlencoded"})
    SigV4Auth(keys, "ec2", REGION).add_auth(request)
    prepared = request.prepare()
    asked = urllib.request.Request(prepared.url, data=said.encode(), headers=dict(prepared.headers), method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
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


@row("ec2", "A required parameter that is left out is MissingParameter", ERRORS)
def a_missing_parameter(target: Target) -> None:
    status, body = raw(target, Action="RunInstances", ImageId=target.image(), DryRun="true")
    assert (status, "<Code>MissingParameter</Code>" in body) == (400, True)


@row("ec2", "User data that is not base64 is refused", ERRORS + ", InvalidUserData.Malformed")
def user_data_has_to_be_base64(target: Target) -> None:
    said = {"ImageId": target.image(), "InstanceType": "t3.nano", "MinCount": "1", "MaxCount": "1"}
    status, body = raw(target, Action="RunInstances", UserData="no base64 !", DryRun="true", **said)
    assert (status, "<Code>InvalidUserData.Malformed</Code>" in body) == (400, True)


@row(
    "ec2",
    "An unknown filter is an error and never everything",
    "EC2 API Reference, Filter",
    unverified="That its code is InvalidParameterValue: seen in practice.",
)
def an_unknown_filter(target: Target) -> None:
    ec2 = target.client("ec2")
    assert refusal(ec2.describe_instances, Filters=filtered("no-such-filter", "x")) == "InvalidParameterValue"
    assert refusal(ec2.describe_volumes, Filters=filtered("no-such-filter", "x")) == "InvalidParameterValue"


@row(
    "ec2",
    "Filters are joined by and, their values by or; `*` and `?` are wildcards",
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


@row("ec2", "Instances are found by their ClientToken", DESCRIBE + ", Filter client-token")
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
    assert refusal(ec2.describe_instances, InstanceIds=["i-00000000000000000"]) == "InvalidInstanceID.NotFound"
    assert refusal(ec2.describe_instances, InstanceIds=["nonsense"]) == "InvalidInstanceID.Malformed"


@row(
    "ec2", "MaxResults and instance ids are not given together", DESCRIBE + ", MaxResults",
    unverified="That its code is InvalidParameterCombination.",
)  # fmt: skip
def a_page_of_named_instances(target: Target) -> None:
    (server,) = target.launch()
    code = refusal(target.client("ec2").describe_instances, InstanceIds=[server], MaxResults=5)
    assert code == "InvalidParameterCombination"


@row(
    "ec2",
    "Listings come in pages of at most MaxResults, and NextToken leads on",
    "EC2 API Reference, Query Requests, Pagination",
)
def listings_come_in_pages(target: Target) -> None:
    asked = {"PaginationConfig": {"PageSize": 5}, "Filters": filtered("instance-type", "t3.*")}
    pages = list(target.client("ec2").get_paginator("describe_instance_types").paginate(**asked))
    names = [one["InstanceType"] for page in pages for one in page["InstanceTypes"]]
    assert max(len(page["InstanceTypes"]) for page in pages) <= 5
    # A page may hold fewer than were asked for.
    assert len(names) == len(set(names)) == 7


@row("ec2", "A region knows nothing of another's instances", "EC2 User Guide, Regions and Zones")
def regions_are_apart(target: Target) -> None:
    (server,) = target.launch("eu-west-1")
    assert target.shown(server, "eu-west-1")["Placement"]["AvailabilityZone"].startswith("eu-west-1")
    here = target.client("ec2")
    assert refusal(here.describe_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"
    assert refusal(here.terminate_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"


@row(
    "ec2",
    "DescribeInstanceStatus shows running instances, and all with IncludeAllInstances",
    "EC2 API Reference, DescribeInstanceStatus",
)
def instance_status(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    target.becomes(server, "running")
    (shown,) = ec2.describe_instance_status(InstanceIds=[server])["InstanceStatuses"]
    assert shown["InstanceState"] == {"Code": 16, "Name": "running"}
    ec2.terminate_instances(InstanceIds=[server])
    target.becomes(server, "terminated")
    assert ec2.describe_instance_status(InstanceIds=[server])["InstanceStatuses"] == []
    (shown,) = ec2.describe_instance_status(InstanceIds=[server], IncludeAllInstances=True)["InstanceStatuses"]
    assert shown["InstanceState"]["Name"] == "terminated"


@row("ec2", "A terminated instance is shown for a while, with its reason, without address and volume", DESCRIBE)
def a_terminated_instance_is_shown(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    target.becomes(server, "running")
    answer = ec2.terminate_instances(InstanceIds=[server])["TerminatingInstances"][0]
    assert answer["PreviousState"]["Name"] == "running"
    assert answer["CurrentState"]["Name"] == "shutting-down"
    shown = target.becomes(server, "terminated")
    assert shown["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert shown["StateTransitionReason"].startswith("User initiated (")
    assert not shown.get("PrivateIpAddress")
    assert shown["BlockDeviceMappings"] == []


@row(
    "ec2",
    "A terminated instance is shown for about an hour and then is InvalidInstanceID.NotFound",
    "EC2 User Guide, Terminate Amazon EC2 instances",
    not_on_aws="it takes more than an hour",
)
def a_terminated_instance_is_forgotten(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    ec2.terminate_instances(InstanceIds=[server])
    target.becomes(server, "terminated")
    target.come(1800)
    assert target.shown(server)["State"]["Name"] == "terminated"
    target.come(3600)
    assert refusal(ec2.describe_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"
    assert server not in ids(target)


@row("ec2", "Terminating an instance again succeeds", TERMINATE)
def terminating_again(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    ec2.terminate_instances(InstanceIds=[server])
    target.becomes(server, "terminated")
    again = ec2.terminate_instances(InstanceIds=[server])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"


@row("ec2", "One wrong id in a batch, and none is terminated", TERMINATE)
def one_wrong_id_in_a_batch(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    batch = [server, "i-00000000000000000"]
    assert refusal(ec2.terminate_instances, InstanceIds=batch) == "InvalidInstanceID.NotFound"
    assert target.shown(server)["State"]["Name"] in ("pending", "running")


@row("ec2", "An instance that is protected from termination is OperationNotPermitted", TERMINATE)
def termination_protection(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch(DisableApiTermination=True)
    target.after(ec2.modify_instance_attribute, InstanceId=server, DisableApiTermination={"Value": False})
    assert refusal(ec2.terminate_instances, InstanceIds=[server]) == "OperationNotPermitted"


@row(
    "ec2", "The volume of a terminated instance is gone", "EC2 User Guide, Preserve data when an instance is terminated"
)
def the_volume_goes_too(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    target.becomes(server, "running")

    def volumes() -> list[Any]:
        return list(ec2.describe_volumes(Filters=filtered("attachment.instance-id", server))["Volumes"])

    (volume,) = target.until(volumes)
    ec2.terminate_instances(InstanceIds=[server])
    target.becomes(server, "terminated")
    target.until(lambda: not volumes())
    target.until(lambda: refusal(ec2.describe_volumes, VolumeIds=[volume["VolumeId"]]) == "InvalidVolume.NotFound")


@row("ec2", "A one-time spot instance cannot be stopped: UnsupportedOperation", "EC2 User Guide, Stop a Spot Instance")
def a_spot_instance_is_not_stopped(target: Target) -> None:
    (server,) = target.launch(InstanceMarketOptions={"MarketType": "spot"})
    target.becomes(server, "running")
    assert refusal(target.client("ec2").stop_instances, InstanceIds=[server]) == "UnsupportedOperation"


@row(
    "ec2",
    "A stopped instance can be started again and keeps its id and address",
    "EC2 User Guide, Stop and start Amazon EC2 instances",
)
def stop_and_start(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    before = target.becomes(server, "running")
    ec2.stop_instances(InstanceIds=[server])
    assert target.becomes(server, "stopped")["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    ec2.start_instances(InstanceIds=[server])
    assert target.becomes(server, "running")["PrivateIpAddress"] == before["PrivateIpAddress"]


@row("ec2", "ModifyInstanceAttribute changes the shutdown behaviour", "EC2 API Reference, ModifyInstanceAttribute")
def the_behaviour_can_be_changed(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    said = {"Value": "terminate"}
    ec2.modify_instance_attribute(InstanceId=server, InstanceInitiatedShutdownBehavior=said)
    found = ec2.describe_instance_attribute(InstanceId=server, Attribute="instanceInitiatedShutdownBehavior")
    assert found["InstanceInitiatedShutdownBehavior"] == said


@row("ec2", "Tags of an instance can be added and removed, by key or by key and value", "EC2 API Reference, DeleteTags")
def tags_change(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    ec2.create_tags(Resources=[server], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ec2.delete_tags(Resources=[server], Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}])
    assert target.shown(server)["Tags"] == [{"Key": "b", "Value": "2"}]


@row(
    "ec2",
    "User data runs, and power-off from inside ends an instance whose behaviour is `terminate`",
    "EC2 User Guide, Change instance initiated shutdown behavior",
    not_on_aws=NEEDS_TIME,
)
def power_off_terminates(target: Target) -> None:
    (server,) = target.launch(UserData=HALT, InstanceInitiatedShutdownBehavior="terminate")
    assert target.becomes(server, "terminated")["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


@row(
    "ec2",
    "An instance whose programs do not heed its power button is ended all the same, with all that ran on it",
    "EC2 User Guide, Terminate Amazon EC2 instances",
    not_on_aws=NEEDS_TIME,
)
def a_hung_instance_is_terminated(target: Target) -> None:
    ec2, s3, key = target.client("ec2"), target.client("s3"), target.name_for("alive")
    where = {"Bucket": target.bucket(), "Key": key}
    link = s3.generate_presigned_url("put_object", Params=where, ExpiresIn=3600)
    (server,) = target.launch(UserData=DEAF.format(link=link))

    def alive() -> bool:
        return not refusal(s3.head_object, **where)

    target.until(alive, "its program")
    ec2.terminate_instances(InstanceIds=[server])
    target.becomes(server, "terminated")
    # What it sent last may still be under way.
    time.sleep(1)
    s3.delete_object(**where)
    time.sleep(3)
    assert not alive()


@row(
    "ec2",
    "Power-off from inside stops an instance by default, and it can be started again",
    "EC2 User Guide, Change instance initiated shutdown behavior",
    not_on_aws=NEEDS_TIME,
)
def power_off_stops(target: Target) -> None:
    (server,) = target.launch(UserData=HALT)
    assert target.becomes(server, "stopped")["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    target.client("ec2").start_instances(InstanceIds=[server])
    target.becomes(server, "running")


@row(
    "ec2",
    "GetConsoleOutput gives what the instance printed",
    "EC2 API Reference, GetConsoleOutput",
    not_on_aws=NEEDS_TIME,
)
def the_console_is_real(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch(UserData=IDLE)

    def printed() -> bool:
        return "it is up" in ec2.get_console_output(InstanceId=server).get("Output", "")

    target.until(printed, "its words on the console")


@row(
    "ec2",
    "A rebooted instance boots again, and keeps its launch time and address",
    "EC2 API Reference, RebootInstances",
    not_on_aws=NEEDS_TIME,
)
def reboot(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch(UserData=EACH_BOOT)

    def boots() -> int:
        return str(ec2.get_console_output(InstanceId=server).get("Output", "")).count("another boot")

    target.until(lambda: boots() == 1, "the first boot")
    before = target.becomes(server, "running")
    ec2.reboot_instances(InstanceIds=[server])
    target.until(lambda: boots() == 2, "the second boot")
    after = target.becomes(server, "running")
    assert (after["LaunchTime"], after["PrivateIpAddress"]) == (before["LaunchTime"], before["PrivateIpAddress"])


@row(
    "ec2",
    "A spot instance that is taken back ends two minutes after the notice, as Server.SpotInstanceTermination",
    "EC2 User Guide, Spot Instance interruption notices; EC2 API Reference, StateReason",
    not_on_aws="only AWS's own fault injection can order it",
)
def a_spot_instance_is_taken_back(target: Any) -> None:
    (server,) = target.launch(InstanceMarketOptions={"MarketType": "spot"})
    target.becomes(server, "running")
    target.control("ec2/interrupt", {"instance": server})
    target.come(100)
    assert target.shown(server)["State"]["Name"] == "running"
    target.come(21)
    assert target.becomes(server, "terminated")["StateReason"]["Code"] == "Server.SpotInstanceTermination"


@row(
    "ec2",
    "Spot prices are text in dollars, per type and zone, for the product asked for",
    "EC2 API Reference, DescribeSpotPriceHistory",
)
def spot_prices(target: Target) -> None:
    asked = {"InstanceTypes": ["t3.nano"], "ProductDescriptions": ["Linux/UNIX"]}
    found = target.client("ec2").describe_spot_price_history(**asked)["SpotPriceHistory"]
    assert found
    assert {one["ProductDescription"] for one in found} == {"Linux/UNIX"}
    assert {one["InstanceType"] for one in found} == {"t3.nano"}
    assert all(float(one["SpotPrice"]) > 0 for one in found)
    assert all(one["AvailabilityZone"].startswith(REGION) for one in found)


@row("ec2", "A security group in use is not deleted: DependencyViolation", ERRORS)
def a_group_in_use(target: Target) -> None:
    ec2 = target.client("ec2")
    group = ec2.create_security_group(GroupName=target.name_for("group"), Description="for a moment")["GroupId"]
    target.after(ec2.delete_security_group, GroupId=group)
    target.launch(SecurityGroupIds=[group])
    assert refusal(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
