"""Durations as people write them (`45m`, `2h30m`) and whole seconds. No moments of time here, and no rules about limits."""

from __future__ import annotations

import re

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_FORM = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9})s)?", re.ASCII)


def seconds(text: str) -> int:
    """`90s`, `45m`, `2h`, `7d`, `2h30m` -> whole seconds. Larger units first, each once. Raises ValueError."""
    found = _FORM.fullmatch(text)
    if not text or not found:
        raise ValueError(f'not a duration like "90s", "45m", "2h30m" or "7d": {text!r}')
    return sum(int(number) * size for number, size in zip(found.groups(), _UNITS.values(), strict=True) if number)


def text(whole: int) -> str:
    """The inverse of `seconds`, shortest: 4500 -> `1h15m`, 0 -> `0s`. Days only when they are whole: 129600 -> `36h`."""
    if whole < 0:
        raise ValueError(f"a duration is never negative: {whole}")
    if whole and whole % _UNITS["d"] == 0:
        return f"{whole // _UNITS['d']}d"
    hours, rest = divmod(whole, _UNITS["h"])
    minutes, left = divmod(rest, _UNITS["m"])
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (left, "s")) if number]
    return "".join(parts) or "0s"
