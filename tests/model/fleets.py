"""The model's CreateFleet: client tokens, pools without capacity, and what EC2 does not see yet.

An instant fleet tries a few pools, in the order of their priorities, and says of the others that it could not fulfill them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dayfly.core.facts import FleetAnswer, Launched, RefusedLaunch, Replayed, Server
from dayfly.core.records import FleetError
from dayfly.flows import calls

START = datetime(2026, 11, 24, 22, 40, 30, tzinfo=UTC)
IN_PROGRESS = (FleetError(code="IdempotentCallInProgress", message="an earlier call is in progress"),)
Pool = tuple[str, str, str]
"""A market, a server type and a subnet."""


@dataclass
class ModelFleets:
    """Servers and fleets, and the conditions under which EC2 launches one."""

    now: datetime = START
    servers: dict[str, Server] = field(default_factory=dict)
    fleets: dict[str, tuple[str, list[str], tuple[FleetError, ...]]] = field(default_factory=dict)
    refuse: dict[str, tuple[FleetError, ...]] = field(default_factory=dict)  # by market, for the whole request
    full: set[Pool] = field(default_factory=set)
    young_profile: bool = False  # EC2 does not see the instance profile yet, and says so of each pool that it tries
    tries: int = 3
    empty_replay: bool = False
    forgets_tokens: bool = False  # AWS does not promise how long it remembers a client token
    token_busy_s: float = 0  # how long a launch is in progress: until then the same token is refused
    first_sent: dict[str, datetime] = field(default_factory=dict)  # client tokens
    not_yet: tuple[FleetError, ...] = ()  # how EC2 refuses a request that names what it does not see yet
    asked: list[tuple[str, str]] = field(default_factory=list)  # market and token of each new request

    def create_fleet(self, call: calls.CreateFleet) -> FleetAnswer:
        request, token = json.dumps(call.request, sort_keys=True), call.request["ClientToken"]
        if self.not_yet:
            return RefusedLaunch(errors=self.not_yet)
        answered = self.first_sent.setdefault(token, self.now) + timedelta(seconds=self.token_busy_s)
        if token in self.fleets and self.now < answered:
            return RefusedLaunch(errors=IN_PROGRESS)
        if token in self.fleets and not self.forgets_tokens:
            known, ids, errors = self.fleets[token]
            if known != request:
                return Replayed(fleet=None)
            if self.empty_replay:
                return Replayed(fleet=token)
            return self._fleet_answer(ids, errors)
        market = call.request["TargetCapacitySpecification"]["DefaultTargetCapacityType"]
        self.asked.append((market, token))
        ids, errors = self._try_pools(call.request, market)
        self.fleets[token] = (request, ids, errors)
        return self._fleet_answer(ids, errors)

    def _try_pools(self, request: Mapping[str, Any], market: str) -> tuple[list[str], tuple[FleetError, ...]]:
        """Return the server of the first pool that has capacity, or the errors of all pools."""
        if market in self.refuse:
            return [], self.refuse[market]
        overrides = sorted(
            request["LaunchTemplateConfigs"][0]["Overrides"], key=lambda override: override.get("Priority", 0)
        )
        errors: list[FleetError] = []
        for number, override in enumerate(overrides):
            pool = (market, override["InstanceType"], override["SubnetId"])
            if number >= self.tries:
                errors.append(_error("UnfulfillableCapacity", pool))
            elif self.young_profile:
                errors.append(_error("InvalidParameterValue", pool, "parameter iamInstanceProfile.name is invalid"))
            elif pool in self.full:
                errors.append(_error("InsufficientInstanceCapacity", pool))
            else:
                return [self._launch(request, market, override["InstanceType"])], ()
        return [], tuple(errors)

    def _fleet_answer(self, ids: list[str], errors: tuple[FleetError, ...]) -> FleetAnswer:
        if ids:
            return Launched(servers=tuple(self.servers[one] for one in ids))
        return RefusedLaunch(errors=errors)

    def _launch(self, request: Mapping[str, Any], market: str, kind: str) -> str:
        name = f"i-{len(self.servers):017x}"
        tags = next(each["Tags"] for each in request["TagSpecifications"] if each["ResourceType"] == "instance")
        self.servers[name] = Server(
            id=name,
            state="running",
            launched=self.now,
            type=kind,
            zone="eu-west-1a",
            market=market,
            image="ami-0model",
            tags={tag["Key"]: tag["Value"] for tag in tags},
        )
        return name

    def fleet_servers(self, call: calls.FleetServers) -> tuple[Server, ...]:
        return tuple(self.servers[one] for one in self.fleets[call.fleet][1])


def _error(code: str, pool: Pool, message: str = "none") -> FleetError:
    market, kind, subnet = pool
    return FleetError(code=code, message=message, pool=f"{market} {kind} {subnet}", type=kind, subnet=subnet)
