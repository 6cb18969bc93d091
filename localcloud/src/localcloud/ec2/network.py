"""Zones, subnets and security groups: MiniStack keeps them, this reads them for our EC2.

Only reading; making and changing them stays MiniStack's.
"""

import importlib
import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from localcloud.ec2.errors import Ec2Error
from localcloud.ministack import seams

REGIONS = (
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
)
_LETTERS = "abc"


@dataclass(frozen=True)
class Subnet:
    """Where an instance stands."""

    id: str
    vpc: str
    cidr: str
    zone: str
    zone_id: str
    default: bool


class Network:
    """MiniStack's VPC records of one account."""

    def __init__(self, account: str) -> None:
        self._account = account
        self._records = seams.module("ec2")
        self._responses = importlib.import_module("ministack.core.responses")

    @contextmanager
    def _scope(self, region: str) -> Iterator[None]:
        with self._responses.request_scope(self._account, region):
            self._records._ensure_defaults_initialized()
            yield

    def zones(self, region: str) -> list[tuple[str, str]]:
        """(name, id) of each zone."""
        names = [region + letter for letter in _LETTERS]
        return [(name, self._records._az_id_for_zone_name(name)) for name in names]

    def records(self, region: str, kind: str) -> list[dict[str, Any]]:
        """Copies of MiniStack's `vpcs`, `subnets` or `security_groups` of a region."""
        with self._scope(region):
            return [dict(one) for one in getattr(self._records, f"_{kind}").values()]

    def tags(self, region: str, resource: str) -> dict[str, str]:
        """The tags that MiniStack keeps for one of its resources."""
        with self._scope(region):
            return {tag["Key"]: tag["Value"] for tag in self._records._tags.get(resource) or []}

    def set_tags(self, region: str, resource: str, tags: dict[str, str]) -> None:
        """Replace those tags."""
        with self._scope(region):
            self._records._tags[resource] = [{"Key": key, "Value": value} for key, value in tags.items()]

    def tagged(self, region: str) -> dict[str, dict[str, str]]:
        """Every tagged resource of MiniStack's in a region."""
        with self._scope(region):
            return {key: {tag["Key"]: tag["Value"] for tag in tags} for key, tags in self._records._tags.items()}

    def subnet(self, region: str, identifier: str) -> Subnet:
        """The subnet of that id. Raises Ec2Error (InvalidSubnetID.NotFound)."""
        for one in self.records(region, "subnets"):
            if one["SubnetId"] == identifier:
                return _subnet(one)
        raise Ec2Error("InvalidSubnetID.NotFound", f"The subnet ID '{identifier}' does not exist")

    def default_subnet(self, region: str, zone: str = "") -> Subnet:
        """The default subnet of a zone, or of the region's first zone. Raises Ec2Error."""
        if zone and zone not in dict(self.zones(region)):
            raise Ec2Error("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
        for one in sorted(self.records(region, "subnets"), key=lambda record: str(record["AvailabilityZone"])):
            if one.get("DefaultForAz") and zone in ("", one["AvailabilityZone"]):
                return _subnet(one)
        raise Ec2Error("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")

    def vpc_cidrs(self, region: str, identifier: str) -> tuple[str, ...]:
        """The IPv4 blocks of a VPC, the primary one first; none for one that is gone."""
        return tuple(one["CidrBlock"] for one in self.records(region, "vpcs") if one["VpcId"] == identifier)

    def groups(self, region: str, identifiers: Iterable[str], names: Iterable[str], vpc: str) -> dict[str, str]:
        """id -> name of the security groups asked for, or of the VPC's default one. Raises Ec2Error (InvalidGroup.NotFound)."""
        known = {one["GroupId"]: one for one in self.records(region, "security_groups")}
        found: dict[str, str] = {}
        for identifier in identifiers:
            if identifier not in known:
                raise Ec2Error("InvalidGroup.NotFound", f"The security group '{identifier}' does not exist")
            if known[identifier].get("VpcId") not in (None, vpc):
                text = f"Security group {identifier} and the subnet belong to different networks."
                raise Ec2Error("InvalidParameter", text)
            found[identifier] = known[identifier]["GroupName"]
        for name in names:
            match = [key for key, one in known.items() if one["GroupName"] == name and one.get("VpcId") == vpc]
            if not match:
                raise Ec2Error("InvalidGroup.NotFound", f"The security group '{name}' does not exist in VPC '{vpc}'")
            found[match[0]] = name
        if not found:
            default = [key for key, one in known.items() if one["GroupName"] == "default" and one.get("VpcId") == vpc]
            found = {default[0]: "default"} if default else {}
        return found

    def group_names(self, region: str, identifiers: Iterable[str]) -> dict[str, str]:
        """id -> name, for ids that may be gone by now."""
        known = {one["GroupId"]: one["GroupName"] for one in self.records(region, "security_groups")}
        return {identifier: known.get(identifier, identifier) for identifier in identifiers}


def free_address(subnet: Subnet, taken: set[str]) -> str:
    """The first free address of a subnet; AWS keeps the first four and the last. Raises Ec2Error."""
    network = ipaddress.ip_network(subnet.cidr)
    for offset in range(10, network.num_addresses - 1):
        address = str(network[offset])
        if address not in taken:
            return address
    text = f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances."
    raise Ec2Error("InsufficientFreeAddressesInSubnet", text)


def own_address(subnet: Subnet, said: str) -> str:
    """An address that a launch asks for, or "". Raises Ec2Error for one that the subnet cannot give: AWS keeps five of each."""
    if not said:
        return ""
    network = ipaddress.ip_network(subnet.cidr)
    try:
        found = ipaddress.ip_address(said)
    except ValueError as error:
        raise Ec2Error("InvalidParameterValue", f"Invalid IP address: {said}") from error
    if found not in network:
        raise Ec2Error("InvalidParameterValue", "Address does not fall within the subnet's address range")
    if not 4 <= int(found) - int(network[0]) < network.num_addresses - 1:
        raise Ec2Error("InvalidParameterValue", f"Address {said} is in subnet's reserved address range")
    return str(found)


def _subnet(record: dict[str, Any]) -> Subnet:
    return Subnet(
        id=record["SubnetId"],
        vpc=record["VpcId"],
        cidr=record["CidrBlock"],
        zone=record["AvailabilityZone"],
        zone_id=record.get("AvailabilityZoneId", ""),
        default=bool(record.get("DefaultForAz")),
    )
