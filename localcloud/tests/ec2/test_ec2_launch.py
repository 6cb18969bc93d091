"""RunInstances, launch templates and instant fleets: launches, client tokens, refusals."""

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud

IDLE = "#!/bin/sh\necho up\n"


@pytest.fixture
def ec2(cloud: Running) -> Iterator[Any]:
    """A client. After the test its instances are terminated and capacity rules removed."""
    client = cloud.client("ec2")
    yield client
    instances.control(cloud.facts["endpoint"], "capacity", method="DELETE")
    found = client.describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running", "stopped"]}]
    )
    left = [one["InstanceId"] for group in found["Reservations"] for one in group["Instances"]]
    if left:
        client.terminate_instances(InstanceIds=left)
        for one in left:
            instances.wait_for_state(client, one, "terminated")


@pytest.fixture
def template(ec2: Any) -> Iterator[str]:
    """A launch template with user data, profile and tags."""
    data = {
        "ImageId": "resolve:ssm:/aws/service/debian/release/13/latest/arm64",
        "UserData": instances.encoded(IDLE),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
        "MaintenanceOptions": {"AutoRecovery": "disabled"},
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 20, "Encrypted": True}}],
        "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "from", "Value": "template"}]}],
    }
    made = ec2.create_launch_template(LaunchTemplateName="job-" + os.urandom(4).hex(), LaunchTemplateData=data)
    yield made["LaunchTemplate"]["LaunchTemplateId"]
    ec2.delete_launch_template(LaunchTemplateId=made["LaunchTemplate"]["LaunchTemplateId"])


def fleet(ec2: Any, template: str, token: str, **more: Any) -> dict[str, Any]:
    """Create a fleet of one instance, of one of two types in one of two subnets."""
    subnets = instances.subnets(ec2, "c8g.large")
    parameters: dict[str, Any] = {
        "Type": "instant",
        "ClientToken": token,
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"},
        "SpotOptions": {"AllocationStrategy": "price-capacity-optimized"},
        "LaunchTemplateConfigs": [
            {
                "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"},
                "Overrides": [
                    {"InstanceType": kind, "SubnetId": subnet}
                    for kind in ("c8g.large", "c8g.xlarge")
                    for subnet in subnets
                ],
            }
        ],
        "TagSpecifications": [
            {"ResourceType": kind, "Tags": [{"Key": "job", "Value": "pi"}]} for kind in ("fleet", "instance", "volume")
        ],
    }
    answer: dict[str, Any] = ec2.create_fleet(**(parameters | more))
    return answer


ON_DEMAND = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}


def test_fleet_launches_an_instance_from_its_template(ec2: Any, template: str) -> None:
    answer = fleet(ec2, template, "one")
    (entry,) = answer["Instances"]
    (server,) = entry["InstanceIds"]
    assert answer["Errors"] == []
    assert (entry["Lifecycle"], entry["InstanceType"]) == ("spot", "c8g.large")
    instances.wait_for_state(ec2, server, "running")
    shown = instances.shown(ec2, server)
    tags = {tag["Key"]: tag["Value"] for tag in shown["Tags"]}
    assert tags["job"] == "pi"
    assert tags["from"] == "template"
    assert tags["aws:ec2:fleet-id"] == answer["FleetId"]
    assert tags["aws:ec2launchtemplate:id"] == template
    assert shown["InstanceLifecycle"] == "spot"
    assert shown["Placement"]["AvailabilityZone"] == entry["AvailabilityZone"]
    assert shown["MaintenanceOptions"] == {"AutoRecovery": "disabled"}
    behavior = ec2.describe_instance_attribute(InstanceId=server, Attribute="instanceInitiatedShutdownBehavior")
    assert behavior["InstanceInitiatedShutdownBehavior"] == {"Value": "terminate"}
    data = ec2.describe_instance_attribute(InstanceId=server, Attribute="userData")["UserData"]["Value"]
    assert data == instances.encoded(IDLE)
    (volume,) = ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [server]}])["Volumes"]
    assert (volume["Size"], volume["Encrypted"]) == (20, True)
    assert {"Key": "job", "Value": "pi"} in volume["Tags"]


def test_repeated_fleet_token_returns_the_same_fleet(ec2: Any, template: str) -> None:
    first = fleet(ec2, template, "twice")
    again = fleet(ec2, template, "twice")
    assert again["FleetId"] == first["FleetId"]
    assert again["Instances"] == first["Instances"]
    (server,) = first["Instances"][0]["InstanceIds"]
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")
    assert fleet(ec2, template, "twice")["Instances"] == first["Instances"]
    found = ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["twice"]}])["Reservations"]
    assert len(found) == 1
    mismatch = instances.refusal(
        lambda **parameters: fleet(ec2, template, "twice", **parameters), TargetCapacitySpecification=ON_DEMAND
    )
    assert mismatch == "IdempotentParameterMismatch"


def test_instant_fleet_is_listed_only_by_id(ec2: Any, template: str) -> None:
    made = fleet(ec2, template, "listed")
    assert ec2.describe_fleets()["Fleets"] == []
    (shown,) = ec2.describe_fleets(FleetIds=[made["FleetId"]])["Fleets"]
    assert shown["Instances"][0]["InstanceIds"] == made["Instances"][0]["InstanceIds"]
    assert shown["FulfilledCapacity"] == 1.0
    assert instances.refusal(ec2.describe_fleets, FleetIds=["fleet-none"]) == "InvalidFleetId.NotFound"


def test_no_capacity_is_an_answer_with_errors_only(cloud: Running, ec2: Any, template: str) -> None:
    rule = {"code": "InsufficientInstanceCapacity", "market": "spot"}
    instances.control(cloud.facts["endpoint"], "capacity", {"rules": [rule]})
    answer = fleet(ec2, template, "short")
    assert answer["Instances"] == []
    codes = [one["ErrorCode"] for one in answer["Errors"]]
    assert codes == ["InsufficientInstanceCapacity"] * 3 + ["UnfulfillableCapacity"]
    assert {one["Lifecycle"] for one in answer["Errors"]} == {"spot"}
    other = fleet(ec2, template, "short-od", TargetCapacitySpecification=ON_DEMAND)
    assert other["Instances"][0]["Lifecycle"] == "on-demand"
    assert fleet(ec2, template, "short")["Instances"] == []


def test_fleet_skips_a_pool_without_capacity(cloud: Running, ec2: Any, template: str) -> None:
    rule = {"code": "Unsupported", "type": "c8g.large"}
    instances.control(cloud.facts["endpoint"], "capacity", {"rules": [rule]})
    answer = fleet(ec2, template, "part")
    assert answer["Instances"][0]["InstanceType"] == "c8g.xlarge"
    assert [one["ErrorCode"] for one in answer["Errors"]] == ["Unsupported"] * 2


def test_same_token_resolves_an_unclear_answer(cloud: Running, ec2: Any, template: str) -> None:
    rule = {"code": "InternalError", "action": "CreateFleet", "after": True, "status": 500, "times": 1}
    instances.control(cloud.facts["endpoint"], "capacity", {"rules": [rule]})
    assert instances.refusal(lambda: fleet(ec2, template, "unclear")) == "InternalError"
    (server,) = fleet(ec2, template, "unclear")["Instances"][0]["InstanceIds"]
    found = ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["unclear"]}])["Reservations"]
    assert [one["InstanceId"] for group in found for one in group["Instances"]] == [server]


def test_throttled_call_is_retried_by_the_client(cloud: Running, ec2: Any, template: str) -> None:
    rule = {"code": "RequestLimitExceeded", "action": "CreateFleet", "times": 1}
    instances.control(cloud.facts["endpoint"], "capacity", {"rules": [rule]})
    assert instances.refusal(lambda: fleet(ec2, template, "throttle")) == "RequestLimitExceeded"
    instances.control(cloud.facts["endpoint"], "capacity", {"rules": [rule]})
    patient = boto3.client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=cloud.facts["endpoint"],
        aws_access_key_id=cloud.environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud.environment["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"mode": "standard"}),
    )
    assert fleet(patient, template, "throttle")["Instances"]


def test_override_of_user_data_wins_over_the_template(ec2: Any, template: str) -> None:
    specification = {
        "LaunchTemplateId": template,
        "Version": "$Latest",
        "LaunchTemplateSpecificationUserData": instances.encoded("#!/bin/sh\necho overridden\n"),
    }
    configuration = [{"LaunchTemplateSpecification": specification, "Overrides": [{"InstanceType": "m8g.large"}]}]
    made = fleet(ec2, template, "override", LaunchTemplateConfigs=configuration)
    instances.wait_for_output(ec2, made["Instances"][0]["InstanceIds"][0], "overridden")


def test_type_of_another_architecture_is_an_error_of_its_pool(ec2: Any, template: str) -> None:
    configuration = [
        {
            "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"},
            "Overrides": [{"InstanceType": "c7i.large"}],
        }
    ]
    answer = fleet(ec2, template, "arch", LaunchTemplateConfigs=configuration)
    assert answer["Instances"] == []
    assert "architecture" in answer["Errors"][0]["ErrorMessage"]


def test_deleting_a_fleet_terminates_its_instances(ec2: Any, template: str) -> None:
    made = fleet(ec2, template, "deleted")
    ec2.delete_fleets(FleetIds=[made["FleetId"]], TerminateInstances=True)
    instances.wait_for_state(ec2, made["Instances"][0]["InstanceIds"][0], "terminated")


def test_repeated_token_returns_the_instance_until_it_ends(ec2: Any) -> None:
    first = instances.run(ec2, IDLE, ClientToken="run")
    assert instances.run(ec2, IDLE, ClientToken="run") == first
    again = {"ClientToken": "run", "script": "#!/bin/sh\n"}
    assert instances.refusal(lambda: instances.run(ec2, **again)) == "IdempotentParameterMismatch"
    ec2.terminate_instances(InstanceIds=[first])
    instances.wait_for_state(ec2, first, "terminated")
    assert instances.refusal(lambda: instances.run(ec2, IDLE, ClientToken="run")) == "IdempotentInstanceTerminated"


def test_one_token_launches_once_in_each_zone(ec2: Any) -> None:
    subnets = sorted(one["SubnetId"] for one in ec2.describe_subnets()["Subnets"])
    servers = {instances.run(ec2, IDLE, ClientToken="zonal", SubnetId=subnet) for subnet in subnets[:2]}
    assert len(servers) == 2


def test_token_is_used_by_a_call_without_capacity(cloud: Running, ec2: Any) -> None:
    rule = {"code": "InsufficientInstanceCapacity", "type": "t3.micro", "times": 1}
    instances.control(cloud.facts["endpoint"], "capacity", {"rules": [rule]})
    assert instances.refusal(lambda: instances.run(ec2, IDLE, ClientToken="bound")) == "InsufficientInstanceCapacity"
    other = instances.refusal(lambda: instances.run(ec2, IDLE, ClientToken="bound", InstanceType="t3.small"))
    assert other == "IdempotentParameterMismatch"
    assert instances.run(ec2, IDLE, ClientToken="bound").startswith("i-")


def test_instances_of_one_call_share_a_reservation(ec2: Any) -> None:
    made = ec2.run_instances(
        ImageId=instances.image(ec2), InstanceType="t3.micro", MinCount=1, MaxCount=3, UserData=IDLE
    )
    assert len(made["Instances"]) == 3
    assert {one["State"]["Name"] for one in made["Instances"]} == {"pending"}
    assert len({one["PrivateIpAddress"] for one in made["Instances"]}) == 3
    found = ec2.describe_instances(Filters=[{"Name": "reservation-id", "Values": [made["ReservationId"]]}])
    assert len(found["Reservations"][0]["Instances"]) == 3


REFUSED = [
    ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
    ({"ImageId": "debian"}, "InvalidAMIID.Malformed"),
    ({"InstanceType": "t9.huge"}, "InvalidParameterValue"),
    ({"InstanceType": "c8g.large"}, "InvalidParameterValue"),
    ({"SubnetId": "subnet-none"}, "InvalidSubnetID.NotFound"),
    ({"SecurityGroupIds": ["sg-none"]}, "InvalidGroup.NotFound"),
    ({"IamInstanceProfile": {"Name": "none"}}, "InvalidParameterValue"),
    ({"UserData": "x" * 16385}, "InvalidParameterValue"),
    ({"MinCount": 2}, "InvalidParameterValue"),
    ({"InstanceInitiatedShutdownBehavior": "hibernate"}, "InvalidParameterValue"),
    (
        {"InstanceInitiatedShutdownBehavior": "stop", "InstanceMarketOptions": {"MarketType": "spot"}},
        "InvalidParameterCombination",
    ),
    (
        {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "aws:x", "Value": ""}]}]},
        "InvalidParameterValue",
    ),
    (
        {
            "MetadataOptions": {"InstanceMetadataTags": "enabled"},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "a b", "Value": ""}]}],
        },
        "InvalidParameterValue",
    ),
    ({"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 2}}]}, "InvalidBlockDeviceMapping"),
    ({"LaunchTemplate": {"LaunchTemplateId": "lt-none"}}, "InvalidLaunchTemplateId.NotFound"),
    ({"ClientToken": "x" * 65}, "InvalidParameterValue"),
    ({"HibernationOptions": {"Configured": True}}, "UnsupportedOperation"),
    ({"DryRun": True}, "DryRunOperation"),
]


@pytest.mark.parametrize(("asked", "code"), REFUSED, ids=lambda value: str(value)[:40])
def test_invalid_launch_is_refused_and_launches_nothing(ec2: Any, asked: dict[str, Any], code: str) -> None:
    def total() -> int:
        return sum(len(group["Instances"]) for group in ec2.describe_instances()["Reservations"])

    before = total()
    assert instances.refusal(lambda: instances.run(ec2, **({"script": IDLE} | _as_run(asked)))) == code
    assert total() == before


def _as_run(asked: dict[str, Any]) -> dict[str, Any]:
    return {("script" if key == "UserData" else key): value for key, value in asked.items()}


def test_user_data_of_exactly_the_limit_is_accepted(ec2: Any) -> None:
    script = "#!/bin/sh\n" + "#" * (16384 - 10)
    assert instances.run(ec2, script).startswith("i-")


def test_launch_names_a_version_of_the_template(ec2: Any, template: str) -> None:
    data = {"InstanceType": "t4g.nano", "ImageId": instances.image(ec2, "arm64")}
    made = ec2.create_launch_template_version(LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData=data)
    assert made["LaunchTemplateVersion"]["VersionNumber"] == 2
    found = ec2.describe_launch_template_versions(LaunchTemplateId=template, Versions=["$Latest", "$Default"])
    assert [one["VersionNumber"] for one in found["LaunchTemplateVersions"]] == [2, 1]
    launch = {"LaunchTemplateId": template, "Version": "2"}
    server = ec2.run_instances(LaunchTemplate=launch, MinCount=1, MaxCount=1)["Instances"][0]
    assert server["InstanceType"] == "t4g.nano"
    assert {tag["Key"]: tag["Value"] for tag in server["Tags"]}["aws:ec2launchtemplate:version"] == "2"
    launch["Version"] = "9"
    missing = instances.refusal(ec2.run_instances, LaunchTemplate=launch, MinCount=1, MaxCount=1)
    assert missing == "InvalidLaunchTemplateId.VersionNotFound"


def test_template_made_by_cloudformation_can_be_launched(cloud: Running, ec2: Any) -> None:
    stack = cloud.client("cloudformation")
    body: dict[str, Any] = {
        "Resources": {
            "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "servers"}},
            "Template": {
                "Type": "AWS::EC2::LaunchTemplate",
                "Properties": {
                    "LaunchTemplateName": "from-stack",
                    "LaunchTemplateData": {
                        "ImageId": instances.image(ec2),
                        "InstanceType": "t3.micro",
                        "UserData": {"Fn::Base64": IDLE},
                        "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": "1"},
                        "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": [{"Fn::GetAtt": ["Group", "GroupId"]}]}],
                    },
                },
            },
        },
        "Outputs": {
            "Id": {"Value": {"Ref": "Template"}},
            "Version": {"Value": {"Fn::GetAtt": ["Template", "LatestVersionNumber"]}},
        },
    }
    stack.create_stack(StackName="lt", TemplateBody=json.dumps(body))
    stack.get_waiter("stack_create_complete").wait(StackName="lt", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    outputs = stack.describe_stacks(StackName="lt")["Stacks"][0]["Outputs"]
    values = {one["OutputKey"]: one["OutputValue"] for one in outputs}
    assert values["Version"] == "1"
    launch = {"LaunchTemplateId": values["Id"], "Version": "1"}
    server = ec2.run_instances(LaunchTemplate=launch, MinCount=1, MaxCount=1)["Instances"][0]
    assert server["SecurityGroups"][0]["GroupId"].startswith("sg-")
    assert server["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    body["Resources"]["Template"]["Properties"]["LaunchTemplateData"]["InstanceType"] = "t3.small"
    stack.update_stack(StackName="lt", TemplateBody=json.dumps(body))
    stack.get_waiter("stack_update_complete").wait(StackName="lt", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    latest = ec2.describe_launch_template_versions(LaunchTemplateName="from-stack", Versions=["$Latest"])
    assert latest["LaunchTemplateVersions"][0]["LaunchTemplateData"]["InstanceType"] == "t3.small"
    ec2.terminate_instances(InstanceIds=[server["InstanceId"]])
    instances.wait_for_state(ec2, server["InstanceId"], "terminated")
    stack.delete_stack(StackName="lt")
    stack.get_waiter("stack_delete_complete").wait(StackName="lt", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    assert ec2.describe_launch_templates()["LaunchTemplates"] == []


def test_twenty_concurrent_calls_with_one_token_launch_once(cloud: Running, ec2: Any, template: str) -> None:
    clients = [cloud.client("ec2") for _ in range(4)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda turn: fleet(clients[turn % 4], template, "storm"), range(20)))
    assert len({answer["FleetId"] for answer in answers}) == 1
    found = ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["storm"]}])["Reservations"]
    assert sum(len(group["Instances"]) for group in found) == 1


def test_full_disk_leaves_no_instance_pending(start: Callable[..., Running]) -> None:
    cloud = start()
    ec2 = cloud.client("ec2")
    guests = cloud.directory / "guests"
    guests.rename(cloud.directory / "moved-away")
    guests.write_text("a file where guests would be")
    parameters = {"ImageId": instances.image(ec2), "InstanceType": "t3.micro", "MinCount": 3, "MaxCount": 3}
    assert instances.refusal(ec2.run_instances, **parameters) == "InternalError"
    found = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
    assert [one["State"]["Name"] for one in found] == ["terminated"] * 3
