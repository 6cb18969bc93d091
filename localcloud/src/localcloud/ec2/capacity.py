"""Artificial lack of capacity: rules that make a launch fail the way AWS makes it fail.

`POST /_localcloud/ec2/capacity` with `{"rules": [RULE, ...]}` replaces all rules, `GET` lists them. A RULE:

    code      the error code, such as InsufficientInstanceCapacity (required)
    message   its text; each code has a default
    region, zone, type, market    patterns (`*`) of the pools that the rule applies to; all by default
    times     how many launches it fails; no limit by default
    action    CreateFleet or RunInstances: fail the whole call with this code, whatever the pool
    after     true, with `action`: launch the instances, then answer with the error
    status    HTTP status when the whole call fails; 503 by default

What a launch does about an error does not live here.
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
    " bucket that the specified instance type belongs to. Please visit http://aws.amazon.com/contact-us/ec2-request to request"
    " an adjustment to this limit.",
    "InstanceLimitExceeded": "You have requested more instances than your current instance limit allows.",
    "Unsupported": "Your requested instance type ({type}) is not supported in your requested Availability Zone ({zone}).",
    "RequestLimitExceeded": "Request limit exceeded.",
    "IdempotentCallInProgress": "A request with the same client token is in progress.",
    "MaxFleetCountExceeded": "You've reached your quota for maximum Fleet Requests for this account.",
    "InvalidFleetConfiguration": "Your requested instance type ({type}) is not supported in your requested Availability Zone"
    " ({zone}).",
    "InternalError": "An internal error has occurred",
}


@dataclass
class Rule:
    """One rule; the module's docstring explains the fields. `times` counts down."""

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

    def text(self, instance_type: str, zone: str) -> str:
        """Return the message of its error."""
        text = self.message or _TEXTS.get(self.code, self.code)
        return text.replace("{type}", instance_type).replace("{zone}", zone)

    def matches_pool(self, region: str, zone: str, instance_type: str, market: str) -> bool:
        """Whether the rule applies to a pool."""
        if self.action:
            return False
        pairs = ((region, self.region), (zone, self.zone), (instance_type, self.type), (market, self.market))
        return all(fnmatchcase(value, pattern) for value, pattern in pairs)

    def use(self) -> bool:
        """Count one use. Return False if the rule was used up before."""
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


class Capacity:
    """The rules in force, in order; the first that matches applies."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def replace(self, document: Any) -> None:
        """Replace all rules by those of a JSON document. Raises ValueError with a message for the caller."""
        if not isinstance(document, dict) or not isinstance(document.get("rules"), list):
            raise ValueError('expected {"rules": [...]}')
        self._rules = [_parse(entry) for entry in document["rules"]]

    def listing(self) -> list[dict[str, Any]]:
        """Return the rules as JSON; `times` is what is left."""
        return [asdict(rule) for rule in self._rules]

    def pool_error(self, region: str, zone: str, instance_type: str, market: str) -> Ec2Error | None:
        """Return the error with which this pool refuses a launch now, or None."""
        for rule in self._rules:
            if rule.matches_pool(region, zone, instance_type, market) and rule.use():
                return Ec2Error(rule.code, rule.text(instance_type, zone))
        return None

    def check_call(self, action: str, region: str, after: bool) -> None:
        """Raise the Ec2Error that a rule has for a whole call, before or after its launches."""
        for rule in self._rules:
            if rule.action == action and rule.after == after and fnmatchcase(region, rule.region) and rule.use():
                raise Ec2Error(rule.code, rule.text("", ""), rule.status)


def _parse(entry: Any) -> Rule:
    names = {field.name for field in fields(Rule)}
    if not isinstance(entry, dict) or set(entry) - names or not isinstance(entry.get("code"), str):
        raise ValueError(f"a rule has `code` and any of {', '.join(sorted(names - {'code'}))}: {entry!r}")
    return Rule(**entry)
