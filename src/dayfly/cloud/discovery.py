"""What a deploy finds in an account and does not make: its network, its images. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dayfly.cloud.clients import Aws, code_of
from dayfly.core.model import Architecture, Image, Network, Project
from dayfly.errors import FileError, SupplyError

DEBIAN = "/aws/service/debian/release/13/latest/{word}"
_WORDS = {"arm64": "arm64", "x86_64": "amd64"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """The network that servers start in. `vpc` is set where a security group of our own is to be made."""

    vpc: str | None
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    public_ip: bool


def network(aws: Aws, wanted: Network | None) -> Found:
    """The subnets named, or the default VPC's. Raises FileError for what is not there."""
    ec2 = aws.client("ec2")
    given = wanted or Network()
    try:
        if given.subnets:
            found = ec2.describe_subnets(SubnetIds=list(given.subnets))["Subnets"]
        else:
            found = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    except ClientError as error:
        if code_of(error).startswith("InvalidSubnet"):
            raise FileError(f"[network.{aws.region}] subnets: {error}") from error
        raise
    if not found:
        raise FileError(
            f"there is no default VPC in {aws.region}", hint=f"name subnets: [network.{aws.region}] subnets = [...]"
        )
    vpcs = {each["VpcId"] for each in found}
    if len(vpcs) > 1:
        raise FileError(
            f"[network.{aws.region}] subnets are of {len(vpcs)} VPCs; one security group can not serve them"
        )
    return Found(
        vpc=None if given.security_groups else vpcs.pop(),
        subnets=tuple(sorted(each["SubnetId"] for each in found)),
        security_groups=given.security_groups,
        public_ip=given.public_ip,
    )


@dataclass(frozen=True, kw_only=True)
class FoundImage:
    """An image, and what of it really runs where a cloud says so in its tags (the local cloud does)."""

    image: Image
    runs_machine: str | None
    runs_python: str | None


def image(aws: Aws, name: str, architecture: Architecture) -> FoundImage:
    """A stock image by its public parameter, or an AMI by id. Raises SupplyError when it is not there."""
    given = name
    parameter = DEBIAN.format(word=_WORDS[architecture])
    if not name.startswith("ami-"):
        try:
            given = aws.client("ssm").get_parameter(Name=parameter)["Parameter"]["Value"]
        except ClientError as error:
            if code_of(error) == "ParameterNotFound":
                raise SupplyError(f"image {name} ({architecture}) does not exist in {aws.region}") from error
            raise
    shown = _describe(aws, given)
    if shown is None:
        raise SupplyError(f"image {given} does not exist in {aws.region}", hint="another `image`, or build it again")
    if shown["Architecture"] != architecture:
        raise FileError(
            f"image {given} is for {shown['Architecture']}; the job's servers are {architecture}",
            hint="an image or servers of one architecture",
        )
    tags = {tag["Key"]: tag["Value"] for tag in shown.get("Tags", [])}
    return FoundImage(
        image=Image(
            name=name,
            architecture=architecture,
            image_id=given if name.startswith("ami-") else f"resolve:ssm:{parameter}",
            root_device=shown["RootDeviceName"],
            # The condition key holds the alias where an image has one (Amazon's own), else the account.
            owner=shown.get("ImageOwnerAlias") or shown["OwnerId"],
        ),
        runs_machine=tags.get("localcloud:architecture"),
        runs_python=tags.get("localcloud:python"),
    )


def _describe(aws: Aws, ami: str) -> dict[str, Any] | None:
    try:
        found = aws.client("ec2").describe_images(ImageIds=[ami])["Images"]
    except ClientError as error:
        if code_of(error).startswith("InvalidAMIID"):
            return None
        raise
    return found[0] if found else None


SPOT = "spot.amazonaws.com"


def spot_role_missing(aws: Aws, project: Project) -> bool:
    """Whether a job wants spot and the account lacks the service's own role, without which its first spot launch fails."""
    if all(job.market == "on-demand" for job in project.jobs.values()):
        return False
    # By its path: the name, AWSServiceRoleForEC2Spot, is the service's choice.
    return not aws.client("iam").list_roles(PathPrefix=f"/aws-service-role/{SPOT}/")["Roles"]


def make_spot_role(aws: Aws) -> None:
    """Makes that role; it belongs to the account, costs nothing and stays when the project goes."""
    try:
        aws.client("iam").create_service_linked_role(AWSServiceName=SPOT)
    except ClientError as error:
        if code_of(error) not in ("InvalidInput", "EntityAlreadyExists"):  # it was made in the meantime
            raise
