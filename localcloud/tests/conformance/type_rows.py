"""Instance types: the catalogue, where each is offered, and what refuses a type that a zone does not have."""

from typing import Any

from botocore.exceptions import ClientError

from rows import row
from targets import REGION, Target, error_code

TYPES = "EC2 API Reference, DescribeInstanceTypes"
OFFERINGS = "EC2 API Reference, DescribeInstanceTypeOfferings"
ERRORS = "EC2 Developer Guide, Error codes for the Amazon EC2 API"


def named(target: Target, *names: str) -> dict[str, Any]:
    """Return types as DescribeInstanceTypes shows them, by name."""
    found = target.client("ec2").describe_instance_types(InstanceTypes=list(names))["InstanceTypes"]
    return {one["InstanceType"]: one for one in found}


def filtered(target: Target, **filters: str) -> set[str]:
    """Return the names of all types that match; an underscore stands for a hyphen, two for a point."""
    asked = [{"Name": name.replace("__", ".").replace("_", "-"), "Values": [value]} for name, value in filters.items()]
    pages = target.client("ec2").get_paginator("describe_instance_types").paginate(Filters=asked)
    return {one["InstanceType"] for page in pages for one in page["InstanceTypes"]}


def offers(target: Target, by: str = "availability-zone") -> dict[str, set[str]]:
    """Return the types that each place offers."""
    pages = target.client("ec2").get_paginator("describe_instance_type_offerings").paginate(LocationType=by)
    found: dict[str, set[str]] = {}
    for page in pages:
        for one in page["InstanceTypeOfferings"]:
            found.setdefault(one["Location"], set()).add(one["InstanceType"])
    return found


def missing_pair(target: Target) -> tuple[str, str, str]:
    """Return a small x86 type, a zone that lacks it, and one that has it."""
    zones: dict[str, set[str]] = target.shared("offers", lambda: offers(target))
    for name in ("t3.nano", "t3.micro", "t3a.nano", "t2.micro", "c7a.medium", "m7a.medium", "c5a.large", "m6id.large"):
        without = sorted(zone for zone, types in zones.items() if name not in types)
        having = sorted(zone for zone, types in zones.items() if name in types)
        if without and having:
            return name, without[0], having[0]
    raise AssertionError(f"every zone of {REGION} offers every type that was tried")


def subnets(target: Target) -> dict[str, str]:
    """Return the default subnet of each zone."""
    asked = [{"Name": "default-for-az", "Values": ["true"]}]
    found = target.client("ec2").describe_subnets(Filters=asked)["Subnets"]
    return {one["AvailabilityZone"]: one["SubnetId"] for one in found}


def refusal(target: Target, **more: Any) -> dict[str, str]:
    """Return the error of a launch that is refused."""
    try:
        target.launch(**more)
    except ClientError as error:
        return dict(error.response["Error"])
    raise AssertionError("the launch was not refused")


def pools(target: Target, *pairs: tuple[str, str], **more: Any) -> dict[str, Any]:
    """Create an instant fleet with these pairs of a type and a subnet."""
    specification = {"LaunchTemplateId": target.template(), "Version": "1"}
    overrides = [{"InstanceType": name, "SubnetId": subnet} for name, subnet in pairs]
    return target.fleet(
        "", LaunchTemplateConfigs=[{"LaunchTemplateSpecification": specification, "Overrides": overrides}], **more
    )


@row("ec2", "A type has its virtual CPUs, cores, memory, architectures, markets and network", TYPES)
def type_facts(target: Target) -> None:
    found = named(target, "t2.micro", "m5.large", "c8g.large")
    cpus = {
        name: tuple(one["VCpuInfo"][key] for key in ("DefaultVCpus", "DefaultCores")) for name, one in found.items()
    }
    assert cpus == {"t2.micro": (1, 1), "m5.large": (2, 1), "c8g.large": (2, 2)}
    assert {name: one["MemoryInfo"]["SizeInMiB"] for name, one in found.items()} == {
        "t2.micro": 1024,
        "m5.large": 8192,
        "c8g.large": 4096,
    }
    assert found["t2.micro"]["ProcessorInfo"]["SupportedArchitectures"] == ["i386", "x86_64"]
    assert (found["t2.micro"]["Hypervisor"], found["m5.large"]["Hypervisor"]) == ("xen", "nitro")
    assert found["c8g.large"]["SupportedUsageClasses"] == ["on-demand", "spot"]
    assert found["c8g.large"]["NetworkInfo"]["NetworkPerformance"] == "Up to 12.5 Gigabit"


@row("ec2", "A type with instance storage says how many disks it has, of which size, and that they are NVMe", TYPES)
def type_storage(target: Target) -> None:
    found = named(target, "c8gd.large", "c8g.large")
    assert not found["c8g.large"]["InstanceStorageSupported"]
    storage = found["c8gd.large"]["InstanceStorageInfo"]
    assert storage["Disks"] == [{"SizeInGB": 118, "Count": 1, "Type": "ssd"}]
    assert (storage["TotalSizeInGB"], storage["NvmeSupport"]) == (118, "required")


@row(
    "ec2",
    "DescribeInstanceTypes shows 100 types and a token when no page size is asked for",
    TYPES,
    unverified="That 100 is also the default; the page gives it as the maximum.",
)
def types_have_pages(target: Target) -> None:
    ec2 = target.client("ec2")
    first = ec2.describe_instance_types()
    assert len(first["InstanceTypes"]) == 100
    second = ec2.describe_instance_types(NextToken=first["NextToken"])
    names = [{one["InstanceType"] for one in page["InstanceTypes"]} for page in (first, second)]
    assert not names[0] & names[1]
    assert error_code(ec2.describe_instance_types, MaxResults=101) == "InvalidParameterValue"


@row("ec2", "Types can be filtered by any field that the reference names", TYPES)
def types_are_filtered(target: Target) -> None:
    free = filtered(target, free_tier_eligible="true")
    assert {"t3.micro", "t3.small", "t4g.micro", "t4g.small", "c7i-flex.large", "m7i-flex.large"} <= free
    assert not free & {"t2.micro", "t3.nano", "c8g.large"}
    fast = filtered(target, instance_storage_info__nvme_support="required", instance_type="c8g*.large")
    assert {"c8gd.large", "c8gn.large"} & fast == {"c8gd.large"}
    assert "t2.micro" in filtered(target, processor_info__supported_architecture="i386", current_generation="true")
    assert filtered(target, vcpu_info__default_vcpus="2", memory_info__size_in_mib="8192", instance_type="m5.*") == {
        "m5.large"
    }


@row("ec2", "A type that does not exist is InvalidInstanceType, with its name", ERRORS)
def an_unknown_type(target: Target) -> None:
    ec2 = target.client("ec2")
    try:
        ec2.describe_instance_types(InstanceTypes=["c8g.large", "zz9.large"])
    except ClientError as error:
        answer = error.response["Error"]
    assert answer["Code"] == "InvalidInstanceType"
    assert answer["Message"] == "The following supplied instance types do not exist: [zz9.large]"
    assert refusal(target, InstanceType="zz9.large")["Code"] == "InvalidParameterValue"


@row("ec2", "A type that the region does not have is shown only with IncludeUnsupportedInRegion", TYPES)
def types_of_other_regions(target: Target) -> None:
    ec2 = target.client("ec2")
    parameters = {"InstanceTypes": ["hpc7g.4xlarge", "t3.micro"]}
    assert error_code(ec2.describe_instance_types, **parameters) == "InvalidInstanceType"
    shown = ec2.describe_instance_types(IncludeUnsupportedInRegion=True, **parameters)["InstanceTypes"]
    assert {one["InstanceType"]: one["SupportedInRegion"] for one in shown} == {
        "hpc7g.4xlarge": False,
        "t3.micro": True,
    }


@row("ec2", "The zones of a region offer different types; names and ids of zones say the same", OFFERINGS)
def offerings_differ(target: Target) -> None:
    by_name, by_id = offers(target), offers(target, "availability-zone-id")
    zones = target.client("ec2").describe_availability_zones()["AvailabilityZones"]
    assert {one["ZoneName"]: by_name.get(one["ZoneName"]) for one in zones} == {
        one["ZoneName"]: by_id.get(one["ZoneId"]) for one in zones
    }
    assert any(one != other for one in by_name.values() for other in by_name.values())
    assert offers(target, "region") == {REGION: set().union(*by_name.values())}


@row("ec2", "Offerings can be filtered by type and place; by default they are those of the region", OFFERINGS)
def offerings_are_filtered(target: Target) -> None:
    ec2, (name, without, having) = target.client("ec2"), missing_pair(target)
    asked = [{"Name": "instance-type", "Values": [name]}, {"Name": "location", "Values": [without, having]}]
    found = ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=asked)
    assert [(one["InstanceType"], one["Location"]) for one in found["InstanceTypeOfferings"]] == [(name, having)]
    found = ec2.describe_instance_type_offerings(Filters=asked[:1])["InstanceTypeOfferings"]
    assert [(one["LocationType"], one["Location"]) for one in found] == [("region", REGION)]


@row("ec2", "A launch in a zone that does not offer the type is Unsupported, and names the zones that do", ERRORS)
def launch_where_not_offered(target: Target) -> None:
    name, without, having = missing_pair(target)
    answer = refusal(target, InstanceType=name, SubnetId=subnets(target)[without])
    assert answer["Code"] == "Unsupported"
    begin = f"Your requested instance type ({name}) is not supported in your requested Availability Zone ({without})."
    assert answer["Message"].startswith(f"{begin} Please retry your request by not specifying an Availability Zone")
    assert having in answer["Message"]


@row("ec2", "A launch that names no zone goes where its type is offered", "EC2 User Guide, Placement of instances")
def launch_where_offered(target: Target) -> None:
    name, without, _ = missing_pair(target)
    (server,) = target.launch(InstanceType=name)
    assert target.describe(server)["Placement"]["AvailabilityZone"] != without


@row(
    "ec2",
    "A launch of a type that the region does not have is Unsupported",
    ERRORS,
    unverified="The words of the message; they were seen in practice.",
)
def launch_outside_the_region(target: Target) -> None:
    answer = refusal(target, InstanceType="hpc6a.48xlarge")
    assert answer["Code"] == "Unsupported"
    assert answer["Message"].startswith("The requested configuration is currently not supported.")


@row("ec2", "Types of earlier generations can be launched: t2.micro, m5.large, c5.large", "EC2 Instance Types Guide")
def earlier_generations(target: Target) -> None:
    for name in ("t2.micro", "m5.large", "c5.large"):
        (server,) = target.launch(InstanceType=name)
        assert target.describe(server)["InstanceType"] == name


@row(
    "ec2",
    "A fleet's pool whose zone does not offer its type is InvalidFleetConfiguration in `Errors`",
    "EC2 API Reference, CreateFleetError",
    unverified="The code and its words; they were seen in practice.",
)
def fleet_where_not_offered(target: Target) -> None:
    name, without, _ = missing_pair(target)
    made = pools(target, (name, subnets(target)[without]))
    assert made["Instances"] == []
    (error,) = made["Errors"]
    assert error["ErrorCode"] == "InvalidFleetConfiguration"
    text = f"Your requested instance type ({name}) is not supported in your requested Availability Zone ({without})."
    assert error["ErrorMessage"] == text
    assert error["LaunchTemplateAndOverrides"]["Overrides"]["SubnetId"] == subnets(target)[without]


@row(
    "ec2",
    "One pool that is not offered can make an instant fleet launch nothing, or only lose that pool",
    "EC2 API Reference, CreateFleetError",
    not_on_aws="both were seen; what decides is not documented",
    unverified="All of it; both were seen in practice.",
)
def fleet_with_one_pool_not_offered(target: Any) -> None:
    name, without, having = missing_pair(target)
    pairs = [(name, subnets(target)[zone]) for zone in (having, without)]
    target.undo_after_row(target.control, path="ec2/conditions", method="DELETE")
    for unoffered, launched in (("fleet", 0), ("pool", 1)):
        target.control("ec2/conditions", {"unoffered": unoffered})
        made = pools(target, *pairs)
        assert len(made["Instances"]) == launched
        assert [one["ErrorCode"] for one in made["Errors"]] == ["InvalidFleetConfiguration"]


@row("ec2", "Spot has a price only where the type is offered", "EC2 API Reference, DescribeSpotPriceHistory")
def spot_prices_where_offered(target: Target) -> None:
    name, without, having = missing_pair(target)
    ec2 = target.client("ec2")
    pages = ec2.get_paginator("describe_spot_price_history").paginate(
        InstanceTypes=[name], ProductDescriptions=["Linux/UNIX"]
    )
    zones = {one["AvailabilityZone"] for page in pages for one in page["SpotPriceHistory"]}
    assert having in zones
    assert without not in zones
