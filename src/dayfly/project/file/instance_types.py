"""Read the name of an EC2 type: whether it is well formed, its family and its architecture.

Names only. Sizes, prices and the zones that offer a type come from AWS and are not here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dayfly.core.model import Architecture

_TYPE = re.compile(
    r"(?P<family>[a-z]{1,5}[0-9]{1,2}[a-z]{0,4}(?:-[a-z0-9]{1,8})?|u-[0-9]{1,2}tb1|mac-[a-z0-9]{1,10})"
    r"\.(?P<size>nano|micro|small|medium|large|(?:[0-9]{1,3})?xlarge|metal(?:-[0-9]{1,3}xl)?)"
)
# In a Graviton family the `g` follows the generation number: t4g, c7gn, im4gn. In g4dn and gr6 it comes before the number.
_GRAVITON = re.compile(r"[a-z]{1,5}[0-9]{1,2}g")
_OTHER_ARM = ("a1", "p6e-gb200", "p6e-gb300")


class TypeName(NamedTuple):
    """The two parts of a type's name."""

    family: str
    size: str


def split(name: str) -> TypeName:
    """Split `c8g.4xlarge` into `c8g` and `4xlarge`. Raises ValueError for a name that no EC2 type can have."""
    found = _TYPE.fullmatch(name)
    if not found:
        raise ValueError(f"not an EC2 type like c8g.large: {name!r}")
    return TypeName(found["family"], found["size"])


def runs_linux(name: str) -> bool:
    """Return whether servers of this type run Linux; Apple's do not. Raises ValueError."""
    return not split(name).family.startswith("mac")


def architecture(name: str) -> Architecture:
    """Return the architecture that the family's name implies. Raises ValueError."""
    family = split(name).family
    if family in _OTHER_ARM or _GRAVITON.match(family):
        return "arm64"
    return "x86_64"
