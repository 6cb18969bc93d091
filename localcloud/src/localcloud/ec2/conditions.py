"""The conditions under which this EC2 answers, where AWS's answers differ between accounts, days or callers.

`POST /_localcloud/ec2/conditions` sets the fields that its JSON object names, `GET` shows all, `DELETE` returns to the defaults:

    unoffered       what an instant fleet does about a type that a zone does not offer: "fleet" launches nothing, "pool" leaves
                    out that pool
    pools_tried     how many pools an instant fleet tries; it reports the others as UnfulfillableCapacity
    answer_seconds  how long a call with a client token takes to answer; a second call with the same token, sent meanwhile,
                    is IdempotentCallInProgress

    visible_after   for how many seconds a launch does not see a template, version, security group or instance profile that was
                    just made
    plan            "paid", or "free": an account of the free plan, which launches only types that are eligible for Free Tier
    quotas          virtual CPUs by code of Service Quotas, such as {"L-1216C47A": 5}; the others keep their default
    image_rights    the actions that resolving an image's SSM parameter needs; public projects differ about it

What a launch does about a condition does not live here.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from localcloud.ec2.quotas import QUOTAS

FLEET, POOL = "fleet", "pool"
PAID, FREE = "paid", "free"
_SSM_READS = ("ssm:GetParameter", "ssm:GetParameters")
_MOST_SECONDS = 3600
_SECONDS = f"a number of seconds from 0 to {_MOST_SECONDS}"


@dataclass(frozen=True)
class Values:
    """The value of each condition; the module's docstring explains them."""

    unoffered: str = FLEET
    pools_tried: int = 3
    answer_seconds: float = 0.0
    visible_after: float = 0.0
    plan: str = PAID
    quotas: Mapping[str, float] = field(default_factory=dict)
    image_rights: tuple[str, ...] = ("ssm:GetParameters",)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and value <= _MOST_SECONDS


def _are_quotas(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= set(QUOTAS) and all(map(_is_number, value.values()))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


def _are_rights(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and set(value) <= set(_SSM_READS)


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "unoffered": (lambda value: value in (FLEET, POOL), f'"{FLEET}" or "{POOL}"'),
    "pools_tried": (_is_count, "a whole number above 0"),
    "answer_seconds": (_is_seconds, _SECONDS),
    "visible_after": (_is_seconds, _SECONDS),
    "plan": (lambda value: value in (PAID, FREE), f'"{PAID}" or "{FREE}"'),
    "quotas": (_are_quotas, f"an object of numbers by code; there are {', '.join(QUOTAS)}"),
    "image_rights": (_are_rights, f"a list of {' and '.join(_SSM_READS)}"),
}


class Conditions:
    """The conditions in force."""

    def __init__(self) -> None:
        self.now = Values()

    def change(self, document: Any) -> None:
        """Set the conditions that a JSON object names. Raises ValueError with a message for the caller."""
        if not isinstance(document, dict):
            raise ValueError("expected a JSON object")
        for name, value in document.items():
            if name not in _CHECKS:
                raise ValueError(f"unknown condition {name!r}; there are {', '.join(_CHECKS)}")
            is_valid, expected = _CHECKS[name]
            if not is_valid(value):
                raise ValueError(f"`{name}` must be {expected}")
        self.now = replace(self.now, **document)

    def reset(self) -> None:
        """Return to the defaults."""
        self.now = Values()

    def quota(self, code: str) -> float:
        """Return the value of a quota, in virtual CPUs."""
        return self.now.quotas.get(code, QUOTAS[code].value)

    def listing(self) -> dict[str, Any]:
        """Return the conditions as JSON."""
        return asdict(self.now)
