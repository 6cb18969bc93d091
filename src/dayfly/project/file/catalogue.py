"""The catalogue of EC2 types that `dayfly check` knows without AWS: names, architecture, vCPUs and memory.

instance_types.csv is written by scripts/instance-types. Where a type is offered changes too often to be here: `dayfly deploy` asks.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from datetime import date
from importlib import resources
from typing import NamedTuple, cast

from dayfly.core.model import Architecture
from dayfly.project.file import instance_types

_NEAREST = 3
_SERIES = re.compile(r"([a-z]+)([0-9]+)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Type(NamedTuple):
    """One EC2 type. `vcpus` and `memory_mib` are 0 for a rare or old type of which only the name is known."""

    name: str
    architecture: Architecture
    vcpus: int
    memory_mib: int


@functools.cache
def _lines() -> tuple[str, ...]:
    text = resources.files("dayfly.project.file").joinpath("instance_types.csv").read_text(encoding="utf-8")
    return tuple(text.splitlines())


@functools.cache
def types() -> Mapping[str, Type]:
    """Return all types that the catalogue has, by name."""
    found = {}
    for line in _lines()[1:]:
        name, architecture, vcpus, memory = line.split(",")
        found[name] = Type(name, cast(Architecture, architecture), int(vcpus or 0), int(memory or 0))
    return found


def known_on() -> date:
    """Return the day on which the catalogue was true."""
    return date.fromisoformat(_DATE.findall(_lines()[0])[0])


def may_be_newer(name: str) -> bool:
    """Return whether a type that the catalogue lacks may be newer: its family is unknown, and of the newest generation or a later one.

    Raises ValueError for a name that no EC2 type can have.
    """
    family = instance_types.split(name).family
    series = _SERIES.match(family)
    if series is None or family in _families():
        return False
    newest = _newest().get(series[1], 0)
    return 0 < newest <= int(series[2])


@functools.cache
def _families() -> frozenset[str]:
    return frozenset(name.partition(".")[0] for name in types())


@functools.cache
def _newest() -> Mapping[str, int]:
    """Return the newest generation of each series: 8 for `c`, when there is c8g."""
    found: dict[str, int] = {}
    for family in _families():
        series = _SERIES.match(family)
        if series is not None:
            found[series[1]] = max(found.get(series[1], 0), int(series[2]))
    return found


def architecture(name: str) -> Architecture:
    """Return the architecture of a type; for one that the catalogue lacks, the one that its name implies. Raises ValueError."""
    if name in types():
        return types()[name].architecture
    return instance_types.architecture(name)


def nearest(name: str, known: Iterable[str]) -> tuple[str, ...]:
    """Return up to three of the known names that are most like this one: of its family, or else those of its size first."""
    family, _, size = name.rpartition(".")
    candidates = sorted(known)
    near: list[str] = []
    for alike in (
        [each for each in candidates if each.startswith(f"{family}.")],
        [each for each in candidates if each.endswith(f".{size}")],
        candidates,
    ):
        near += difflib.get_close_matches(name, alike, _NEAREST)
    return tuple(dict.fromkeys(near))[:_NEAREST]
