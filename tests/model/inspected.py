"""The answers of the model account to the calls that only look: a healthy account, whose fields a test changes.

`doctor` runs against it, so that its checks meet each other's calls and not a script of answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from dayfly.flows import calls
from model.cloudformation import CloudFormation


@dataclass
class Inspected(CloudFormation):
    """What an account shows to whoever looks. `denied`: the actions that the caller may not do."""

    plan: calls.Plan = "paid"
    quota: float | None = 64.0
    vcpus: dict[str, int] = field(default_factory=lambda: {"c8g.large": 2, "c8g.xlarge": 4, "t4g.small": 2})
    ways_out: bool = True
    denied: tuple[str, ...] = ()
    alarms: tuple[calls.Alarm, ...] = ()
    dead_letters: int = 0
    subscriptions: tuple[calls.Subscription, ...] = ()
    strays: tuple[calls.Stray, ...] = ()

    def find_quota(self, _call: calls.FindQuota) -> float | None:
        return self.quota

    def find_plan(self, _call: calls.FindPlan) -> calls.Plan:
        return self.plan

    def find_vcpus(self, call: calls.FindVcpus) -> dict[str, int]:
        return {name: self.vcpus[name] for name in call.types if name in self.vcpus}

    def find_routes(self, call: calls.FindRoutes) -> tuple[calls.Route, ...]:
        return tuple(
            calls.Route(
                subnet=subnet,
                vpc="vpc-default",
                table="rtb-1",
                zone="euw1-az1",
                free=4091,
                way_out=self.ways_out,
                is_nat=False,
                has_endpoint=False,
            )
            for subnet in call.subnets
        )

    def find_clock(self, _call: calls.FindClock) -> datetime:
        return self.now

    def find_denied(self, call: calls.FindDenied) -> tuple[str, ...]:
        wanted = [action for each in call.wanted for action in each.actions]
        return tuple(action for action in wanted if action in self.denied)

    def find_alarms(self, _call: calls.FindAlarms) -> tuple[calls.Alarm, ...]:
        return self.alarms

    def count_dead_letters(self, _call: calls.CountDeadLetters) -> int:
        return self.dead_letters

    def find_subscriptions(self, _call: calls.FindSubscriptions) -> tuple[calls.Subscription, ...]:
        return self.subscriptions

    def find_strays(self, _call: calls.FindStrays) -> tuple[calls.Stray, ...]:
        return self.strays


INSPECTED_ANSWERS = {
    calls.FindQuota: "find_quota",
    calls.FindPlan: "find_plan",
    calls.FindVcpus: "find_vcpus",
    calls.FindRoutes: "find_routes",
    calls.FindClock: "find_clock",
    calls.FindDenied: "find_denied",
    calls.FindAlarms: "find_alarms",
    calls.CountDeadLetters: "count_dead_letters",
    calls.FindSubscriptions: "find_subscriptions",
    calls.FindStrays: "find_strays",
}
"""Which method answers which call."""
