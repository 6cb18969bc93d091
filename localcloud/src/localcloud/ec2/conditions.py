"""The conditions under which this EC2 answers, where AWS's answers differ between accounts, days or callers.

`POST /_localcloud/ec2/conditions` sets the fields that its JSON object names, `GET` shows all, `DELETE` returns to the defaults:

    unoffered       what an instant fleet does about a type that a zone does not offer: "fleet" launches nothing, "pool" leaves
                    out that pool
    pools_tried     how many pools an instant fleet tries; it reports the others as UnfulfillableCapacity
    answer_seconds  how long a call with a client token takes to answer; a second call with the same token, sent meanwhile,
                    is IdempotentCallInProgress

What a launch does about a condition does not live here.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

FLEET, POOL = "fleet", "pool"
_MOST_SECONDS = 3600
_SECONDS = f"a number of seconds from 0 to {_MOST_SECONDS}"


@dataclass(frozen=True)
class Values:
    """The value of each condition; the module's docstring explains them."""

    unoffered: str = POOL
    pools_tried: int = 3
    answer_seconds: float = 0.0


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_seconds(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _MOST_SECONDS


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "unoffered": (lambda value: value in (FLEET, POOL), f'"{FLEET}" or "{POOL}"'),
    "pools_tried": (_is_count, "a whole number above 0"),
    "answer_seconds": (_is_seconds, _SECONDS),
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

    def listing(self) -> dict[str, Any]:
        """Return the conditions as JSON."""
        return asdict(self.now)
