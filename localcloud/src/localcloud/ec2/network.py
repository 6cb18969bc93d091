"""Zones, VPCs, subnets and security groups, read from MiniStack's records.

MiniStack makes and changes them; only their tags are written here.
"""

import ipaddress
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from localcloud.ec2.errors import Ec2Error
from localcloud.ministack import network, requests

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
    """A subnet and its availability zone. `default` is True for the default subnet of the zone."""

    id: str
    vpc: str
    cidr: str
    zone: str
    zone_id: str
    default: bool


class Network:
    """MiniStack's VPC records for one account."""

    def __init__(self, account: str) -> None:
        self._account = account

    def _scope(self, region: str) -> AbstractContextManager[None]:
        return requests.scope(self._account, region)

    def zones(self, region: str) -> list[tuple[str, str]]:
        """Return (name, id) of each zone."""
        names = [region + letter for letter in _LETTERS]
        return [(name, network.zone_id(name)) for name in names]

    def records(self, region: str, kind: str) -> list[dict[str, Any]]:
        """Return copies of MiniStack's `vpcs`, `subnets` or `security_groups` of a region."""
        with self._scope(region):
            return network.records(kind)

    def tags(self, region: str, resource: str) -> dict[str, str]:
        """Return the tags of one of MiniStack's resources."""
        with self._scope(region):
            return network.tags().get(resource, {})

    def set_tags(self, region: str, resource: str, tags: dict[str, str]) -> None:
        """Replace the tags of one of MiniStack's resources."""
        with self._scope(region):
            network.set_tags(resource, tags)

    def all_tags(self, region: str) -> dict[str, dict[str, str]]:
        """Return the tags of all of MiniStack's tagged resources in a region, by id."""
        with self._scope(region):
            return network.tags()

    def subnet(self, region: str, identifier: str) -> Subnet:
        """Return the subnet of that id. Raises Ec2Error (InvalidSubnetID.NotFound)."""
        for record in self.records(region, "subnets"):
            if record["SubnetId"] == identifier:
                return _subnet(record)
        raise Ec2Error("InvalidSubnetID.NotFound", f"The subnet ID '{identifier}' does not exist")

    def default_subnet(self, region: str, zone: str, is_suitable: Callable[[Subnet], bool]) -> Subnet:
        """Return the default subnet of a zone, or if `zone` is "" the first suitable one, or just the first. Raises Ec2Error."""
        if zone and zone not in dict(self.zones(region)):
            raise Ec2Error("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
        records = sorted(self.records(region, "subnets"), key=lambda record: str(record["AvailabilityZone"]))
        found = [_subnet(record) for record in records if record.get("DefaultForAz")]
        found = [subnet for subnet in found if zone in ("", subnet.zone)]
        if not found:
            raise Ec2Error("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
        return next(filter(is_suitable, found), found[0])

    def vpc_cidrs(self, region: str, identifier: str) -> tuple[str, ...]:
        """Return the IPv4 blocks of a VPC, the primary one first; () for a VPC that is gone."""
        return tuple(vpc["CidrBlock"] for vpc in self.records(region, "vpcs") if vpc["VpcId"] == identifier)

    def groups(self, region: str, identifiers: Iterable[str], names: Iterable[str], vpc: str) -> dict[str, str]:
        """Return id -> name of the named security groups, or of the VPC's default group. Raises Ec2Error (InvalidGroup.NotFound)."""
        known = {group["GroupId"]: group for group in self.records(region, "security_groups")}
        in_vpc: dict[str, str] = {}
        for key, group in known.items():
            if group.get("VpcId") == vpc:
                in_vpc.setdefault(group["GroupName"], key)
        found: dict[str, str] = {}
        for identifier in identifiers:
            if identifier not in known:
                raise Ec2Error("InvalidGroup.NotFound", f"The security group '{identifier}' does not exist")
            if known[identifier].get("VpcId") not in (None, vpc):
                text = f"Security group {identifier} and the subnet belong to different networks."
                raise Ec2Error("InvalidParameter", text)
            found[identifier] = known[identifier]["GroupName"]
        for name in names:
            if name not in in_vpc:
                raise Ec2Error("InvalidGroup.NotFound", f"The security group '{name}' does not exist in VPC '{vpc}'")
            found[in_vpc[name]] = name
        if not found and "default" in in_vpc:
            found[in_vpc["default"]] = "default"
        return found

    def group_names(self, region: str, identifiers: Iterable[str]) -> dict[str, str]:
        """Return id -> name; a group that is gone by now has its id as name."""
        known = {group["GroupId"]: group["GroupName"] for group in self.records(region, "security_groups")}
        return {identifier: known.get(identifier, identifier) for identifier in identifiers}


def free_address(subnet: Subnet, taken: set[str]) -> str:
    """Return the first free address of a subnet. Raises Ec2Error."""
    network = ipaddress.ip_network(subnet.cidr)
    # AWS reserves the first four addresses and the last one. Six more are never chosen here, so a launch can still name one.
    for offset in range(10, network.num_addresses - 1):
        address = str(network[offset])
        if address not in taken:
            return address
    text = f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances."
    raise Ec2Error("InsufficientFreeAddressesInSubnet", text)


def check_address(subnet: Subnet, address: str) -> str:
    """Return the address of a launch, or "". Raises Ec2Error if the subnet does not have it, or AWS reserves it."""
    if not address:
        return ""
    network = ipaddress.ip_network(subnet.cidr)
    try:
        found = ipaddress.ip_address(address)
    except ValueError as error:
        raise Ec2Error("InvalidParameterValue", f"Invalid IP address: {address}") from error
    if found not in network:
        raise Ec2Error("InvalidParameterValue", "Address does not fall within the subnet's address range")
    if not 4 <= int(found) - int(network[0]) < network.num_addresses - 1:
        raise Ec2Error("InvalidParameterValue", f"Address {address} is in subnet's reserved address range")
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
