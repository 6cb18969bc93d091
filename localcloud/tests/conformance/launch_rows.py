"""RunInstances: launches, client tokens, refusals."""

import base64
from typing import Any

from rows import row
from targets import TYPE, Target, allow, error_code

RUN = "EC2 API Reference, RunInstances"
ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"
TOKENS = "EC2 Developer Guide, Ensuring idempotency in Amazon EC2 API requests"
LIVES = "EC2 User Guide, Amazon EC2 instance state changes"


def tagged(kind: str, **tags: str) -> dict[str, Any]:
    """Return a tag specification."""
    return {"ResourceType": kind, "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def refused(target: Target, **asked: Any) -> str:
    """Return the error code of a launch ("" if it launches)."""
    return error_code(lambda **parameters: target.launch(**parameters), **asked)


@row("ec2", "RunInstances tags the instance and its volume at creation", RUN + ", TagSpecification.N")
def run_tags_instance_and_volume(target: Target) -> None:
    (server,) = target.launch(TagSpecifications=[tagged("instance", a="1"), tagged("volume", b="2")])
    assert {"Key": "a", "Value": "1"} in target.describe(server)["Tags"]
    values = [{"Name": "attachment.instance-id", "Values": [server]}]
    volumes = target.wait_for(lambda: target.client("ec2").describe_volumes(Filters=values)["Volumes"])
    assert volumes[0]["Tags"] == [{"Key": "b", "Value": "2"}]


@row("ec2", "The same ClientToken with the same parameters launches nothing more", TOKENS)
def run_token_replay(target: Target) -> None:
    token = target.name_for("token")
    first = target.launch(ClientToken=token)
    assert target.launch(ClientToken=token) == first


@row("ec2", "The same ClientToken with different parameters is IdempotentParameterMismatch", TOKENS)
def run_token_mismatch(target: Target) -> None:
    token = target.name_for("token")
    target.launch(ClientToken=token)
    assert refused(target, ClientToken=token, InstanceType="t3.micro") == "IdempotentParameterMismatch"


@row(
    "ec2",
    "The ClientToken of a terminated instance is IdempotentInstanceTerminated",
    ERRORS + ", IdempotentInstanceTerminated",
    unverified="Whether the terminated instance is returned instead; public reports have both.",
)
def run_token_after_the_end(target: Target) -> None:
    token = target.name_for("token")
    (server,) = target.launch(ClientToken=token)
    target.client("ec2").terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    assert refused(target, ClientToken=token) == "IdempotentInstanceTerminated"


@row("ec2", "With a subnet in the request, one ClientToken launches once in each zone", TOKENS + ", Zonal idempotency")
def run_token_is_zonal(target: Target) -> None:
    token, subnets = target.name_for("token"), target.client("ec2").describe_subnets()["Subnets"]
    zones = {one["AvailabilityZone"]: one["SubnetId"] for one in subnets if one["DefaultForAz"]}
    one, other = sorted(zones.items())[:2]
    servers = [target.launch(ClientToken=token, SubnetId=subnet)[0] for _, subnet in (one, other)]
    assert servers[0] != servers[1]
    assert {target.describe(server)["Placement"]["AvailabilityZone"] for server in servers} == {one[0], other[0]}


@row("ec2", "One ClientToken launches once in each region", TOKENS + ", Regional idempotency")
def run_token_is_regional(target: Target) -> None:
    token = target.name_for("token")
    (here,) = target.launch(ClientToken=token)
    (there,) = target.launch("eu-west-1", ClientToken=token)
    assert here != there


@row("ec2", "A ClientToken has at most 64 characters", TOKENS, unverified="The error's code.")
def run_token_has_a_length(target: Target) -> None:
    assert refused(target, ClientToken="x" * 65) == "InvalidParameterValue"


@row(
    "ec2",
    "If there is capacity, MaxCount instances are launched, in one reservation, numbered from 0",
    RUN + ", MaxCount",
)
def run_max_count(target: Target) -> None:
    made = target.reservation(MaxCount=3)
    assert [one["AmiLaunchIndex"] for one in made["Instances"]] == [0, 1, 2]
    found = [{"Name": "reservation-id", "Values": [made["ReservationId"]]}]
    (group,) = target.client("ec2").describe_instances(Filters=found)["Reservations"]
    assert len(group["Instances"]) == 3


@row(
    "ec2",
    "MinCount above MaxCount is refused",
    RUN + ", MinCount",
    unverified="Which of the InvalidParameter codes is used.",
)
def run_min_count_above_max_count(target: Target) -> None:
    assert refused(target, MinCount=2, MaxCount=1)[:16] == "InvalidParameter"


@row("ec2", "A new instance is `pending` at first", LIVES, not_on_aws="every launch shows it")
def run_is_pending_first(target: Target) -> None:
    assert target.reservation()["Instances"][0]["State"] == {"Code": 0, "Name": "pending"}


@row("ec2", "DryRun answers DryRunOperation to an authorized caller and launches nothing", RUN + ", DryRun")
def run_dry(target: Target) -> None:
    mark = target.name_for("dry")
    assert refused(target, DryRun=True, TagSpecifications=[tagged("instance", dry=mark)]) == "DryRunOperation"
    found = [{"Name": "tag:dry", "Values": [mark]}]
    assert target.client("ec2").describe_instances(Filters=found)["Reservations"] == []


@row("ec2", "DryRun answers UnauthorizedOperation to an unauthorized caller", RUN + ", DryRun")
def run_dry_unauthorized(target: Target) -> None:
    parameters = {"ImageId": target.image(), "InstanceType": TYPE, "MinCount": 1, "MaxCount": 1}
    keys = target.session(allow("ec2:DescribeInstances"))
    code = error_code(target.client("ec2", keys=keys).run_instances, DryRun=True, **parameters)
    assert code == "UnauthorizedOperation"


@row("ec2", "User data above 16 KB (16384 bytes, before base64) is refused", RUN + ", UserData")
def run_user_data_has_a_limit(target: Target) -> None:
    assert refused(target, UserData="x" * 16385) == "InvalidParameterValue"
    assert refused(target, UserData="x" * 16384, DryRun=True) == "DryRunOperation"


@row(
    "ec2",
    "User data can be read back with DescribeInstanceAttribute, base64-encoded",
    "EC2 API Reference, DescribeInstanceAttribute",
)
def run_user_data_can_be_read(target: Target) -> None:
    (server,) = target.launch(UserData="#!/bin/sh\n:\n")
    ec2 = target.client("ec2")
    answer = ec2.describe_instance_attribute(InstanceId=server, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(answer) == b"#!/bin/sh\n:\n"


@row(
    "ec2",
    "The shutdown behavior of an instance is `stop` unless the launch sets `terminate`",
    RUN + ", InstanceInitiatedShutdownBehavior",
)
def run_shutdown_behavior(target: Target) -> None:
    plain, ending = target.launch()[0], target.launch(InstanceInitiatedShutdownBehavior="terminate")[0]
    values = [
        target.client("ec2").describe_instance_attribute(InstanceId=one, Attribute="instanceInitiatedShutdownBehavior")
        for one in (plain, ending)
    ]
    assert [one["InstanceInitiatedShutdownBehavior"]["Value"] for one in values] == ["stop", "terminate"]


@row("ec2", "An unknown shutdown behavior is refused", RUN)
def run_shutdown_behavior_is_checked(target: Target) -> None:
    assert refused(target, InstanceInitiatedShutdownBehavior="hibernate")[:16] == "InvalidParameter"


@row("ec2", "An unknown image is InvalidAMIID.NotFound, a misspelled one InvalidAMIID.Malformed", ERRORS)
def run_image_is_checked(target: Target) -> None:
    assert refused(target, ImageId="ami-00000000000000000") == "InvalidAMIID.NotFound"
    assert refused(target, ImageId="debian") == "InvalidAMIID.Malformed"


@row("ec2", "An unknown instance type is refused", ERRORS, unverified="That its code is InvalidParameterValue.")
def run_type_is_checked(target: Target) -> None:
    assert refused(target, InstanceType="t9.huge") == "InvalidParameterValue"


@row("ec2", "A type of another architecture than the image's is refused", ERRORS, unverified="Its code.")
def run_architecture_is_checked(target: Target) -> None:
    assert refused(target, InstanceType="t4g.nano") == "InvalidParameterValue"


@row("ec2", "An unknown instance profile is refused", ERRORS, unverified="That its code is InvalidParameterValue.")
def run_profile_is_checked(target: Target) -> None:
    assert refused(target, IamInstanceProfile={"Name": "conf-no-such"}) == "InvalidParameterValue"


@row("ec2", "An unknown subnet, security group or key pair has its own error code", ERRORS)
def run_network_and_key_are_checked(target: Target) -> None:
    assert refused(target, SubnetId="subnet-00000000000000000") == "InvalidSubnetID.NotFound"
    assert refused(target, SecurityGroupIds=["sg-00000000000000000"]) == "InvalidGroup.NotFound"
    assert refused(target, KeyName="conf-no-such") == "InvalidKeyPair.NotFound"


@row("ec2", "An unknown launch template is InvalidLaunchTemplateId.NotFound", ERRORS)
def run_template_is_checked(target: Target) -> None:
    parameters = {"LaunchTemplateId": "lt-00000000000000000"}
    assert refused(target, LaunchTemplate=parameters) == "InvalidLaunchTemplateId.NotFound"


@row(
    "ec2", "An unknown version of a launch template is InvalidLaunchTemplateId.VersionNotFound", ERRORS,
)  # fmt: skip
def run_template_version_is_checked(target: Target) -> None:
    parameters = {"LaunchTemplateId": target.template(), "Version": "9"}
    assert refused(target, LaunchTemplate=parameters) == "InvalidLaunchTemplateId.VersionNotFound"


@row(
    "ec2",
    "Tag keys that begin with aws: are reserved",
    "EC2 User Guide, Tag your Amazon EC2 resources",
    unverified="Its code.",
)
def run_reserved_tags(target: Target) -> None:
    assert refused(target, TagSpecifications=[tagged("instance", **{"aws:mine": "1"})]) == "InvalidParameterValue"


@row(
    "ec2",
    "A tag key may occur only once for a resource",
    "EC2 User Guide, Tag your Amazon EC2 resources",
    unverified="Its code.",
)
def run_tag_keys_are_unique(target: Target) -> None:
    twice = {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
    assert refused(target, TagSpecifications=[twice]) == "InvalidParameterValue"


@row(
    "ec2",
    "A launch uses its template's data; parameters of the request take precedence; tags of both are set",
    "EC2 User Guide, Launch EC2 instances using a launch template",
)
def run_template_is_merged(target: Target) -> None:
    template = target.template(
        InstanceType=TYPE, InstanceInitiatedShutdownBehavior="terminate",
        UserData=base64.b64encode(b"#!/bin/sh\n").decode(), TagSpecifications=[tagged("instance", a="template", b="template")],
    )  # fmt: skip
    more = [tagged("instance", b="request", c="request")]
    parameters = {"LaunchTemplateId": template, "Version": "1"}
    (server,) = target.launch(LaunchTemplate=parameters, InstanceType="t3.micro", TagSpecifications=more)
    shown, ec2 = target.describe(server), target.client("ec2")
    assert shown["InstanceType"] == "t3.micro"
    tags = {tag["Key"]: tag["Value"] for tag in shown["Tags"] if not tag["Key"].startswith("aws:")}
    assert tags == {"a": "template", "b": "request", "c": "request"}
    behavior = ec2.describe_instance_attribute(InstanceId=server, Attribute="instanceInitiatedShutdownBehavior")
    assert behavior["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    assert ec2.describe_instance_attribute(InstanceId=server, Attribute="userData")["UserData"]["Value"]


@row("ec2", "A spot instance has the lifecycle `spot`; an on-demand instance has none", "EC2 API Reference, Instance")
def run_spot(target: Target) -> None:
    (plain,), (spot,) = target.launch(), target.launch(InstanceMarketOptions={"MarketType": "spot"})
    shown = target.describe(spot)
    assert shown["InstanceLifecycle"] == "spot"
    assert shown["SpotInstanceRequestId"].startswith("sir-")
    assert "InstanceLifecycle" not in target.describe(plain)


@row(
    "ec2",
    "A one-time spot launch cannot have the shutdown behavior `stop`",
    "EC2 User Guide, Launch with spot",
    unverified="All of it: it is known from public reports only.",
)
def run_spot_does_not_stop(target: Target) -> None:
    spot = {"MarketType": "spot"}
    parameters = {"InstanceMarketOptions": spot, "InstanceInitiatedShutdownBehavior": "stop"}
    assert refused(target, **parameters) == "InvalidParameterCombination"


@row("ec2", "MetadataOptions of a launch are stored and shown", RUN + ", MetadataOptions")
def run_metadata_options(target: Target) -> None:
    parameters = {"HttpTokens": "required", "HttpPutResponseHopLimit": 1, "InstanceMetadataTags": "enabled"}
    (server,) = target.launch(MetadataOptions=parameters)
    shown = target.describe(server)["MetadataOptions"]
    assert {name: shown[name] for name in parameters} == parameters


@row(
    "ec2",
    "The hop limit of metadata is a number from 1 to 64",
    "EC2 API Reference, InstanceMetadataOptionsRequest",
    unverified="Its code.",
)
def run_hop_limit_is_checked(target: Target) -> None:
    assert refused(target, MetadataOptions={"HttpPutResponseHopLimit": 65}) == "InvalidParameterValue"


@row(
    "ec2",
    "With tags in the metadata, a tag key may not contain a space or a slash",
    "EC2 User Guide, View tags for your EC2 instances using instance metadata",
    unverified="Its code.",
)
def run_metadata_tags_are_checked(target: Target) -> None:
    parameters = {"InstanceMetadataTags": "enabled"}
    for key in ("a b", "a/b"):
        code = refused(target, MetadataOptions=parameters, TagSpecifications=[tagged("instance", **{key: "1"})])
        assert code == "InvalidParameterValue"


@row(
    "ec2",
    "The root volume has the size, type and encryption that the launch requests",
    "EC2 API Reference, EbsBlockDevice",
)
def run_root_volume(target: Target) -> None:
    disk = {"VolumeSize": 20, "VolumeType": "gp3", "Encrypted": True}
    (server,) = target.launch(BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": disk}])
    values = [{"Name": "attachment.instance-id", "Values": [server]}]
    (volume,) = target.wait_for(lambda: target.client("ec2").describe_volumes(Filters=values)["Volumes"])
    assert (volume["Size"], volume["VolumeType"], volume["Encrypted"]) == (20, "gp3", True)


@row("ec2", "A root volume smaller than the image's snapshot is InvalidBlockDeviceMapping", ERRORS)
def run_root_volume_is_checked(target: Target) -> None:
    disk = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 1}}]
    assert refused(target, BlockDeviceMappings=disk) == "InvalidBlockDeviceMapping"
