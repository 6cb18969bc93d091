"""The platform that runs a job: machine, Python and C library of its server. Wheels are chosen for it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass

from dayfly.core.model import Architecture

_OLDEST_GLIBC = "2.17"
_GLIBC_VERSIONS = (
    "2.40",
    "2.39",
    "2.38",
    "2.37",
    "2.36",
    "2.35",
    "2.34",
    "2.33",
    "2.32",
    "2.31",
    "2.28",
    _OLDEST_GLIBC,
)
"""The manylinux versions that uv knows, newest first."""
_STOCK_IMAGES = {"debian-13": ("3.13", "2.41")}
"""Python and glibc of each stock image."""
_MACHINES: Mapping[Architecture, str] = {"arm64": "aarch64", "x86_64": "x86_64"}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A platform: machine as `uname -m` prints it, Python like `3.13`, glibc like `2.41`. glibc None counts as the oldest."""

    machine: str
    python: str
    glibc: str | None = None

    @property
    def platform(self) -> str:
        """The newest platform that uv knows and this one can run: wheels for an older glibc run on a newer one."""
        own = _version(self.glibc or _OLDEST_GLIBC)
        usable = [glibc for glibc in _GLIBC_VERSIONS if _version(glibc) <= own]
        newest = [*usable, _OLDEST_GLIBC][0]
        return f"{self.machine}-manylinux_{newest.replace('.', '_')}"

    def __str__(self) -> str:
        machine = self.machine
        if machine == "aarch64":
            machine = "arm64"
        return f"Linux {machine}, Python {self.python}"


def image_target(image: str, architecture: Architecture) -> Target | None:
    """Return the platform of a stock image. None for any other image: its Python is unknown."""
    if image not in _STOCK_IMAGES:
        return None
    python, glibc = _STOCK_IMAGES[image]
    return Target(machine=_MACHINES[architecture], python=python, glibc=glibc)


def local_target(machine: str, python: str) -> Target:
    """Return the platform of a guest that is a process on this machine and so uses this machine's C library."""
    return Target(machine=machine, python=python, glibc=platform.libc_ver()[1] or None)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))
