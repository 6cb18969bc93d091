"""Calls about servers: launch one, list them, terminate one, read a console."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dayfly.core.facts import FleetAnswer, NotShown, Server
from dayfly.flows.calls.call import Call


@dataclass(frozen=True)
class CreateFleet(Call[FleetAnswer]):
    """Ask EC2 for one server with the stored request. An answer with errors and no server is a RefusedLaunch, whatever its codes
    say (core/refusals.py); an answer that is throttled or lost raises Unclear."""

    request: Mapping[str, Any]


@dataclass(frozen=True)
class FleetServers(Call[tuple[Server, ...]]):
    """List the servers that DescribeFleets names for a fleet. `request` is the request that created it."""

    fleet: str
    request: Mapping[str, Any]


@dataclass(frozen=True)
class ListServers(Call[tuple[Server, ...]]):
    """List the project's servers as EC2 shows them, of one run or all; also terminated ones while EC2 shows them."""

    run: str | None = None


@dataclass(frozen=True)
class FindServer(Call[Server | NotShown]):
    """Find one server by its id, whatever its tags are now."""

    server: str


@dataclass(frozen=True)
class TerminateServer(Call[None]):
    """Terminate one server of the project. Do nothing if it is already gone."""

    server: str


@dataclass(frozen=True)
class ReadConsole(Call[tuple[str, ...]]):
    """Read the last lines that dayfly's switch and agent wrote to a server's console; empty when there are none."""

    server: str
