"""Filters and pages of the Describe actions. An unknown filter is an error: it must never match everything.

Which filters an action has is defined by the action.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from localcloud.ec2.errors import Ec2Error

Thing = TypeVar("Thing")
Values = str | bool | int | None | Iterable[str]
Getters = dict[str, Callable[[Thing], Values]]

_MAX_VALUES = 200
_PAGE_TOKEN = re.compile(r"p-(\d+)")


def select(
    things: Iterable[Thing],
    filters: Sequence[dict[str, Any]] | None,
    getters: Getters[Thing],
    tags: Callable[[Thing], dict[str, str]] | None = None,
) -> list[Thing]:
    """Return the things that match all filters. A filter matches if any of its values does; `*` and `?` are wildcards.

    Raises Ec2Error (InvalidParameterValue) for a filter that is neither in `getters` nor a tag filter.
    """
    tests = [_test(entry, getters, tags) for entry in filters or ()]
    return [thing for thing in things if all(test(thing) for test in tests)]


def reject_ids_with_max_results(params: dict[str, Any], ids_parameter: str) -> None:
    """Raise Ec2Error if the request has both ids and MaxResults.

    Source: "EC2 API Reference", DescribeInstances, MaxResults (and others).
    """
    if params.get(ids_parameter) and params.get("MaxResults") is not None:
        text = f"The parameter {ids_parameter} cannot be used with the parameter maxResults"
        raise Ec2Error("InvalidParameterCombination", text)


def page(
    things: Sequence[Thing],
    params: dict[str, Any],
    min_results: int = 5,
    max_results: int = 1000,
    default: int | None = None,
) -> tuple[list[Thing], str | None]:
    """Return the page that MaxResults and NextToken request, and the token of the next page or None.

    `default` is the size of a page when the request does not say one; None shows the rest. Raises Ec2Error if MaxResults is
    below `min_results` or above `max_results`.
    """
    start = _page_start(params.get("NextToken"))
    size = params.get("MaxResults", default)
    if size is None:
        return list(things[start:]), None
    if not min_results <= size <= max_results:
        raise Ec2Error("InvalidParameterValue", f"Value ( {size} ) for parameter maxResults is invalid.")
    end = start + size
    if end >= len(things):
        return list(things[start:end]), None
    return list(things[start:end]), f"p-{end}"


def _page_start(token: Any) -> int:
    if not token:
        return 0
    match = _PAGE_TOKEN.fullmatch(str(token))
    if match is None:
        raise Ec2Error("InvalidNextToken", "The token is not valid")
    return int(match[1])


def _test(
    entry: dict[str, Any], getters: Getters[Thing], tags: Callable[[Thing], dict[str, str]] | None
) -> Callable[[Thing], bool]:
    name = entry.get("Name", "")
    values = [str(value) for value in entry.get("Values", [])]
    if not values:
        raise Ec2Error("InvalidParameterValue", f"The filter '{name}' has no values")
    if len(values) > _MAX_VALUES:
        raise Ec2Error("FilterLimitExceeded", "The maximum number of filter values specified on a single call is 200")
    get = _getter(name, getters, tags)
    patterns = [_pattern(value) for value in values]

    def test(thing: Thing) -> bool:
        return any(pattern.match(text) for text in _texts(get(thing)) for pattern in patterns)

    return test


def _getter(
    name: str, getters: Getters[Thing], tags: Callable[[Thing], dict[str, str]] | None
) -> Callable[[Thing], Values]:
    if name in getters:
        return getters[name]
    if tags is not None:
        get_tags = tags
        if name.startswith("tag:"):
            key = name.removeprefix("tag:")
            return lambda thing: get_tags(thing).get(key)
        if name == "tag-key":
            return lambda thing: list(get_tags(thing))
        if name == "tag-value":
            return lambda thing: list(get_tags(thing).values())
    raise Ec2Error("InvalidParameterValue", f"The filter '{name}' is invalid")


def _texts(values: Values) -> list[str]:
    if values is None:
        return []
    if isinstance(values, bool):
        return [str(values).lower()]
    if isinstance(values, (str, int)):
        return [str(values)]
    return list(values)


def _pattern(value: str) -> re.Pattern[str]:
    r"""Compile a filter value: `*` matches any text, `?` one character, a backslash escapes; brackets are literal."""
    wildcards = {"*": ".*", "?": "."}
    parts = []
    for escaped, character in re.findall(r"\\(.)|(.)", value, re.DOTALL):
        if escaped:
            parts.append(re.escape(escaped))
        else:
            parts.append(wildcards.get(character) or re.escape(character))
    return re.compile("".join(parts) + r"\Z", re.DOTALL)
