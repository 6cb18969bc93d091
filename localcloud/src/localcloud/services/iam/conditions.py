"""Condition operators of IAM policies ("IAM JSON policy elements: Condition operators"). Pure: values in, a yes or no out.

Policy variables are replaced before a value comes here, and what keys a request has is decided elsewhere.
"""

import ipaddress
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from localcloud.services.iam.patterns import matches

Compare = Callable[[str, str], bool]
"""Whether a value of the request fits a value of the policy."""

_SETS = ("forallvalues:", "foranyvalue:")
_IF_EXISTS = "ifexists"
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": operator.eq,
    "lessthan": operator.lt,
    "lessthanequals": operator.le,
    "greaterthan": operator.gt,
    "greaterthanequals": operator.ge,
}


@dataclass(frozen=True)
class Operator:
    """The parts of a condition operator.

    `every` is True for ForAllValues and False for ForAnyValue, None without either.
    """

    name: str
    every: bool | None
    if_exists: bool

    @property
    def negated(self) -> bool:
        """Whether it holds when none of the policy's values fits."""
        return self.name in _NEGATED

    @property
    def takes_patterns(self) -> bool:
        """Whether `*` and `?` in the policy's values are wildcards."""
        return self.name.startswith(("stringlike", "stringnotlike", "arn"))


def parse_operator(text: str) -> Operator:
    """Parse the name of an operator, such as "ForAnyValue:StringLikeIfExists"; its case does not matter."""
    name, every = text.lower(), None
    for prefix in _SETS:
        if name.startswith(prefix):
            name, every = name.removeprefix(prefix), prefix == _SETS[0]
    return Operator(name.removesuffix(_IF_EXISTS), every, name.endswith(_IF_EXISTS))


def holds(how: Operator, actual: Any, wanted: Sequence[str]) -> bool:
    """Return whether a key's value fits the policy's values.

    `actual` is None for a key that the request does not have, and a list for a key with several values. An operator
    that IAM does not have never holds.
    """
    if how.name == "null":
        return (actual is None) == (not wanted or wanted[0].lower() == "true")
    compare = _COMPARE.get(_NEGATED.get(how.name, how.name))
    if compare is None:
        return False
    if actual is None:
        return how.if_exists or _needs_every_value(how)
    fitting = [_fits(compare, str(value), wanted) != how.negated for value in _values(actual)]
    if _needs_every_value(how):
        return all(fitting)
    return any(fitting)


def _needs_every_value(how: Operator) -> bool:
    """Return whether every value of a key must fit: with ForAllValues, and for a negated operator without a set operator."""
    if how.every is None:
        return how.negated
    return how.every


def _values(actual: Any) -> list[Any]:
    if isinstance(actual, list | tuple):
        return list(actual)
    return [actual]


def _fits(compare: Compare, value: str, wanted: Sequence[str]) -> bool:
    return any(compare(value, one) for one in wanted)


def _equal_ignoring_case(value: str, wanted: str) -> bool:
    return value.lower() == wanted.lower()


def _in_network(value: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _like(value: str, wanted: str) -> bool:
    return matches(wanted, value)


def _numbers(order: Callable[[Any, Any], bool]) -> Compare:
    def compare(value: str, wanted: str) -> bool:
        try:
            return order(float(value), float(wanted))
        except ValueError:
            return False

    return compare


def _dates(order: Callable[[Any, Any], bool]) -> Compare:
    def compare(value: str, wanted: str) -> bool:
        try:
            return order(_date(value), _date(wanted))
        except (ValueError, OverflowError, OSError):
            return False

    return compare


def _date(text: str) -> datetime:
    """Read an ISO 8601 date or seconds of the epoch. Raises ValueError."""
    try:
        return datetime.fromtimestamp(float(text), UTC)
    except ValueError:
        found = datetime.fromisoformat(text)
    return found.replace(tzinfo=found.tzinfo or UTC)


_COMPARE: dict[str, Compare] = {
    "stringequals": operator.eq,
    "stringequalsignorecase": _equal_ignoring_case,
    "stringlike": _like,
    "bool": _equal_ignoring_case,
    "binaryequals": operator.eq,
    "ipaddress": _in_network,
    "arnequals": _like,
    "arnlike": _like,
    **{f"numeric{name}": _numbers(order) for name, order in _ORDERS.items()},
    **{f"date{name}": _dates(order) for name, order in _ORDERS.items()},
}
# A negated operator and the one that it negates.
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}
