"""Authorization of EC2 calls: resources, condition keys, iam:PassRole."""

from functools import partial
from typing import Any

import rows
from iam_rows import PASS, code_of
from targets import REGION, TYPE, Keys, Target, allow, error_code

EC2_KEYS = "Service Authorization Reference, Actions, resources, and condition keys for Amazon EC2"
TAGGING = "EC2 User Guide, Grant permission to tag Amazon EC2 resources during creation"

RESOURCES = (
    "instance/*",
    "volume/*",
    "network-interface/*",
    "subnet/*",
    "security-group/*",
    "launch-template/*",
    "image/*",
)

row = partial(rows.row, "iam")


def launch(target: Target, keys: Keys, **more: Any) -> str:
    """Return the error code of a DryRun launch with other keys; DryRunOperation means that it is allowed."""
    parameters = {"MinCount": 1, "MaxCount": 1, "DryRun": True}
    if "LaunchTemplate" not in more:
        parameters |= {"ImageId": target.image(), "InstanceType": TYPE}
    return code_of(target, keys, "ec2", "run_instances", **(parameters | more))


def rights(condition: dict[str, Any] | None = None, resource: str = "instance/*") -> list[dict[str, Any]]:
    """Return statements that allow RunInstances, for one kind of resource only under a condition."""
    limited = arn_of(resource)
    others = [arn_of(one) for one in RESOURCES if one != resource]
    if condition is None:
        return [allow("ec2:RunInstances", others), allow("ec2:RunInstances", limited)]
    return [allow("ec2:RunInstances", others), allow("ec2:RunInstances", limited, Condition=condition)]


def arn_of(resource: str) -> str:
    """Return the ARN of such a resource; images have no account."""
    if resource == "image/*":
        return "arn:aws:ec2:*::image/*"
    return f"arn:aws:ec2:*:*:{resource}"


@row("DescribeInstances cannot be limited to some instances, but to a region", EC2_KEYS)
def the_region_key(target: Target) -> None:
    here = target.session(allow("ec2:DescribeInstances", Condition={"StringEquals": {"ec2:Region": REGION}}))
    there = target.session(allow("ec2:DescribeInstances", Condition={"StringEquals": {"ec2:Region": "eu-west-1"}}))
    some = target.session(allow("ec2:DescribeInstances", f"arn:aws:ec2:*:{target.account}:instance/*"))
    codes = [code_of(target, keys, "ec2", "describe_instances") for keys in (here, there, some)]
    assert codes == ["", "UnauthorizedOperation", "UnauthorizedOperation"]


@row("A launch needs permission for every resource that it uses", EC2_KEYS)
def launch_needs_every_resource(target: Target) -> None:
    for left in ("instance/*", "volume/*", "network-interface/*", "subnet/*", "image/*"):
        statements = [
            one
            for one in rights(None, left)
            if one["Resource"] not in (f"arn:aws:ec2:*:*:{left}", "arn:aws:ec2:*::image/*")
        ]
        assert launch(target, target.session(*statements)) == "UnauthorizedOperation", left
    assert launch(target, target.session(*rights())) == "DryRunOperation"


@row("ec2:InstanceType, ec2:MetadataHttpTokens and ec2:InstanceMarketType limit launches", EC2_KEYS)
def keys_of_an_instance(target: Target) -> None:
    tests: list[tuple[str, str, dict[str, Any]]] = [
        ("ec2:InstanceType", TYPE, {"InstanceType": "t3.micro"}),
        ("ec2:MetadataHttpTokens", "required", {"MetadataOptions": {"HttpTokens": "optional"}}),
        ("ec2:InstanceMarketType", "on-demand", {"InstanceMarketOptions": {"MarketType": "spot"}}),
    ]
    required = {"HttpTokens": "required"}
    for key, value, other in tests:
        keys = target.session(*rights({"StringEquals": {key: value}}))
        assert launch(target, keys, MetadataOptions=required) == "DryRunOperation", key
        assert launch(target, keys, **({"MetadataOptions": required} | other)) == "UnauthorizedOperation", key


@row("ec2:Owner limits launches to images of an owner", EC2_KEYS)
def keys_of_an_image(target: Target) -> None:
    amazon, other = ({"StringEquals": {"ec2:Owner": owner}} for owner in ("amazon", "099720109477"))
    assert launch(target, target.session(*rights(amazon, "image/*"))) == "DryRunOperation"
    assert launch(target, target.session(*rights(other, "image/*"))) == "UnauthorizedOperation"


@row("A launch with tags needs ec2:CreateTags; aws:RequestTag and ec2:CreateAction limit it", TAGGING)
def tags_of_a_launch(target: Target) -> None:
    condition = {"StringEquals": {"aws:RequestTag/stack": "mine", "ec2:CreateAction": "RunInstances"}}
    tagging = allow("ec2:CreateTags", "arn:aws:ec2:*:*:*/*", Condition=condition)

    def tagged(value: str) -> dict[str, Any]:
        return {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "stack", "Value": value}]}]}

    keys = target.session(*rights(), tagging)
    assert launch(target, keys, **tagged("mine")) == "DryRunOperation"
    assert launch(target, keys, **tagged("yours")) == "UnauthorizedOperation"
    assert launch(target, target.session(*rights()), **tagged("mine")) == "UnauthorizedOperation"


@row("aws:TagKeys limits the tags of a launch", EC2_KEYS)
def tag_keys_of_a_launch(target: Target) -> None:
    condition = {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}}
    keys = target.session(*rights(), allow("ec2:CreateTags", "arn:aws:ec2:*:*:*/*", Condition=condition))

    def tagged(*names: str) -> dict[str, Any]:
        tags = [{"Key": name, "Value": "1"} for name in names]
        return {"TagSpecifications": [{"ResourceType": "instance", "Tags": tags}]}

    assert launch(target, keys, **tagged("a", "b")) == "DryRunOperation"
    assert launch(target, keys, **tagged("a", "c")) == "UnauthorizedOperation"


@row(
    "A launch can be limited to one launch template",
    "EC2 User Guide, Control access to launching with a launch template",
)
def launch_by_one_template(target: Target) -> None:
    one, other = target.template(), target.template()
    arn = f"arn:aws:ec2:{REGION}:{target.account}:launch-template/{one}"
    condition = {"ArnLike": {"ec2:LaunchTemplate": arn}, "Bool": {"ec2:IsLaunchTemplateResource": "true"}}
    keys = target.session(*rights(condition))
    assert launch(target, keys, LaunchTemplate={"LaunchTemplateId": one}) == "DryRunOperation"
    assert launch(target, keys, LaunchTemplate={"LaunchTemplateId": other}) == "UnauthorizedOperation"
    assert launch(target, keys) == "UnauthorizedOperation"


@row("TerminateInstances can be limited to instances with a tag", EC2_KEYS)
def terminate_by_tag(target: Target) -> None:
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "stack", "Value": "mine"}]}]
    (mine,), (other,) = target.launch(TagSpecifications=tags), target.launch()
    condition = {"StringEquals": {"aws:ResourceTag/stack": "mine"}}
    keys = target.session(allow("ec2:TerminateInstances", "arn:aws:ec2:*:*:instance/*", Condition=condition))
    for batch in ([other], [mine, other]):
        assert code_of(target, keys, "ec2", "terminate_instances", InstanceIds=batch) == "UnauthorizedOperation"
    assert code_of(target, keys, "ec2", "terminate_instances", InstanceIds=[mine]) == ""
    assert target.describe(other)["State"]["Name"] in ("pending", "running")


@row("A launch with a profile needs iam:PassRole on its role, for ec2.amazonaws.com", PASS)
def pass_role_to_launch(target: Target) -> None:
    name, role = target.profile()
    parameters = {"IamInstanceProfile": {"Name": name}}

    def passing(service: str) -> dict[str, Any]:
        return allow("iam:PassRole", role, Condition={"StringEquals": {"iam:PassedToService": service}})

    assert launch(target, target.session(*rights()), **parameters) == "UnauthorizedOperation"
    assert (
        launch(target, target.session(*rights(), passing("lambda.amazonaws.com")), **parameters)
        == "UnauthorizedOperation"
    )
    assert launch(target, target.session(*rights(), passing("ec2.amazonaws.com")), **parameters) == "DryRunOperation"


@row("A fleet needs ec2:CreateFleet, permission to launch its instances, and iam:PassRole for their role", EC2_KEYS)
def fleet_is_authorized(target: Target) -> None:
    name, role = target.profile()
    template = target.template(IamInstanceProfile={"Name": name})
    fleet, passing = allow("ec2:CreateFleet"), allow("iam:PassRole", role)

    def launched(*statements: dict[str, Any]) -> tuple[str, int, str]:
        specification = {"LaunchTemplateId": template, "Version": "1"}
        capacity = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
        parameters = {
            "Type": "instant",
            "TargetCapacitySpecification": capacity,
            "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": specification}],
        }
        ec2 = target.client("ec2", keys=target.session(*statements))
        made: dict[str, Any] = {}
        code = error_code(lambda: made.update(ec2.create_fleet(**parameters)))
        for one in made.get("Instances", []):
            target.undo_after_row(target.client("ec2").terminate_instances, InstanceIds=one["InstanceIds"])
        errors = [one["ErrorCode"] for one in made.get("Errors", [])]
        return code, len(made.get("Instances", [])), errors[0] if errors else ""

    assert launched(*rights(), passing) == ("UnauthorizedOperation", 0, "")
    assert launched(fleet, passing) == ("", 0, "UnauthorizedOperation")
    assert launched(fleet, *rights()) == ("", 0, "UnauthorizedOperation")
    assert launched(fleet, *rights(), passing) == ("", 1, "")


@row(
    "The ARN of a public SSM parameter has no account: arn:aws:ssm:REGION::parameter/aws/service/...",
    "Systems Manager User Guide, Calling AMI public parameters",
)
def public_parameter_arns(target: Target) -> None:
    parameters = {"Names": ["/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"]}
    keys = target.session(allow("ssm:GetParameters", f"arn:aws:ssm:{REGION}::parameter/aws/service/*"))
    assert code_of(target, keys, "ssm", "get_parameters", **parameters) == ""
    keys = target.session(allow("ssm:GetParameters", f"arn:aws:ssm:{REGION}:{target.account}:parameter/*"))
    assert code_of(target, keys, "ssm", "get_parameters", **parameters) == "AccessDeniedException"
