"""Launch templates and instant fleets."""

import base64
from typing import Any

from rows import row
from targets import IMAGE, TYPE, Target, error_code

FLEET = "EC2 API Reference, CreateFleet"
ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"
TOKENS = "EC2 Developer Guide, Ensuring idempotency in Amazon EC2 API requests"
SPOT = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}


def encoded(text: str) -> str:
    """Return the text in base64."""
    return base64.b64encode(text.encode()).decode()


@row("ec2", "The name of a launch template is unique", ERRORS + ", InvalidLaunchTemplateName.AlreadyExistsException")
def template_names_are_unique(target: Target) -> None:
    ec2, name = target.client("ec2"), target.name_for("template")
    parameters = {"LaunchTemplateName": name, "LaunchTemplateData": {"InstanceType": TYPE}}
    ec2.create_launch_template(**parameters)
    target.undo_after_row(ec2.delete_launch_template, LaunchTemplateName=name)
    assert error_code(ec2.create_launch_template, **parameters) == "InvalidLaunchTemplateName.AlreadyExistsException"


@row(
    "ec2",
    "A new version is `$Latest`; `$Default` stays until it is changed",
    "EC2 API Reference, CreateLaunchTemplateVersion",
)
def template_versions(target: Target) -> None:
    ec2, template = target.client("ec2"), target.template()
    data = {"InstanceType": "t3.micro"}
    ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData=data)
    parameters = {"LaunchTemplateId": template, "Versions": ["$Latest", "$Default"]}
    found = ec2.describe_launch_template_versions(**parameters)["LaunchTemplateVersions"]
    values = {one["VersionNumber"]: one["LaunchTemplateData"] for one in found}
    assert {number: one["InstanceType"] for number, one in values.items()} == {1: TYPE, 2: "t3.micro"}
    assert values[2]["ImageId"] == values[1]["ImageId"]


@row("ec2", "CreateLaunchTemplate with the same ClientToken makes one template", TOKENS)
def template_token(target: Target) -> None:
    ec2, name, token = target.client("ec2"), target.name_for("template"), target.name_for("token")
    parameters = {"LaunchTemplateName": name, "LaunchTemplateData": {"InstanceType": TYPE}, "ClientToken": token}
    first = ec2.create_launch_template(**parameters)["LaunchTemplate"]["LaunchTemplateId"]
    target.undo_after_row(ec2.delete_launch_template, LaunchTemplateId=first)
    assert ec2.create_launch_template(**parameters)["LaunchTemplate"]["LaunchTemplateId"] == first


@row("ec2", "The answer for an instant fleet lists its instances, which have the requested tags", FLEET)
def fleet_launches(target: Target) -> None:
    tags = [{"ResourceType": kind, "Tags": [{"Key": "of", "Value": kind}]} for kind in ("fleet", "instance")]
    made = target.fleet(target.template(), TagSpecifications=tags)
    (entry,) = made["Instances"]
    assert (entry["Lifecycle"], entry["InstanceType"]) == ("on-demand", TYPE)
    shown = {tag["Key"]: tag["Value"] for tag in target.describe(entry["InstanceIds"][0])["Tags"]}
    assert shown["of"] == "instance"
    assert shown["aws:ec2:fleet-id"] == made["FleetId"]


@row(
    "ec2",
    "The same ClientToken returns the same fleet and launches nothing more",
    TOKENS,
    unverified="The content of the repeated answer apart from the fleet's id.",
)
def fleet_token_replay(target: Target) -> None:
    template, token = target.template(), target.name_for("token")
    first, again = target.fleet(template, ClientToken=token), target.fleet(template, ClientToken=token)
    assert again["FleetId"] == first["FleetId"]
    found = [{"Name": "tag:aws:ec2:fleet-id", "Values": [first["FleetId"]]}]
    groups = target.client("ec2").describe_instances(Filters=found)["Reservations"]
    assert sum(len(group["Instances"]) for group in groups) == 1


@row(
    "ec2",
    "The ClientToken of a fleet returns the same fleet and launches nothing, even after its instance has ended",
    TOKENS,
    unverified="All of it: AWS describes this case only for RunInstances.",
)
def fleet_token_after_the_end(target: Target) -> None:
    template, token = target.template(), target.name_for("token")
    first = target.fleet(template, ClientToken=token)
    (server,) = first["Instances"][0]["InstanceIds"]
    target.client("ec2").terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    assert target.fleet(template, ClientToken=token)["FleetId"] == first["FleetId"]
    found = [{"Name": "tag:aws:ec2:fleet-id", "Values": [first["FleetId"]]}]
    groups = target.client("ec2").describe_instances(Filters=found)["Reservations"]
    assert [one["InstanceId"] for group in groups for one in group["Instances"]] == [server]


@row("ec2", "The same ClientToken with different parameters of a fleet is IdempotentParameterMismatch", TOKENS)
def fleet_token_mismatch(target: Target) -> None:
    template, token = target.template(), target.name_for("token")
    target.fleet(template, ClientToken=token)
    other = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}
    code = error_code(
        lambda **parameters: target.fleet(template, **parameters), ClientToken=token, TargetCapacitySpecification=other
    )
    assert code == "IdempotentParameterMismatch"


@row(
    "ec2",
    "Instances of a fleet have the shutdown behavior and user data of its template",
    "EC2 API Reference, RequestLaunchTemplateData",
    unverified="That it holds for instant fleets; public projects rely on it.",
)
def fleet_uses_the_template(target: Target) -> None:
    template = target.template(InstanceInitiatedShutdownBehavior="terminate", UserData=encoded("#!/bin/sh\n:\n"))
    server = target.fleet(template)["Instances"][0]["InstanceIds"][0]
    ec2 = target.client("ec2")
    answer = ec2.describe_instance_attribute(InstanceId=server, Attribute="instanceInitiatedShutdownBehavior")
    assert answer["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    answer = ec2.describe_instance_attribute(InstanceId=server, Attribute="userData")
    assert answer["UserData"] == {"Value": encoded("#!/bin/sh\n:\n")}


@row("ec2", "A spot fleet launches spot instances", FLEET)
def fleet_of_spot(target: Target) -> None:
    made = target.fleet(target.template(), TargetCapacitySpecification=SPOT)
    assert made["Instances"][0]["Lifecycle"] == "spot"
    assert target.describe(made["Instances"][0]["InstanceIds"][0])["InstanceLifecycle"] == "spot"


@row(
    "ec2",
    "The type and subnet of an override take precedence over the template's",
    "EC2 API Reference, FleetLaunchTemplateOverridesRequest",
)
def fleet_overrides(target: Target) -> None:
    ec2, asked = target.client("ec2"), [{"Name": "instance-type", "Values": ["t3.micro"]}]
    offers = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=asked)
    zone = max(one["Location"] for one in offers["InstanceTypeOfferings"])
    (subnet,) = ec2.describe_subnets(Filters=[{"Name": "availability-zone", "Values": [zone]}])["Subnets"]
    configuration = {
        "LaunchTemplateSpecification": {"LaunchTemplateId": target.template(), "Version": "1"},
        "Overrides": [{"InstanceType": "t3.micro", "SubnetId": subnet["SubnetId"]}],
    }
    made = target.fleet("", LaunchTemplateConfigs=[configuration])
    shown = target.describe(made["Instances"][0]["InstanceIds"][0])
    assert (shown["InstanceType"], shown["SubnetId"]) == ("t3.micro", subnet["SubnetId"])


@row(
    "ec2", "User data in the fleet request takes precedence over the template's",
    "EC2 API Reference, FleetLaunchTemplateSpecificationRequest, LaunchTemplateSpecificationUserData",
    unverified="That the request takes precedence when the template has user data too.",
)  # fmt: skip
def fleet_user_data(target: Target) -> None:
    specification = {
        "LaunchTemplateId": target.template(UserData=encoded("template")),
        "Version": "1",
        "LaunchTemplateSpecificationUserData": encoded("request"),
    }
    made = target.fleet("", LaunchTemplateConfigs=[{"LaunchTemplateSpecification": specification}])
    server = made["Instances"][0]["InstanceIds"][0]
    answer = target.client("ec2").describe_instance_attribute(InstanceId=server, Attribute="userData")
    assert answer["UserData"]["Value"] == encoded("request")


@row(
    "ec2",
    "`resolve:ssm:` in a template selects the image that the parameter contains",
    "EC2 User Guide, Use a Systems Manager parameter",
)
def fleet_resolves_ssm_image(target: Target) -> None:
    made = target.fleet(target.template(ImageId=f"resolve:ssm:{IMAGE}"))
    assert target.describe(made["Instances"][0]["InstanceIds"][0])["ImageId"] == target.image()


@row("ec2", "An unknown template fails the whole call", ERRORS)
def fleet_template_is_checked(target: Target) -> None:
    code = error_code(lambda: target.fleet("lt-00000000000000000"))
    assert code == "InvalidLaunchTemplateId.NotFound"


@row(
    "ec2",
    "A pool that cannot launch is an entry in `Errors` of an answer with status 200",
    "EC2 API Reference, CreateFleetError",
)
def fleet_errors(target: Target) -> None:
    made = target.fleet(target.template(ImageId="ami-00000000000000000"))
    assert made.get("Instances", []) == []
    assert made["Errors"][0]["ErrorCode"] == "InvalidAMIID.NotFound"
    assert made["Errors"][0]["LaunchTemplateAndOverrides"]["LaunchTemplateSpecification"]["Version"] == "1"


@row(
    "ec2",
    "A pool without capacity is InsufficientInstanceCapacity in `Errors`",
    "EC2 User Guide, EC2 Fleet errors",
    not_on_aws="AWS cannot be made to lack capacity",
)
def fleet_without_capacity(target: Any) -> None:
    rule = {"code": "InsufficientInstanceCapacity", "market": "spot"}
    target.control("ec2/capacity", {"rules": [rule]})
    target.undo_after_row(target.control, path="ec2/capacity", method="DELETE")
    template = target.template()
    made = target.fleet(template, TargetCapacitySpecification=SPOT)
    assert made["Instances"] == []
    assert made["Errors"][0]["ErrorCode"] == "InsufficientInstanceCapacity"
    assert target.fleet(template)["Errors"] == []


@row("ec2", "An instant fleet is listed only by its id", "EC2 API Reference, DescribeFleets")
def fleet_is_listed_by_id(target: Target) -> None:
    ec2, made = target.client("ec2"), target.fleet(target.template())
    assert made["FleetId"] not in {one["FleetId"] for one in ec2.describe_fleets()["Fleets"]}
    (shown,) = ec2.describe_fleets(FleetIds=[made["FleetId"]])["Fleets"]
    assert shown["Type"] == "instant"
    assert shown["Instances"][0]["InstanceIds"] == made["Instances"][0]["InstanceIds"]


@row("ec2", "An instant fleet is deleted together with its instances", "EC2 API Reference, DeleteFleets")
def fleet_is_deleted(target: Target) -> None:
    made = target.fleet(target.template())
    target.client("ec2").delete_fleets(FleetIds=[made["FleetId"]], TerminateInstances=True)
    target.wait_for_state(made["Instances"][0]["InstanceIds"][0], "terminated")
