"""Instances after their launch: terminate, stop, start, reboot, tags, console, spot interruption."""

import time
from typing import Any

from describe_rows import filtered
from rows import row
from targets import REGION, Target, error_code

ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"
TERMINATE = "EC2 API Reference, TerminateInstances"
HALT = "#!/bin/sh\necho going\nshutdown -h now\n"
EACH_BOOT = "#cloud-boothook\n#!/bin/sh\necho another boot\n"
IGNORES_SIGNALS = """#!/usr/bin/env python3
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
NEEDS_BOOT = "the instance has to boot, which takes minutes"


@row("ec2", "Terminating an instance again succeeds", TERMINATE)
def terminating_again(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    ec2.terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    again = ec2.terminate_instances(InstanceIds=[server])["TerminatingInstances"][0]
    assert again["CurrentState"]["Name"] == "terminated"


@row("ec2", "If one id of a batch is wrong, no instance is terminated", TERMINATE)
def one_wrong_id_in_a_batch(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    batch = [server, "i-00000000000000000"]
    assert error_code(ec2.terminate_instances, InstanceIds=batch) == "InvalidInstanceID.NotFound"
    assert target.describe(server)["State"]["Name"] in ("pending", "running")


@row("ec2", "Terminating a protected instance is OperationNotPermitted", TERMINATE)
def termination_protection(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch(DisableApiTermination=True)
    target.undo_after_row(ec2.modify_instance_attribute, InstanceId=server, DisableApiTermination={"Value": False})
    assert error_code(ec2.terminate_instances, InstanceIds=[server]) == "OperationNotPermitted"


@row(
    "ec2",
    "The volume of a terminated instance is deleted",
    "EC2 User Guide, Preserve data when an instance is terminated",
)
def volume_is_deleted(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    target.wait_for_state(server, "running")

    def volumes() -> list[Any]:
        return list(ec2.describe_volumes(Filters=filtered("attachment.instance-id", server))["Volumes"])

    (volume,) = target.wait_for(volumes)
    ec2.terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    target.wait_for(lambda: not volumes())
    target.wait_for(
        lambda: error_code(ec2.describe_volumes, VolumeIds=[volume["VolumeId"]]) == "InvalidVolume.NotFound"
    )


@row("ec2", "Stopping a one-time spot instance is UnsupportedOperation", "EC2 User Guide, Stop a Spot Instance")
def spot_instance_cannot_stop(target: Target) -> None:
    (server,) = target.launch(InstanceMarketOptions={"MarketType": "spot"})
    target.wait_for_state(server, "running")
    assert error_code(target.client("ec2").stop_instances, InstanceIds=[server]) == "UnsupportedOperation"


@row(
    "ec2",
    "A stopped instance can be started again; it keeps its id and private address",
    "EC2 User Guide, Stop and start Amazon EC2 instances",
)
def stop_and_start(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    before = target.wait_for_state(server, "running")
    ec2.stop_instances(InstanceIds=[server])
    assert target.wait_for_state(server, "stopped")["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    ec2.start_instances(InstanceIds=[server])
    assert target.wait_for_state(server, "running")["PrivateIpAddress"] == before["PrivateIpAddress"]


@row("ec2", "ModifyInstanceAttribute changes the shutdown behavior", "EC2 API Reference, ModifyInstanceAttribute")
def shutdown_behavior_can_change(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    parameters = {"Value": "terminate"}
    ec2.modify_instance_attribute(InstanceId=server, InstanceInitiatedShutdownBehavior=parameters)
    found = ec2.describe_instance_attribute(InstanceId=server, Attribute="instanceInitiatedShutdownBehavior")
    assert found["InstanceInitiatedShutdownBehavior"] == parameters


@row("ec2", "Tags of an instance can be added and removed, by key or by key and value", "EC2 API Reference, DeleteTags")
def tags_change(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    ec2.create_tags(Resources=[server], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ec2.delete_tags(Resources=[server], Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}])
    assert target.describe(server)["Tags"] == [{"Key": "b", "Value": "2"}]


@row(
    "ec2",
    "No tag makes an answer unreadable: one with a control character is refused",
    "EC2 User Guide, Tag your Amazon EC2 resources, Tag restrictions",
    unverified="that such a tag is refused, and that the code is InvalidParameterValue; XML 1.0 cannot hold the character",
)
def control_character_in_a_tag(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch()
    for odd in ("\x01", "\x0b", "\x1b", "\x7f\x00", "\ufffe"):
        for tag in ({"Key": "a", "Value": odd}, {"Key": odd, "Value": "a"}):
            assert error_code(ec2.create_tags, Resources=[server], Tags=[tag]) == "InvalidParameterValue"
    kept = {"Key": "b", "Value": "<&>é\U0001f600"}
    ec2.create_tags(Resources=[server], Tags=[kept])
    assert target.describe(server)["Tags"] == [kept]


@row(
    "ec2",
    "User data runs; a power-off from inside terminates an instance with shutdown behavior `terminate`",
    "EC2 User Guide, Change instance initiated shutdown behavior",
    not_on_aws=NEEDS_BOOT,
)
def power_off_terminates(target: Target) -> None:
    (server,) = target.launch(UserData=HALT, InstanceInitiatedShutdownBehavior="terminate")
    assert target.wait_for_state(server, "terminated")["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


@row(
    "ec2",
    "An instance that ignores its power button is terminated anyway, with all its processes",
    "EC2 User Guide, Terminate Amazon EC2 instances",
    not_on_aws=NEEDS_BOOT,
)
def unresponsive_instance_is_terminated(target: Target) -> None:
    ec2, s3, key = target.client("ec2"), target.client("s3"), target.name_for("alive")
    where = {"Bucket": target.bucket(), "Key": key}
    link = s3.generate_presigned_url("put_object", Params=where, ExpiresIn=3600)
    (server,) = target.launch(UserData=IGNORES_SIGNALS.format(link=link))

    def alive() -> bool:
        return not error_code(s3.head_object, **where)

    target.wait_for(alive, "its program")
    ec2.terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    # Its last message may still be on its way.
    time.sleep(1)
    s3.delete_object(**where)
    time.sleep(3)
    assert not alive()


@row(
    "ec2",
    "A power-off from inside stops an instance by default; it can be started again",
    "EC2 User Guide, Change instance initiated shutdown behavior",
    not_on_aws=NEEDS_BOOT,
)
def power_off_stops(target: Target) -> None:
    (server,) = target.launch(UserData=HALT)
    assert target.wait_for_state(server, "stopped")["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    target.client("ec2").start_instances(InstanceIds=[server])
    target.wait_for_state(server, "running")


@row(
    "ec2",
    "GetConsoleOutput returns the console output of the instance",
    "EC2 API Reference, GetConsoleOutput",
    not_on_aws=NEEDS_BOOT,
)
def console_output(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch(UserData=IDLE)

    def printed() -> bool:
        return "it is up" in ec2.get_console_output(InstanceId=server).get("Output", "")

    target.wait_for(printed, "its words on the console")


@row(
    "ec2",
    "A rebooted instance boots again and keeps its launch time and address",
    "EC2 API Reference, RebootInstances",
    not_on_aws=NEEDS_BOOT,
)
def reboot(target: Target) -> None:
    ec2, (server,) = target.client("ec2"), target.launch(UserData=EACH_BOOT)

    def boots() -> int:
        return str(ec2.get_console_output(InstanceId=server).get("Output", "")).count("another boot")

    target.wait_for(lambda: boots() == 1, "the first boot")
    before = target.wait_for_state(server, "running")
    ec2.reboot_instances(InstanceIds=[server])
    target.wait_for(lambda: boots() == 2, "the second boot")
    after = target.wait_for_state(server, "running")
    assert (after["LaunchTime"], after["PrivateIpAddress"]) == (before["LaunchTime"], before["PrivateIpAddress"])


@row(
    "ec2",
    "An interrupted spot instance ends two minutes after the notice, with Server.SpotInstanceTermination",
    "EC2 User Guide, Spot Instance interruption notices; EC2 API Reference, StateReason",
    not_on_aws="only AWS's fault injection can cause it",
)
def spot_interruption(target: Any) -> None:
    (server,) = target.launch(InstanceMarketOptions={"MarketType": "spot"})
    target.wait_for_state(server, "running")
    target.control("ec2/interrupt", {"instance": server})
    target.let_pass(100)
    assert target.describe(server)["State"]["Name"] == "running"
    target.let_pass(21)
    assert target.wait_for_state(server, "terminated")["StateReason"]["Code"] == "Server.SpotInstanceTermination"


@row(
    "ec2",
    "Spot prices are in dollars, as text, for each type and zone of the requested product",
    "EC2 API Reference, DescribeSpotPriceHistory",
)
def spot_prices(target: Target) -> None:
    parameters = {"InstanceTypes": ["t3.nano"], "ProductDescriptions": ["Linux/UNIX"]}
    found = target.client("ec2").describe_spot_price_history(**parameters)["SpotPriceHistory"]
    assert found
    assert {one["ProductDescription"] for one in found} == {"Linux/UNIX"}
    assert {one["InstanceType"] for one in found} == {"t3.nano"}
    assert all(float(one["SpotPrice"]) > 0 for one in found)
    assert all(one["AvailabilityZone"].startswith(REGION) for one in found)


@row("ec2", "Deleting a security group in use is DependencyViolation", ERRORS)
def security_group_in_use(target: Target) -> None:
    ec2 = target.client("ec2")
    group = ec2.create_security_group(GroupName=target.name_for("group"), Description="for a moment")["GroupId"]
    target.undo_after_row(ec2.delete_security_group, GroupId=group)
    target.launch(SecurityGroupIds=[group])
    assert error_code(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
