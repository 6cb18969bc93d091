"""Find what a deploy needs and does not create (network, images, EC2's role for spot), and decide what is acceptable."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from dayfly.core.model import Architecture, Image, Job, Network, Pool, Project
from dayfly.errors import FileError, Refused, RightsError, SupplyError
from dayfly.flows.calls import (
    Ec2Image,
    FindImage,
    FindOffers,
    FindParameter,
    FindSubnets,
    Flow,
    HasLinkedRole,
    HasPolicy,
    ListTypes,
    ask,
)
from dayfly.project.file import catalogue

SPOT = "spot.amazonaws.com"
"""The service whose service-linked role an account needs before its first spot server."""
_DEBIAN = "/aws/service/debian/release/13/latest/{word}"
_DEBIAN_WORDS = {"arm64": "arm64", "x86_64": "amd64"}


@dataclass(frozen=True, kw_only=True)
class FoundNetwork:
    """The network that servers start in: its subnets, and the zone of each. `vpc` is set if the stack has to create a security group."""

    vpc: str | None
    subnets: tuple[str, ...]
    zones: Mapping[str, str]
    security_groups: tuple[str, ...]
    public_ip: bool


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An image. If its tags name them (the local cloud's do), the architecture and the Python that its servers really have."""

    image: Image
    runs_machine: str | None
    runs_python: str | None


def find_network(region: str, wanted: Network | None) -> Flow[FoundNetwork]:
    """Return the subnets that the file names, or those of the default VPC. Raises FileError when they cannot be used."""
    given = wanted or Network()
    found = yield from ask(FindSubnets(given.subnets))
    missing = set(given.subnets) - {subnet.id for subnet in found}
    if missing:
        raise FileError(
            f"[network.{region}] subnets: {', '.join(sorted(missing))} not found in {region}",
            hint="name subnets of this account and region",
        )
    if not found:
        raise FileError(f"no default VPC in {region}", hint=f"name subnets: [network.{region}] subnets = [...]")
    vpcs = sorted({subnet.vpc for subnet in found})
    if len(vpcs) > 1:
        raise FileError(
            f"[network.{region}] subnets are in {len(vpcs)} VPCs, but one security group must serve them all",
            hint="name subnets of one VPC",
        )
    return FoundNetwork(
        vpc=None if given.security_groups else vpcs[0],
        subnets=given.subnets or tuple(sorted(subnet.id for subnet in found)),
        zones={subnet.id: subnet.zone for subnet in found},
        security_groups=given.security_groups,
        public_ip=given.public_ip,
    )


def find_pools(region: str, project: Project, network: FoundNetwork) -> Flow[dict[str, tuple[Pool, ...]]]:
    """Return for each job the pools that exist: its server types, in its order, in each subnet whose zone offers them.

    Raises FileError for a type that no such zone offers. EC2 may refuse a whole request that names a pool which does not exist, and
    refuses one that names a type twice in a zone (InvalidFleetConfig: duplicate instance pools), so one subnet stands for each zone.
    """
    first_of_zone = tuple({network.zones[subnet]: subnet for subnet in reversed(network.subnets)}.values())
    subnets = sorted(first_of_zone, key=network.subnets.index)
    types = sorted({server for job in project.jobs.values() for server in job.servers})
    offers = {(offer.type, offer.zone) for offer in (yield from ask(FindOffers(tuple(types))))}
    found = {}
    for job in project.jobs.values():
        for server in job.servers:
            zones = sorted(zone for one, zone in offers if one == server)
            if not zones:
                raise (yield from _not_offered(region, job, server))
            if not set(zones) & set(network.zones.values()):
                raise FileError(
                    f"jobs.{job.name}.servers: {server} is offered in {', '.join(zones)}, where no subnet of this project is",
                    hint=f"add a subnet there: [network.{region}] subnets = [...]; or name another type",
                )
        found[job.name] = tuple(
            Pool(type=server, subnet=subnet)
            for server in job.servers
            for subnet in subnets
            if (server, network.zones[subnet]) in offers
        )
    return found


def _not_offered(region: str, job: Job, server: str) -> Flow[FileError]:
    """Return the error for a type that the region does not offer, with the nearest names that it does."""
    known = yield from ask(ListTypes())
    same = [name for name in known if name in catalogue.types() and catalogue.architecture(name) == job.architecture]
    near = catalogue.nearest(server, same)
    hint = "name a type that the region offers"
    if near:
        hint = f"the nearest names that it does offer: {', '.join(near)}"
    return FileError(f"jobs.{job.name}.servers: {region} does not offer the type {server}", hint=hint)


def find_image(region: str, name: str, architecture: Architecture) -> Flow[FoundImage]:
    """Return the stock image of this name, or the AMI if `name` is an AMI id. Raises SupplyError, FileError."""
    if name.startswith("ami-"):
        shown = yield from _shown(region, name, architecture)
        return _found(name, architecture, image_id=name, shown=shown)
    parameter = _DEBIAN.format(word=_DEBIAN_WORDS[architecture])
    ami = yield from ask(FindParameter(parameter))
    if ami is None:
        raise SupplyError(f"image {name} ({architecture}) does not exist in {region}")
    shown = yield from _shown(region, ami, architecture)
    return _found(name, architecture, image_id=f"resolve:ssm:{parameter}", shown=shown)


def _shown(region: str, ami: str, architecture: Architecture) -> Flow[Ec2Image]:
    shown = yield from ask(FindImage(ami))
    if shown is None:
        raise SupplyError(f"image {ami} does not exist in {region}", hint="use another `image`, or build it again")
    if shown.architecture != architecture:
        raise FileError(
            f"image {ami} is for {shown.architecture}, but the job's servers are {architecture}",
            hint="choose an image and servers of one architecture",
        )
    return shown


def _found(name: str, architecture: Architecture, *, image_id: str, shown: Ec2Image) -> FoundImage:
    image = Image(
        name=name,
        architecture=architecture,
        image_id=image_id,
        root_device=shown.root_device,
        # IAM's condition key ec2:Owner holds the alias where an image has one, else the account.
        owner=shown.alias or shown.owner,
    )
    return FoundImage(
        image=image,
        runs_machine=shown.tags.get("localcloud:architecture"),
        runs_python=shown.tags.get("localcloud:python"),
    )


def lacks_spot_role(project: Project) -> Flow[bool]:
    """Return whether a job uses spot and the account lacks the role for it. Without the role the first spot launch fails."""
    if all(job.market == "on-demand" for job in project.jobs.values()):
        return False
    has_role = yield from ask(HasLinkedRole(SPOT))
    return not has_role


def require_boundary(account: str, arn: str | None) -> Flow[None]:
    """Raise FileError if the permissions boundary does not exist or is another account's. Who may not look leaves it to CloudFormation."""
    if arn is None:
        return
    owner = arn.split(":")[4]
    if owner not in (account, "aws"):
        raise FileError(
            f"permissions_boundary: {arn} is a policy of account {owner}, but the credentials are of {account}",
            hint="use a profile of that account, or name a policy of this one",
        )
    with suppress(RightsError, Refused):
        if not (yield from ask(HasPolicy(arn))):
            raise FileError(
                f"permissions_boundary: {arn} does not exist",
                hint="aws iam list-policies --scope Local shows this account's policies",
            )
