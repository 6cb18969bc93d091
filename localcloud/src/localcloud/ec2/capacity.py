"""Capacity made short on purpose: rules that let a launch fail the way AWS lets it fail.

`POST /_localcloud/ec2/capacity` with `{"rules": [RULE, ...]}` replaces all rules, `GET` lists them. A RULE:

    code      the error code, such as InsufficientInstanceCapacity (required)
    message   its text; a fitting one by default
    region, zone, type, market    patterns (`*`) of the pools it is for; everywhere by default
    times     how often it refuses; for ever by default
    action    CreateFleet or RunInstances: refuse the whole call with this code, whatever the pool
    after     true, with `action`: the servers are launched, then the call answers the error (an unclear answer)
    status    HTTP status of a whole call's refusal; 503 by default

How a launch treats a refusal does not live here.
"""

from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from localcloud.ec2.errors import Ec2Error

_TEXTS = {
    "InsufficientInstanceCapacity": "There is no Spot capacity available that matches your request."
    " We currently do not have sufficient {type} capacity in the Availability Zone you requested ({zone}).",
    "UnfulfillableCapacity": "Unable to fulfill capacity due to your request configuration.",
    "MaxSpotInstanceCountExceeded": "Max spot instance count exceeded",
    "VcpuLimitExceeded": "You have requested more vCPU capacity than your current vCPU limit of 0 allows for the instance"
    " bucket that the specified instance type belongs to.",
    "InstanceLimitExceeded": "You have requested more instances than your current instance limit allows.",
    "Unsupported": "Your requested instance type ({type}) is not supported in your requested Availability Zone ({zone}).",
    "RequestLimitExceeded": "Request limit exceeded.",
    "InternalError": "An internal error has occurred",
}


@dataclass
class Rule:
    """One rule; the module's text says what each field means."""

    code: str
    message: str = ""
    region: str = "*"
    zone: str = "*"
    type: str = "*"
    market: str = "*"
    times: int | None = None
    action: str = ""
    after: bool = False
    status: int = 503

    def text(self, kind: str, zone: str) -> str:
        """The message of its refusal."""
        return (self.message or _TEXTS.get(self.code, self.code)).replace("{type}", kind).replace("{zone}", zone)


class Capacity:
    """The rules in force, in their order; the first that fits refuses."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def replace(self, said: Any) -> None:
        """Take new rules from JSON. Raises ValueError with a sentence."""
        names = {one.name for one in fields(Rule)}
        if not isinstance(said, dict) or not isinstance(said.get("rules"), list):
            raise ValueError('expected {"rules": [...]}')
        rules = []
        for one in said["rules"]:
            if not isinstance(one, dict) or set(one) - names or not isinstance(one.get("code"), str):
                raise ValueError(f"a rule has `code` and any of {', '.join(sorted(names - {'code'}))}: {one!r}")
            rules.append(Rule(**one))
        self._rules = rules

    def listing(self) -> list[dict[str, Any]]:
        """The rules as JSON, with `times` as what is left."""
        return [asdict(rule) for rule in self._rules]

    def pool(self, region: str, zone: str, kind: str, market: str) -> Ec2Error | None:
        """Why this pool gives nothing now, or None."""
        for rule in self._rules:
            asked = ((rule.region, region), (rule.zone, zone), (rule.type, kind), (rule.market, market))
            if not rule.action and all(fnmatchcase(held, pattern) for pattern, held in asked) and self._use(rule):
                return Ec2Error(rule.code, rule.text(kind, zone))
        return None

    def call(self, action: str, region: str, after: bool) -> None:
        """Raise the Ec2Error that a rule has for the whole call, before or after its launches."""
        for rule in self._rules:
            if rule.action == action and rule.after == after and fnmatchcase(region, rule.region) and self._use(rule):
                raise Ec2Error(rule.code, rule.text("", ""), rule.status)

    @staticmethod
    def _use(rule: Rule) -> bool:
        if rule.times is None:
            return True
        rule.times -= 1
        return rule.times >= 0
