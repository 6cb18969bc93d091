"""Calls about servers: launch one, list them, terminate one, read a console."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.core.facts import FleetAnswer, Server
from dayfly.flows.calls.call import Call


@dataclass(frozen=True)
class CreateFleet(Call[FleetAnswer]):
    """Asks EC2 for one server with the stored request. A definite refusal is an answer; an unclear one raises Unclear."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class FleetServers(Call[tuple[Server, ...]]):
    """The servers that DescribeFleets names for a fleet. `request` is the request that created it."""

    fleet: str
    request: Mapping[str, Any]


@dataclass(frozen=True)
class Servers(Call[tuple[Server, ...]]):
    """The project's servers as EC2 shows them, of one run or all. Terminated ones are included while EC2 shows them."""

    run: str | None = None


@dataclass(frozen=True)
class EndServer(Call[None]):
    """Terminates one server of the project. Does nothing if it is already gone."""

    server: str


@dataclass(frozen=True)
class Console(Call[tuple[str, ...]]):
    """The last lines that dayfly's switch and agent wrote to a server's console; empty when there are none."""

    server: str
