"""What an account may launch, and what a launch does not see yet: conditions that a row cannot choose on AWS."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from rows import row
from targets import IMAGE, TYPE, Target, allow, error_code

ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"
CONSISTENCY = "EC2 Developer Guide, Eventual consistency in the Amazon EC2 API"
LATER = "when AWS sees something new cannot be chosen"
PLAN = "it needs an account of the free plan"
QUOTA = "it would need an account with small quotas"
SPOT = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}


def conditions(target: Any, **values: Any) -> None:
    """Set conditions until the row ends."""
    target.undo_after_row(target.control, path="ec2/conditions", method="DELETE")
    target.control("ec2/conditions", values)


def error_of(call: Callable[..., Any], **parameters: Any) -> tuple[str, str]:
    """Return the code and the message of a refusal."""
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"]), str(error.response["Error"]["Message"])
    raise AssertionError("the call was not refused")


def pool_error(made: dict[str, Any]) -> tuple[str, str]:
    """Return the code and the message of a fleet's only error; nothing may have been launched."""
    assert made["Instances"] == []
    (error,) = made["Errors"]
    return error["ErrorCode"], error["ErrorMessage"]


def named(target: Target, template: str) -> str:
    """Return the name of a template."""
    (found,) = target.client("ec2").describe_launch_templates(LaunchTemplateIds=[template])["LaunchTemplates"]
    return str(found["LaunchTemplateName"])


@row(
    "ec2",
    "A launch may not see a new launch template, or a new version of one, for some seconds; then it does",
    CONSISTENCY,
    not_on_aws=LATER,
    unverified="The codes; they were seen in practice.",
)
def young_templates(target: Any) -> None:
    ec2, old = target.client("ec2"), target.template()
    target.let_pass(60)
    conditions(target, visible_after=30)
    assert target.fleet(old)["Instances"]
    young = target.template()
    by_name = {"LaunchTemplateName": named(target, young), "Version": "1"}
    configuration = [{"LaunchTemplateSpecification": by_name}]
    assert error_code(lambda: target.fleet(young)) == "InvalidLaunchTemplateId.NotFound"
    code = error_code(lambda: target.fleet("", LaunchTemplateConfigs=configuration))
    assert code == "InvalidLaunchTemplateName.NotFoundException"
    assert error_code(lambda: target.reservation(LaunchTemplate={"LaunchTemplateId": young})) == (
        "InvalidLaunchTemplateId.NotFound"
    )
    ec2.create_launch_template_version(
        LaunchTemplateId=old, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.micro"}
    )
    second = [{"LaunchTemplateSpecification": {"LaunchTemplateId": old, "Version": "2"}}]
    code = error_code(lambda: target.fleet("", LaunchTemplateConfigs=second))
    assert code == "InvalidLaunchTemplateId.VersionNotFound"
    target.let_pass(40)
    assert target.fleet("", LaunchTemplateConfigs=configuration)["Instances"]
    assert target.fleet("", LaunchTemplateConfigs=second)["Instances"]


@row("ec2", "A launch may not see a new security group for some seconds", CONSISTENCY, not_on_aws=LATER)
def young_groups(target: Any) -> None:
    ec2, template = target.client("ec2"), target.template()
    target.let_pass(60)
    conditions(target, visible_after=30)
    group = ec2.create_security_group(GroupName=target.name_for("group"), Description="young")["GroupId"]
    target.undo_after_row(ec2.delete_security_group, GroupId=group)
    assert error_code(lambda: target.launch(SecurityGroupIds=[group])) == "InvalidGroup.NotFound"
    ec2.create_launch_template_version(
        LaunchTemplateId=template, SourceVersion="1", LaunchTemplateData={"SecurityGroupIds": [group]}
    )
    second = [{"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "2"}}]
    target.let_pass(40)
    made = target.fleet("", LaunchTemplateConfigs=second)
    server = made["Instances"][0]["InstanceIds"][0]
    assert target.describe(server)["SecurityGroups"][0]["GroupId"] == group
    target.client("ec2").terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")


@row("ec2", "A launch may not see a new instance profile for some seconds", CONSISTENCY, not_on_aws=LATER)
def young_profiles(target: Any) -> None:
    conditions(target, visible_after=30)
    name, _ = target.profile()
    code, message = error_of(target.launch, IamInstanceProfile={"Name": name})
    assert code == "InvalidParameterValue"
    assert (
        message == f"Value ({name}) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    )
    target.let_pass(40)
    assert target.launch(IamInstanceProfile={"Name": name})


@row(
    "ec2",
    "An account of the free plan launches only types that are eligible for Free Tier",
    "AWS Free Tier User Guide, Choosing a plan",
    not_on_aws=PLAN,
    unverified="The code and the message; they were seen in practice.",
)
def free_plan(target: Any) -> None:
    conditions(target, plan="free")
    for name in ("t2.micro", "t3.nano", "m5.large"):
        code, message = error_of(target.launch, InstanceType=name)
        assert code == "InvalidParameterCombination", name
        assert message == (
            "The specified instance type is not eligible for Free Tier. For a list of Free Tier instance types, "
            "run 'describe-instance-types' with the filter 'free-tier-eligible=true'."
        )
    for name in ("t3.micro", "t3.small", "c7i-flex.large"):
        assert target.launch(InstanceType=name)
    assert pool_error(target.fleet(target.template(InstanceType="m5.large")))[0] == "InvalidParameterCombination"


@row(
    "ec2",
    "A launch on demand above the quota of virtual CPUs is VcpuLimitExceeded; other types have other quotas",
    "EC2 User Guide, Amazon EC2 service quotas",
    not_on_aws=QUOTA,
    unverified="The words of the message; they were seen in practice.",
)
def vcpu_quota(target: Any) -> None:
    conditions(target, quotas={"L-1216C47A": 5})
    (server,) = target.launch(InstanceType="m5.xlarge")
    code, message = error_of(target.launch, InstanceType="t3.micro")
    assert code == "VcpuLimitExceeded"
    assert message.startswith(
        "You have requested more vCPU capacity than your current vCPU limit of 5 allows for the instance bucket"
    )
    assert pool_error(target.fleet(target.template()))[0] == "VcpuLimitExceeded"
    assert target.launch(InstanceType="x1e.xlarge")
    assert target.fleet(target.template(), TargetCapacitySpecification=SPOT)["Instances"]
    target.client("ec2").terminate_instances(InstanceIds=[server])
    target.wait_for_state(server, "terminated")
    assert len(target.launch(InstanceType="t3.micro", MaxCount=4)) == 2


@row(
    "ec2",
    "Spot instances above the quota of virtual CPUs are MaxSpotInstanceCountExceeded",
    "EC2 User Guide, Spot Instance quotas",
    not_on_aws=QUOTA,
)
def spot_quota(target: Any) -> None:
    conditions(target, quotas={"L-34B43A08": 1})
    options = {"MarketType": "spot"}
    assert error_of(target.launch, InstanceMarketOptions=options) == (
        "MaxSpotInstanceCountExceeded",
        "Max spot instance count exceeded",
    )
    made = target.fleet(target.template(), TargetCapacitySpecification=SPOT)
    assert pool_error(made)[0] == "MaxSpotInstanceCountExceeded"
    assert target.launch(InstanceType=TYPE)


@row(
    "endpoint",
    "Service Quotas shows EC2's quotas of virtual CPUs by code; an unknown one is NoSuchResourceException",
    "Service Quotas API Reference, GetServiceQuota and ListServiceQuotas",
)
def quotas_are_shown(target: Target) -> None:
    quotas = target.client("service-quotas")
    shown = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]
    assert shown["QuotaName"] == "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
    assert (shown["Adjustable"], shown["Unit"]) == (True, "None")
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="ec2", PaginationConfig={"PageSize": 5})
    listed = [one for page in pages for one in page["Quotas"]]
    found = {one["QuotaCode"]: one["Value"] for one in listed}
    assert len(found) == len(listed)
    assert found["L-1216C47A"] == shown["Value"]
    assert "L-34B43A08" in found
    for code in ({"ServiceCode": "ec2", "QuotaCode": "L-00000000"}, {"ServiceCode": "none", "QuotaCode": "L-1216C47A"}):
        assert error_code(quotas.get_service_quota, **code) == "NoSuchResourceException"


@row(
    "endpoint",
    "A request for a higher quota is pending; a second one, or a value that is not higher, is refused",
    "Service Quotas API Reference, RequestServiceQuotaIncrease",
    not_on_aws="it would ask AWS for more",
)
def quotas_are_requested(target: Any) -> None:
    conditions(target, quotas={"L-DB2E81BA": 0})
    quotas, named_quota = target.client("service-quotas"), {"ServiceCode": "ec2", "QuotaCode": "L-DB2E81BA"}
    assert quotas.get_service_quota(**named_quota)["Quota"]["Value"] == 0.0
    assert quotas.get_aws_default_service_quota(**named_quota)["Quota"]["Value"] > 0
    assert error_of(target.launch, InstanceType="g4dn.xlarge")[0] == "VcpuLimitExceeded"
    ask = quotas.request_service_quota_increase
    assert error_code(ask, DesiredValue=0, **named_quota) == "IllegalArgumentException"
    asked = ask(DesiredValue=8, **named_quota)["RequestedQuota"]
    assert (asked["Status"], asked["DesiredValue"]) == ("PENDING", 8.0)
    assert error_code(ask, DesiredValue=16, **named_quota) == "ResourceAlreadyExistsException"
    assert quotas.get_service_quota(**named_quota)["Quota"]["Value"] == 0.0


@row(
    "endpoint", "Reading a quota needs servicequotas:GetServiceQuota", "Service Authorization Reference, Service Quotas"
)
def quotas_need_rights(target: Target) -> None:
    parameters = {"ServiceCode": "ec2", "QuotaCode": "L-34B43A08"}
    for action, code in (("servicequotas:GetServiceQuota", ""), ("ec2:*", "AccessDeniedException")):
        quotas = target.client("service-quotas", keys=target.session(allow(action)))
        assert error_code(quotas.get_service_quota, **parameters) == code


@row(
    "ec2",
    "CreateFleet can be refused because there are too many fleets: MaxFleetCountExceeded",
    ERRORS,
    not_on_aws="AWS cannot be made to refuse a fleet",
)
def fleet_quota(target: Any) -> None:
    rule = {"code": "MaxFleetCountExceeded", "action": "CreateFleet", "status": 400, "times": 1}
    target.control("ec2/capacity", {"rules": [rule]})
    target.undo_after_row(target.control, path="ec2/capacity", method="DELETE")
    template = target.template()
    text = "You've reached your quota for maximum Fleet Requests for this account."
    assert error_of(target.fleet, template=template) == ("MaxFleetCountExceeded", text)
    assert target.fleet(template)["Instances"]


@row(
    "ec2",
    "A fleet whose caller may not read the image's SSM parameter fails as a whole: SsmAccessDenied",
    "EC2 User Guide, Use a Systems Manager parameter instead of an AMI ID",
    unverified="The code and its message; they were seen in practice.",
)
def image_parameter_needs_rights(target: Target) -> None:
    template = target.template(ImageId=f"resolve:ssm:{IMAGE}")
    parameters: dict[str, Any] = {
        "Type": "instant",
        "TargetCapacitySpecification": {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"},
        "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"}}],
    }
    without = target.client("ec2", keys=target.session(allow("ec2:*")))
    assert error_of(without.create_fleet, **parameters) == ("SsmAccessDenied", "Access denied to SSM")


@row(
    "ec2",
    "Resolving an image's SSM parameter may need ssm:GetParameter, ssm:GetParameters or both",
    "EC2 User Guide, Use a Systems Manager parameter instead of an AMI ID",
    not_on_aws="which one AWS asks for cannot be chosen",
    unverified="All of it: public projects report either.",
)
def image_parameter_rights_vary(target: Any) -> None:
    image = f"resolve:ssm:{IMAGE}"
    parameters = {"ImageId": image, "InstanceType": TYPE, "MinCount": 1, "MaxCount": 1, "DryRun": True}
    reads = ("ssm:GetParameter", "ssm:GetParameters")
    for needed in (*([one] for one in reads), list(reads)):
        conditions(target, image_rights=needed)
        for given in (*([one] for one in reads), list(reads)):
            ec2 = target.client("ec2", keys=target.session(allow("ec2:*"), allow(given)))
            expected = "DryRunOperation" if set(needed) <= set(given) else "SsmAccessDenied"
            assert error_code(ec2.run_instances, **parameters) == expected, (needed, given)


@row(
    "ec2",
    "GetAccountPlanState names the plan of the account, FREE or PAID",
    "AWS Free Tier API Reference",
    not_on_aws=PLAN,
)
def the_plan_of_an_account(target: Any) -> None:
    plan = target.client("freetier").get_account_plan_state
    assert plan()["accountPlanType"] == "PAID"
    conditions(target, plan="free")
    assert plan()["accountPlanType"] == "FREE"
