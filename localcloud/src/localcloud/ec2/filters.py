"""Filters of the Describe actions: strict, because a filter that is not understood must never match everything.

Which names an action has is said by the action itself.
"""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from localcloud.ec2.errors import Ec2Error

Thing = TypeVar("Thing")
Values = str | bool | int | None | Iterable[str]
Getters = dict[str, Callable[[Thing], Values]]

_MAX_VALUES = 200


def select(
    things: Iterable[Thing],
    asked: Sequence[dict[str, Any]] | None,
    getters: Getters[Thing],
    tags: Callable[[Thing], dict[str, str]] | None = None,
) -> list[Thing]:
    """The things that match every filter (a filter matches when any of its values does; `*` and `?` are wildcards).

    Raises Ec2Error (InvalidParameterValue) for a filter name that is not in `getters` (nor a tag filter).
    """
    tests = [_test(one, getters, tags) for one in asked or ()]
    return [thing for thing in things if all(test(thing) for test in tests)]


def _test(
    asked: dict[str, Any], getters: Getters[Thing], tags: Callable[[Thing], dict[str, str]] | None
) -> Callable[[Thing], bool]:
    name = asked.get("Name", "")
    values = [str(value) for value in asked.get("Values", [])]
    if not values:
        raise Ec2Error("InvalidParameterValue", f"The filter '{name}' has no values")
    if len(values) > _MAX_VALUES:
        raise Ec2Error("FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200")
    get = _getter(name, getters, tags)
    patterns = [_pattern(value) for value in values]
    return lambda thing: any(pattern.match(held) for held in _held(get(thing)) for pattern in patterns)


def _getter(
    name: str, getters: Getters[Thing], tags: Callable[[Thing], dict[str, str]] | None
) -> Callable[[Thing], Values]:
    if name in getters:
        return getters[name]
    if tags is not None:
        held = tags
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            return lambda thing: held(thing).get(key)
        if name == "tag-key":
            return lambda thing: list(held(thing))
        if name == "tag-value":
            return lambda thing: list(held(thing).values())
    raise Ec2Error("InvalidParameterValue", f"The filter '{name}' is invalid")


def _held(values: Values) -> list[str]:
    if values is None:
        return []
    if isinstance(values, bool):
        return ["true" if values else "false"]
    if isinstance(values, (str, int)):
        return [str(values)]
    return list(values)


def _pattern(value: str) -> re.Pattern[str]:
    r"""AWS: `*` any text, `?` one character, a backslash takes their meaning; brackets mean themselves."""
    out = []
    position = 0
    while position < len(value):
        character = value[position]
        if character == "\\" and position + 1 < len(value):
            position += 1
            out.append(re.escape(value[position]))
        elif character == "*":
            out.append(".*")
        elif character == "?":
            out.append(".")
        else:
            out.append(re.escape(character))
        position += 1
    return re.compile("".join(out) + r"\Z", re.DOTALL)


def not_with_ids(asked: dict[str, Any], identifiers: str) -> None:
    """Raise Ec2Error for MaxResults beside ids. Source: "EC2 API Reference", DescribeInstances, MaxResults (and others)."""
    if asked.get(identifiers) and asked.get("MaxResults") is not None:
        text = f"The parameter {identifiers} cannot be used with the parameter maxResults"
        raise Ec2Error("InvalidParameterCombination", text)


def page(things: Sequence[Thing], asked: dict[str, Any], least: int = 5) -> tuple[list[Thing], str | None]:
    """One page of a listing by MaxResults and NextToken, and the token of the next."""
    start = 0
    if asked.get("NextToken"):
        said = str(asked["NextToken"])
        if not fnmatch.fnmatchcase(said, "p-*") or not said[2:].isdigit():
            raise Ec2Error("InvalidNextToken", "The token is not valid")
        start = int(said[2:])
    size = asked.get("MaxResults")
    if size is None:
        return list(things[start:]), None
    if not least <= size <= 1000:
        raise Ec2Error("InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid.")
    end = start + size
    return list(things[start:end]), (f"p-{end}" if end < len(things) else None)
