"""Durations as dayfly.toml writes them (`45m`, `2h30m`), and whole seconds. No times of day here, and no limits."""

from __future__ import annotations

import re

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
FORM = r"(?:([0-9]{1,6})d)?(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,9})s)?"
"""A regular expression that matches a duration. It also matches the empty string, which is not a duration."""
_FORM = re.compile(FORM)


def seconds(text: str) -> int:
    """Return the seconds of `90s`, `45m`, `2h`, `7d` or `2h30m`. Larger units come first, each at most once. Raises ValueError."""
    found = _FORM.fullmatch(text)
    if not text or not found:
        raise ValueError(f'not a duration like "90s", "45m", "2h30m" or "7d": {text!r}')
    numbers = [int(number or 0) for number in found.groups()]
    return sum(number * size for number, size in zip(numbers, _UNITS.values(), strict=True))


def text(whole: int) -> str:
    """Format seconds in the shortest form: 4500 -> `1h15m`, 0 -> `0s`. Days only if they are whole: 129600 -> `36h`.

    Raises ValueError for a negative number.
    """
    if whole < 0:
        raise ValueError(f"a duration is never negative: {whole}")
    if whole == 0:
        return "0s"
    if whole % _UNITS["d"] == 0:
        return f"{whole // _UNITS['d']}d"
    hours, rest = divmod(whole, _UNITS["h"])
    minutes, left = divmod(rest, _UNITS["m"])
    return "".join(f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if number)
