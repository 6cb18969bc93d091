"""Calls about what dayfly uses in an account and its stack does not create: subnets, images, EC2's role for spot. And Invoke."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.flows.calls.call import Call


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet, the VPC that it belongs to, and the id of its zone, such as `euw1-az1`."""

    id: str
    vpc: str
    zone: str


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A zone, by its id, offers a server type."""

    type: str
    zone: str


@dataclass(frozen=True, kw_only=True)
class Ec2Image:
    """An image as EC2 shows it. `alias` is the owner's name where EC2 gives one (Amazon's images), else empty."""

    architecture: str
    root_device: str
    owner: str
    alias: str
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Invoked:
    """What a function returned; `error` is empty unless it raised."""

    answer: Mapping[str, Any]
    error: str = ""


@dataclass(frozen=True)
class FindSubnets(Call[tuple[Subnet, ...]]):
    """Find these subnets; missing ones are left out. Without ids, find the default subnet of each zone."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class FindOffers(Call[tuple[Offer, ...]]):
    """Find the zones of the region that offer these server types. A type that does not exist is in no offer."""

    types: tuple[str, ...]


@dataclass(frozen=True)
class ListTypes(Call[tuple[str, ...]]):
    """List all server types that the region offers."""


@dataclass(frozen=True)
class FindParameter(Call[str | None]):
    """Read the value of a public parameter in Systems Manager. None when there is none."""

    name: str


@dataclass(frozen=True)
class FindImage(Call[Ec2Image | None]):
    """Find an image by its AMI id. None when there is none."""

    ami: str


@dataclass(frozen=True)
class HasLinkedRole(Call[bool]):
    """Find out whether the account has the service-linked role of this service, such as `spot.amazonaws.com`."""

    service: str


@dataclass(frozen=True)
class CreateLinkedRole(Call[None]):
    """Create the service-linked role of this service. Do nothing if there is one."""

    service: str


@dataclass(frozen=True)
class HasPolicy(Call[bool]):
    """Find out whether there is an IAM policy with this ARN."""

    arn: str


@dataclass(frozen=True)
class StopFunction(Call[None]):
    """Let a function run no more until it is started; an invocation that runs goes on. Do nothing if there is no such function."""

    function: str


@dataclass(frozen=True)
class StartFunction(Call[None]):
    """Let a function run again. Do nothing if it was not stopped, or if there is no such function."""

    function: str


@dataclass(frozen=True)
class IsStopped(Call[bool]):
    """Find out whether a function is stopped. False when there is no such function."""

    function: str


@dataclass(frozen=True)
class Invoke(Call[Invoked | None]):
    """Invoke a function with a JSON document and wait for its answer. None when there is no such function."""

    function: str
    body: str
