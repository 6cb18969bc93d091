"""Odd JSON values: of every type, out of range, with characters that cannot be stored, sent or shown."""

from __future__ import annotations

import json
import random
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, -(2**63), 10**400, 1e308, [], {}, [[]], {"a": {}}),
    *("", " ", "x", "a~b", "x/y", "../x", "/x", "é", "日本", "٢٠٢٦-١١-٢٤", "false", "null", "x" * 2_000, "x" * 100_000),
    *("\0", "\n", "\t", "\x1b[31m", "\x7f", "\ud800", "\U0010ffff", "succeeded", "failed", "run", "schedule", "hand"),
    *(
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "2026-11-24T22:41:00Z",
        "2199-12-31T23:59:59Z",
        "9999-12-31T23:59:59Z",
    ),
    *(
        "2026-11-24",
        "2026-11-24T22:41:00",
        "2026-13-41T99:99:99Z",
        "2026-11-24T22:41:00.600Z",
        "2026-11-24T22:41:00+99:99",
    ),
    *(
        "pi@2026-11-24T22:41:00Z",
        "pi@2026-11-24T23:41:00Z",
        "healthy@2026-11-24T22:42:00Z",
        "pi",
        "healthy",
        "i-0",
        "i-1",
    ),
)


def odd(chance: random.Random, depth: int = 0) -> Any:
    """Return an odd value, sometimes in a list or an object."""
    kind = chance.random()
    if depth < 3 and kind < 0.1:
        return [odd(chance, depth + 1) for _ in range(chance.randrange(4))]
    if depth < 3 and kind < 0.2:
        return {
            str(chance.choice(("a", "at", "run", "", "\0"))): odd(chance, depth + 1) for _ in range(chance.randrange(4))
        }
    return chance.choice(ODD)


def changed(chance: random.Random, content: Any) -> Any:
    """Return JSON content with some parts replaced, removed or added."""
    content = json.loads(json.dumps(content))
    for _ in range(chance.randrange(1, 4)):
        if isinstance(content, dict):
            _change(chance, content)
    return content


def _change(chance: random.Random, content: dict[str, Any]) -> None:
    """Change one field of an object, or of an object in it."""
    name = chance.choice([*content, "more"])
    inner = content.get(name)
    if isinstance(inner, dict) and chance.random() < 0.6:
        _change(chance, inner)
    elif isinstance(inner, list) and inner and isinstance(inner[0], dict) and chance.random() < 0.6:
        _change(chance, inner[0])
    elif chance.random() < 0.2:
        content.pop(name, None)
    else:
        content[name] = odd(chance)


def written(content: Any) -> bytes:
    """Return JSON as bytes; a lone surrogate is escaped half of the time and bytes that are not UTF-8 otherwise."""
    return json.dumps(content).encode()
