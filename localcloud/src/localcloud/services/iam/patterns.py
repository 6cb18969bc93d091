"""Patterns and variables of IAM policies. Pure: text in, text or a yes or no out.

Which statement a pattern stands in, and what a request's keys are, does not belong here.
"""

import functools
import re
from collections.abc import Mapping
from typing import Any

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LITERALS = ("*", "?", "$")
# Stand for the characters * and ? of a variable's value in a pattern: two code points that no text has.
_AS_CHARACTERS = str.maketrans("*?", "\ufdd0\ufdd1")
_EXPRESSIONS = {"*": ".*", "?": "."} | {
    chr(mark): re.escape(chr(character)) for character, mark in _AS_CHARACTERS.items()
}


def matches(pattern: str, text: str, ignore_case: bool = False) -> bool:
    """Return whether the whole text fits the pattern: `*` is any characters, line ends included, `?` exactly one."""
    return pattern == "*" or _compiled(pattern, ignore_case).fullmatch(text) is not None


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str, ignore_case: bool) -> "re.Pattern[str]":
    flags = re.DOTALL
    if ignore_case:
        flags |= re.IGNORECASE
    return re.compile("".join(_EXPRESSIONS.get(character) or re.escape(character) for character in pattern), flags)


def expand(text: str, keys: Mapping[str, Any], pattern: bool = False) -> str | None:
    """Replace `${key}` and `${key, 'default'}` by the request's values; None when a key without default is missing.

    `keys` are in lower case; a key with several values has no single one and counts as missing. For a `pattern`, the
    result is for `matches`, and a wildcard in a value is an ordinary character there.
    """
    expanded, position = "", 0
    for found in _VARIABLE.finditer(text):
        value = _value(found[1], keys)
        if value is None:
            return None
        if pattern:
            value = value.translate(_AS_CHARACTERS)
        expanded += text[position : found.start()] + value
        position = found.end()
    return expanded + text[position:]


def _value(variable: str, keys: Mapping[str, Any]) -> str | None:
    """Return the value of what stands between `${` and `}`."""
    key, _, default = (part.strip() for part in variable.partition(","))
    if key in _LITERALS:
        return key
    found = keys.get(key.lower())
    if isinstance(found, str):
        return found
    return default.strip("'") or None
