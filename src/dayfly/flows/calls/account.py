"""Calls about what an account has and dayfly does not make: networks, images, EC2's own role for spot; and the invocation of a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.flows.calls.call import Call


@dataclass(frozen=True, kw_only=True)
class Subnet:
    """A subnet and the VPC that it belongs to."""

    id: str
    vpc: str


@dataclass(frozen=True, kw_only=True)
class ImageShown:
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
class Subnets(Call[tuple[Subnet, ...]]):
    """Those of these subnets that exist; with no ids the default subnet of each zone."""

    ids: tuple[str, ...]


@dataclass(frozen=True)
class FindParameter(Call[str | None]):
    """The value of a public parameter in Systems Manager, or None."""

    name: str


@dataclass(frozen=True)
class FindImage(Call[ImageShown | None]):
    """An image by its AMI id, or None."""

    ami: str


@dataclass(frozen=True)
class HasLinkedRole(Call[bool]):
    """Whether the account has the service-linked role of this service, such as `spot.amazonaws.com`."""

    service: str


@dataclass(frozen=True)
class MakeLinkedRole(Call[None]):
    """Creates the service-linked role of this service. Does nothing if there is one."""

    service: str


@dataclass(frozen=True)
class Invoke(Call[Invoked | None]):
    """Invokes a function with a JSON document and waits for its answer. None when there is no such function."""

    function: str
    body: str
