"""Describe actions: filters, pages, regions, tags and authorization for each resource."""

import json
from typing import Any

import pytest

import instances
from running_cloud import Running

pytestmark = pytest.mark.cloud

IDLE = "#!/bin/sh\necho up\n"


def filtered(name: str, *values: str) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": list(values)}]


DESCRIBES = [
    "describe_instances",
    "describe_instance_status",
    "describe_volumes",
    "describe_images",
    "describe_instance_types",
    "describe_subnets",
    "describe_vpcs",
    "describe_security_groups",
    "describe_launch_templates",
    "describe_tags",
    "describe_spot_price_history",
    "describe_availability_zones",
    "describe_regions",
    "describe_instance_type_offerings",
]


@pytest.mark.parametrize("call", DESCRIBES)
def test_unknown_filter_is_an_error(cloud: Running, call: str) -> None:
    ec2 = cloud.client("ec2")
    assert instances.refusal(getattr(ec2, call), Filters=filtered("no-such-filter", "x")) == "InvalidParameterValue"
    getattr(ec2, call)()


def test_filters_combine_tags_states_and_wildcards(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "job", "Value": "night-pi"}]}]
    server = instances.run(ec2, IDLE, TagSpecifications=tags)
    other = instances.run(ec2, IDLE)

    def ids(*filters: dict[str, Any]) -> set[str]:
        found = ec2.describe_instances(Filters=list(filters))["Reservations"]
        return {one["InstanceId"] for group in found for one in group["Instances"]}

    assert ids(*filtered("tag:job", "night-*")) == {server}
    assert ids(*filtered("tag:job", "night-p?")) == {server}
    assert ids(*filtered("tag:job", "night-?")) == set()
    assert ids(*filtered("tag-key", "job")) == {server}
    assert ids(*filtered("instance-id", server, other)) == {server, other}
    assert ids(*filtered("tag:job", "night-pi"), *filtered("instance-type", "m7i.large")) == set()
    assert ids(*filtered("tag:[jJ]ob", "night-pi")) == set()
    ec2.terminate_instances(InstanceIds=[server, other])
    instances.wait_for_state(ec2, server, "terminated")
    assert ids(*filtered("tag:job", "night-pi"), *filtered("instance-state-name", "terminated")) == {server}


def test_listings_have_pages(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    pages = list(ec2.get_paginator("describe_instance_types").paginate(PaginationConfig={"PageSize": 50}))
    names = [one["InstanceType"] for page in pages for one in page["InstanceTypes"]]
    assert len(pages) > 1
    assert len(names) == len(set(names))
    assert {
        "t3.micro",
        "t4g.nano",
        "c7g.large",
        "c8g.large",
        "m7g.large",
        "m8g.large",
        "r7g.large",
        "c7i.large",
    } <= set(names)


def test_types_have_cpus_memory_and_architecture(cloud: Running) -> None:
    found = cloud.client("ec2").describe_instance_types(InstanceTypes=["c8g.xlarge", "m7i.large"])["InstanceTypes"]
    values = {
        one["InstanceType"]: (
            one["VCpuInfo"]["DefaultVCpus"],
            one["MemoryInfo"]["SizeInMiB"],
            one["ProcessorInfo"]["SupportedArchitectures"],
        )
        for one in found
    }
    assert values == {"c8g.xlarge": (4, 8192, ["arm64"]), "m7i.large": (2, 8192, ["x86_64"])}
    wrong = instances.refusal(cloud.client("ec2").describe_instance_types, InstanceTypes=["t9.huge"])
    assert wrong == "InvalidInstanceType"


def test_spot_prices_are_stable_and_below_on_demand(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    parameters = {"InstanceTypes": ["c8g.large"], "ProductDescriptions": ["Linux/UNIX"]}
    first = ec2.describe_spot_price_history(**parameters)["SpotPriceHistory"]
    assert len(first) == 2
    again = ec2.describe_spot_price_history(**parameters)["SpotPriceHistory"]
    assert [one["SpotPrice"] for one in again] == [one["SpotPrice"] for one in first]
    assert all(0.02 < float(one["SpotPrice"]) < 0.04 for one in first)


def test_image_tags_say_what_really_runs(cloud: Running) -> None:
    (image,) = cloud.client("ec2").describe_images(Filters=filtered("name", "debian-13-arm64-*"))["Images"]
    tags = {tag["Key"]: tag["Value"] for tag in image["Tags"]}
    assert image["Architecture"] == "arm64"
    assert image["RootDeviceName"] == "/dev/xvda"
    assert set(tags) == {"localcloud:guests", "localcloud:python", "localcloud:architecture"}
    assert tags["localcloud:architecture"] == cloud.facts["architecture"]


def test_regions_are_separate(cloud: Running) -> None:
    here, there = cloud.client("ec2"), cloud.client("ec2", "eu-central-1")
    server = instances.run(there, IDLE)
    assert instances.refusal(here.describe_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"
    assert instances.refusal(here.terminate_instances, InstanceIds=[server]) == "InvalidInstanceID.NotFound"
    assert instances.shown(there, server)["Placement"]["AvailabilityZone"].startswith("eu-central-1")
    there.terminate_instances(InstanceIds=[server])


def test_one_wrong_id_in_a_batch_terminates_nothing(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, IDLE)
    batch = [server, "i-00000000000000000"]
    assert instances.refusal(ec2.terminate_instances, InstanceIds=batch) == "InvalidInstanceID.NotFound"
    assert instances.refusal(ec2.terminate_instances, InstanceIds=["nonsense"]) == "InvalidInstanceID.Malformed"
    assert instances.refusal(ec2.terminate_instances, InstanceIds=[server], DryRun=True) == "DryRunOperation"
    assert instances.state(ec2, server) in ("pending", "running")
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")
    ec2.terminate_instances(InstanceIds=[server])
    assert instances.state(ec2, server) == "terminated"


def test_tags_can_be_added_read_and_removed(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    server = instances.run(ec2, IDLE)
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    ec2.create_tags(Resources=[server, group], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    found = ec2.describe_tags(Filters=filtered("resource-id", server))["Tags"]
    assert {(tag["Key"], tag["Value"], tag["ResourceType"]) for tag in found} == {
        ("a", "1", "instance"),
        ("b", "2", "instance"),
    }
    ec2.delete_tags(Resources=[server, group], Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}])
    assert {tag["Key"]: tag["Value"] for tag in instances.shown(ec2, server)["Tags"]} == {"b": "2"}
    (shown,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert shown["Tags"] == [{"Key": "b", "Value": "2"}]
    missing = instances.refusal(ec2.create_tags, Resources=["i-00000000000000000"], Tags=[{"Key": "a", "Value": ""}])
    assert missing == "InvalidInstanceID.NotFound"
    ec2.terminate_instances(InstanceIds=[server])


def test_unknown_parameter_and_action_are_refused(cloud: Running) -> None:
    ec2 = cloud.client("ec2")

    def spoil(params: dict[str, Any], **_: Any) -> None:
        params["body"]["Nonsense.1"] = "x"

    ec2.meta.events.register("before-call.ec2.DescribeInstances", spoil)
    assert instances.refusal(ec2.describe_instances) == "UnknownParameter"
    assert instances.refusal(ec2.describe_snapshots) == "InvalidAction"
    assert instances.refusal(ec2.request_spot_instances, InstanceCount=1) == "InvalidAction"


def test_security_group_in_use_cannot_be_deleted(cloud: Running) -> None:
    ec2 = cloud.client("ec2")
    group = ec2.create_security_group(GroupName="servers", Description="x")["GroupId"]
    server = instances.run(ec2, IDLE, SecurityGroupIds=[group])
    assert instances.refusal(ec2.delete_security_group, GroupId=group) == "DependencyViolation"
    ec2.terminate_instances(InstanceIds=[server])
    instances.wait_for_state(ec2, server, "terminated")
    ec2.delete_security_group(GroupId=group)


def test_state_changes_are_events_on_the_default_bus(cloud: Running) -> None:
    ec2, sqs, events = cloud.client("ec2"), cloud.client("sqs"), cloud.client("events")
    url = sqs.create_queue(QueueName="states")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["aws.ec2"], "detail-type": ["EC2 Instance State-change Notification"]}
    events.put_rule(Name="states", EventPattern=json.dumps(pattern))
    events.put_targets(Rule="states", Targets=[{"Id": "queue", "Arn": arn}])
    server = instances.run(ec2, "#!/bin/sh\npoweroff\n", InstanceInitiatedShutdownBehavior="terminate")
    instances.wait_for_state(ec2, server, "terminated")
    seen: list[str] = []

    def complete() -> bool:
        for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            record = json.loads(message["Body"])
            if record["detail"]["instance-id"] == server:
                assert record["resources"] == [f"arn:aws:ec2:us-east-1:000000000000:instance/{server}"]
                seen.append(record["detail"]["state"])
        return "terminated" in seen

    instances.wait_until(complete)
    assert [state for state in seen if state != "shutting-down"] == ["pending", "running", "terminated"]
    events.remove_targets(Rule="states", Ids=["queue"])


def test_security_groups_show_their_rules(cloud: Running) -> None:
    ec2, stack = cloud.client("ec2"), cloud.client("cloudformation")
    group = ec2.create_security_group(GroupName="ruled", Description="x")["GroupId"]
    rule = {
        "IpProtocol": "tcp",
        "FromPort": 22,
        "ToPort": 22,
        "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "in"}],
    }
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[rule])
    (shown,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert shown["IpPermissions"][0]["IpRanges"] == rule["IpRanges"]
    assert shown["IpPermissions"][0]["FromPort"] == 22
    egress = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "0.0.0.0/0"}]
    properties = {"GroupDescription": "servers", "SecurityGroupEgress": egress}
    body = {"Resources": {"Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": properties}}}
    stack.create_stack(StackName="sg", TemplateBody=json.dumps(body))
    stack.get_waiter("stack_create_complete").wait(StackName="sg", WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    made = stack.describe_stack_resources(StackName="sg")["StackResources"][0]["PhysicalResourceId"]
    (shown,) = ec2.describe_security_groups(Filters=filtered("group-id", made))["SecurityGroups"]
    assert shown["IpPermissionsEgress"][0]["ToPort"] == 443
    ec2.delete_security_group(GroupId=group)


def _user(cloud: Running, name: str, *statements: dict[str, Any]) -> Any:
    iam = cloud.client("iam")
    iam.create_user(UserName=name)
    document = {"Version": "2012-10-17", "Statement": list(statements)}
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(document))
    keys = iam.create_access_key(UserName=name)["AccessKey"]
    return cloud.client("ec2", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"])


def test_terminate_permission_can_be_limited_by_tag(cloud: Running) -> None:
    admin = cloud.client("ec2")
    mine = _user(
        cloud,
        "killer",
        {
            "Effect": "Allow",
            "Action": "ec2:TerminateInstances",
            "Resource": "arn:aws:ec2:*:*:instance/*",
            "Condition": {"StringEquals": {"aws:ResourceTag/project": "pi"}},
        },
    )
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": "pi"}]}]
    own, foreign = instances.run(admin, IDLE, TagSpecifications=tags), instances.run(admin, IDLE)
    assert instances.refusal(mine.terminate_instances, InstanceIds=[foreign]) == "UnauthorizedOperation"
    assert instances.refusal(mine.terminate_instances, InstanceIds=[own, foreign]) == "UnauthorizedOperation"
    assert instances.refusal(mine.describe_instances) == "UnauthorizedOperation"
    assert instances.state(admin, own) in ("pending", "running")
    mine.terminate_instances(InstanceIds=[own])
    instances.wait_for_state(admin, own, "terminated")
    admin.terminate_instances(InstanceIds=[foreign])


def test_launch_needs_rights_for_resources_tags_and_role(cloud: Running) -> None:
    admin = cloud.client("ec2")
    instances.profile(cloud.client("iam"), "passed")
    instances.profile(cloud.client("iam"), "powerful")
    tag = {"StringEquals": {"aws:RequestTag/project": "pi"}}
    inputs = ["arn:aws:ec2:*::image/*", "arn:aws:ec2:*:*:subnet/*", "arn:aws:ec2:*:*:security-group/*"]
    inputs += ["arn:aws:ec2:*:*:network-interface/*", "arn:aws:ec2:*:*:volume/*"]
    mine = _user(
        cloud,
        "launcher",
        {"Effect": "Allow", "Action": "ec2:RunInstances", "Resource": inputs},
        {
            "Effect": "Allow",
            "Action": ["ec2:RunInstances", "ec2:CreateTags"],
            "Resource": "arn:aws:ec2:*:*:instance/*",
            "Condition": tag,
        },
        {
            "Effect": "Allow",
            "Action": "iam:PassRole",
            "Resource": "arn:aws:iam::*:role/passed",
            "Condition": {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
        },
        {"Effect": "Allow", "Action": "ec2:DescribeInstances", "Resource": "*"},
    )
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "project", "Value": "pi"}]}]
    base = {
        "ImageId": instances.image(admin),
        "InstanceType": "t3.micro",
        "MinCount": 1,
        "MaxCount": 1,
        "UserData": IDLE,
    }
    run = mine.run_instances
    good = base | {"TagSpecifications": tags, "IamInstanceProfile": {"Name": "passed"}}
    assert instances.refusal(run, **base) == "UnauthorizedOperation"
    assert instances.refusal(run, **(good | {"IamInstanceProfile": {"Name": "powerful"}})) == "UnauthorizedOperation"
    volume = [*tags, {"ResourceType": "volume", "Tags": [{"Key": "x", "Value": "y"}]}]
    assert instances.refusal(run, **(good | {"TagSpecifications": volume})) == "UnauthorizedOperation"
    assert instances.refusal(run, **good, DryRun=True) == "DryRunOperation"
    server = run(**good)["Instances"][0]["InstanceId"]
    instances.wait_for_state(mine, server, "running")
    admin.terminate_instances(InstanceIds=[server])


def test_wrong_signature_is_refused(cloud: Running) -> None:
    keys = {
        "aws_access_key_id": cloud.environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": "wrong",
    }
    refused = instances.refusal(cloud.client("ec2", **keys).describe_instances)
    assert refused in ("SignatureDoesNotMatch", "AuthFailure")
