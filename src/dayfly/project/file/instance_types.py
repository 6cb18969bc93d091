"""What the name of an EC2 type tells by itself: whether it can be one, its family, its architecture.

Names only. Sizes, prices and where a type is offered are facts of the cloud and do not live here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from dayfly.core.model import Architecture

_TYPE = re.compile(
    r"(?P<family>[a-z]{1,5}[0-9]{1,2}[a-z]{0,4}(?:-[a-z0-9]{1,8})?|u-[0-9]{1,2}tb1|mac-[a-z0-9]{1,10})"
    r"\.(?P<size>nano|micro|small|medium|large|(?:[0-9]{1,3})?xlarge|metal(?:-[0-9]{1,3}xl)?)"
)
# A Graviton family has its `g` straight after the generation: t4g, c7gn, im4gn. In g4dn or gr6 the g is the family itself.
_GRAVITON = re.compile(r"[a-z]{1,5}[0-9]{1,2}g")
_OTHER_ARM = ("a1", "p6e-gb200", "p6e-gb300")


class TypeName(NamedTuple):
    family: str
    size: str


def split(name: str) -> TypeName:
    """`c8g.4xlarge` -> (`c8g`, `4xlarge`). Raises ValueError for what can not be an EC2 type."""
    found = _TYPE.fullmatch(name)
    if not found:
        raise ValueError(f"not an EC2 type like c8g.large: {name!r}")
    return TypeName(found["family"], found["size"])


def runs_linux(name: str) -> bool:
    """Whether Linux runs on servers of this type: not on Apple's. Raises ValueError."""
    return not split(name).family.startswith("mac")


def architecture(name: str) -> Architecture:
    """By the pattern of the family's name. Raises ValueError."""
    family = split(name).family
    return "arm64" if family in _OTHER_ARM or _GRAVITON.match(family) else "x86_64"
